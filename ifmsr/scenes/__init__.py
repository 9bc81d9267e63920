"""Scenes and data sets: the published data sets, one module each, and spectral response functions.

>>> from ifmsr.scenes import open_dataset
>>> scene = open_dataset("indian-pines").load("test")
>>> scene.cube.shape, scene.rgb().shape
((200, 144, 48), (3, 144, 48))
"""

from ifmsr.scenes.base import DataSet, Split, Window
from ifmsr.scenes.datasets import DATASETS, dataset_root, dataset_type, open_dataset, register_dataset
from ifmsr.scenes.response import nikon_d700
from ifmsr.scenes.scene import Observation, Scene

__all__ = [
    "DATASETS",
    "DataSet",
    "Observation",
    "Scene",
    "Split",
    "Window",
    "dataset_root",
    "dataset_type",
    "nikon_d700",
    "open_dataset",
    "register_dataset",
]

"""Scenes and data sets: the published data sets, one module each, and spectral response functions.

>>> from ifmsr.scenes import open_dataset
>>> scene = open_dataset("indian-pines").load("test")
>>> scene.cube.shape, scene.rgb().shape
((200, 144, 48), (3, 144, 48))
"""

from ifmsr.scenes.base import DataSet, Split, Window
from ifmsr.scenes.cameras import camera_names, camera_response
from ifmsr.scenes.datasets import DATASETS, dataset_root, dataset_type, open_dataset, register_dataset
from ifmsr.scenes.response import PUBLISHED, nikon_d700, read_srf, resample_srf
from ifmsr.scenes.scene import Observation, Scene
from ifmsr.scenes.splits import cave_split

__all__ = [
    "DATASETS",
    "PUBLISHED",
    "DataSet",
    "Observation",
    "Scene",
    "Split",
    "Window",
    "camera_names",
    "camera_response",
    "cave_split",
    "dataset_root",
    "dataset_type",
    "nikon_d700",
    "open_dataset",
    "read_srf",
    "register_dataset",
    "resample_srf",
]

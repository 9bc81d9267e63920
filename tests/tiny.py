"""A training of seconds on a real image and what its tests compare, and a real observation of a few pixels."""

import numpy as np
import torch
from safetensors.torch import load_file

from ifmsr.degradation.protocol import degrade
from ifmsr.scenes import Scene, open_dataset
from ifmsr.training import TrainConfig

CONFIG = TrainConfig(
    options={"features": 4, "stages": 1},
    epochs=2,
    crops_per_scene=6,
    batch=2,
    steps="batched",
    bands_per_step=2,
    learning_rate=1e-3,
    checkpoint_every=0,
)


def parts():
    """Twelve bands of Indian Pines, training and validation part."""
    data = open_dataset("indian-pines")
    images = [data.load(name) for name in ("train", "validation")]
    return [Scene(image.name, image.cube[20:32], rgb_bands=(9, 5, 1)) for image in images]


def weights_of(folder):
    return load_file(folder / "weights.safetensors")


def assert_same_weights(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def few_bands(scale, known):
    """A real observation of odd size: 20 bands, 7 x 9 LR pixels, with a known response or without one."""
    part = open_dataset("indian-pines").load("train").cube[::10, : 7 * scale, : 9 * scale]
    srf = np.full((3, 20), 0.02, np.float32)
    srf[[0, 1, 2], [2, 1, 0]] += 0.6
    scene = Scene("part", part, srf=srf) if known else Scene("part", part, rgb_bands=(2, 1, 0))
    return degrade(scene, scale, alignment="centred")

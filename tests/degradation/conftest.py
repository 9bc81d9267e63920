"""Real cubes."""

import pytest

from ifmsr.scenes import open_dataset


@pytest.fixture(scope="module")
def balloons(cave_root):
    """The middle 256 x 256 pixels of a CAVE scene."""
    return open_dataset("cave", cave_root).load("balloons", window=(128, 128, 256, 256))


@pytest.fixture(scope="module")
def pines():
    """The real image (200, 144, 72)."""
    return open_dataset("indian-pines").load("train").cube

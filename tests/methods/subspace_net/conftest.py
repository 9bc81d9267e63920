"""Indian Pines with a camera's response."""

import numpy as np
import pytest

from ifmsr.scenes import Scene, nikon_d700, open_dataset


@pytest.fixture(scope="module")
def pines():
    """31 bands of Indian Pines with the camera's response."""
    cube = open_dataset("indian-pines").load("train").cube[10:41]
    return Scene("pines", np.ascontiguousarray(cube), srf=nikon_d700())

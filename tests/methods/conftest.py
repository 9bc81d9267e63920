"""The test scene of the training-free methods."""

import pytest

from ifmsr.scenes import Scene, open_dataset


@pytest.fixture(scope="session")
def indian_pines() -> Scene:
    """Indian Pines' test part."""
    return open_dataset("indian-pines").load("test")

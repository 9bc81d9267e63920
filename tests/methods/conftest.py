"""The scene that the classical methods are tested on."""

import pytest

from ifmsr.scenes import Scene, open_dataset


@pytest.fixture(scope="session")
def indian_pines() -> Scene:
    """Indian Pines' test part."""
    return open_dataset("indian-pines").load("test")

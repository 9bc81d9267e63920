import numpy as np
import pytest

from ifmsr import InputError, assess
from ifmsr.degradation import degrade
from ifmsr.scenes import Scene, open_dataset
from ifmsr.scenes.cameras import camera_response


@pytest.fixture(scope="module")
def visible():
    """Bands and band centres of Indian Pines that a camera sees."""
    part = open_dataset("indian-pines").load("train")
    wavelengths = np.linspace(400, 2500, 220)[: len(part.cube)]
    return part.cube[:36, :96, :96], wavelengths[:36]


@pytest.mark.parametrize("name", ["Nikon D700", "Canon EOS 5DS"])
def test_the_camera_that_took_the_guide_is_the_nearest(visible, name):
    cube, wavelengths = visible
    scene = Scene("part", cube, wavelengths, camera_response(name, wavelengths))
    observation = degrade(scene, 4, seed=3)
    exposed = (
        observation.rgb * np.array([0.5, 0.9, 0.7], np.float32)[:, None, None]
    )  # other units per channel
    assessment = assess(observation.lr, exposed, 4)
    found = assessment.nearest_camera(wavelengths)
    assert found.name == name and found.misfit < 2


def test_without_visible_bands_or_a_related_guide_there_is_none(visible):
    cube, wavelengths = visible
    observation = degrade(Scene("part", cube, wavelengths, rgb_bands=(20, 10, 4)), 4)
    assessment = assess(observation.lr, observation.rgb, 4)
    assert assessment.nearest_camera(wavelengths + 600) is None
    with pytest.raises(InputError, match=r"wavelengths: 3 wavelengths for 36 bands"):
        assessment.nearest_camera(wavelengths[:3])
    noise = np.random.default_rng(0).random(observation.rgb.shape, np.float32)
    assert assess(observation.lr, noise, 4).nearest_camera(wavelengths) is None

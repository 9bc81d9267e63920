import warnings
from dataclasses import replace

import numpy as np
import pytest

from ifmsr import metrics
from ifmsr.degradation import degrade
from ifmsr.errors import InputError
from ifmsr.inference import load_method
from ifmsr.methods.bicubic import Bicubic
from ifmsr.scenes import Scene, nikon_d700, open_dataset
from ifmsr.scenes.cameras import camera_response
from ifmsr.study.real_guides import CAMERAS, CASES, clipped, encoded, jpeg, noisy, quantised, warped

BY_NAME = {case.name: case for case in CASES}


@pytest.fixture(scope="module")
def cloth(cave_root):
    return open_dataset("cave", cave_root).load("cloth").crop_to_multiple(4, 256)


@pytest.fixture(scope="module")
def pines():
    cube = open_dataset("indian-pines").load("train").cube[10:41, :, :72]
    return Scene("pines", np.ascontiguousarray(cube), srf=nikon_d700())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whatever_the_guide_the_result_is_not_below_bicubic(cloth, case):
    truth, observation, (rows, columns), unit = case.deliver(cloth, 5)
    inside = (slice(None), rows, columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = [method(observation) for method in (load_method("auto", 4), Bicubic())]
    ours, blurry = (metrics.psnr(truth[inside], unit * sr[inside]) for sr in results)
    assert ours > blurry - 0.1
    useless = case.name in ("mirrored", "white noise", "constant")
    assert (ours > blurry + 8) != useless


@pytest.mark.parametrize("name", BY_NAME)
def test_a_case_changes_what_it_says(pines, name):
    expected = degrade(pines, 4, "test", 5)
    truth, observation, (rows, columns), unit = BY_NAME[name].deliver(pines, 5)
    assert observation.rgb.shape == expected.rgb.shape and observation.rgb.dtype == np.float32
    assert truth[:, rows, columns].size > 0.6 * truth.size and len(truth) == len(observation.lr)
    again = BY_NAME[name].deliver(pines, 5).observation
    np.testing.assert_array_equal(observation.rgb, again.rgb)
    same = {"linear", "bands 25 to 31", "bands 1 to 8", "no-data stripe"}
    assert np.array_equal(observation.rgb, expected.rgb) == (name in same)
    assert (unit == 16) == (name == "dark units")


def test_a_guide_of_another_camera_is_the_scene_seen_through_its_response(pines):
    scene = replace(pines, wavelengths=np.arange(400.0, 701.0, 10.0))
    case = CAMERAS[1]
    _, observation, *_ = case.deliver(scene, 5)
    response = camera_response(case.name, scene.wavelengths)
    np.testing.assert_array_equal(observation.srf, response)
    np.testing.assert_allclose(observation.rgb, np.tensordot(response, scene.cube, 1), atol=1e-6)
    np.testing.assert_array_equal(observation.lr, degrade(scene, 4, "test", 5).lr)
    with pytest.raises(InputError, match="no wavelengths"):
        case.deliver(pines, 5)


def test_pictures_are_what_their_names_say():
    rgb = np.random.default_rng(0).random((3, 32, 48)).astype(np.float32)
    assert encoded(np.array([0.0, 0.0031308, 0.5, 1.0])) == pytest.approx(
        [0, 0.04045, 0.7353570, 1], abs=1e-5
    )
    assert np.abs(quantised(rgb) - rgb).max() <= 0.5 / 255 + 1e-6
    assert (clipped(rgb, 0.1) == 1).mean() == pytest.approx(0.1, abs=0.002)
    assert np.std(noisy(0.5 * np.ones((3, 200, 200)), 2, np.random.default_rng(0))) == pytest.approx(
        2 / 255, rel=0.02
    )
    smooth = np.linspace(0, 1, 32)[:, None] * np.ones((3, 32, 48))
    assert np.abs(jpeg(smooth, 90) - encoded(smooth)).max() < 0.03


def test_a_guide_is_rotated_counter_clockwise_scaled_and_shifted():
    image = np.zeros((1, 101, 101), np.float32)
    image[0, 50, 70] = 1  # right of the middle

    def where(degrees, larger, shift):
        return np.unravel_index(warped(image, degrees, larger, shift).argmax(), (1, 101, 101))[1:]

    assert where(90, 1, (0, 0)) == (30, 50)
    assert where(0, 1.5, (0, 0)) == (50, 80)
    assert where(0, 1, (5, -7)) == (55, 63)

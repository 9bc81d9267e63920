import warnings
from dataclasses import replace

import numpy as np
import pytest

from ifmsr.degradation import degrade
from ifmsr.errors import InputError
from ifmsr.inference import load_method
from ifmsr.methods.bicubic import Bicubic
from ifmsr.scenes import Scene, nikon_d700, open_dataset
from ifmsr.scenes.cameras import camera_response
from ifmsr.study.real_guides import (
    CAMERAS,
    CASES,
    Delivered,
    clipped,
    encoded,
    jpeg,
    noisy,
    quantised,
    warped,
)
from ifmsr.study.robustness import measure

BY_NAME = {case.name: case for case in CASES}


@pytest.fixture(scope="module")
def cloth(cave_root):
    return open_dataset("cave", cave_root).load("cloth").crop_to_multiple(4, 256)


@pytest.fixture(scope="module")
def watercolors(cave_root):
    return open_dataset("cave", cave_root).load("watercolors").crop_to_multiple(4, 256)


@pytest.fixture(scope="module")
def pines():
    """Real spectra under a real camera's response, with a picture of them."""
    cube = open_dataset("indian-pines").load("train").cube[10:41, :, :72]
    scene = Scene("pines", np.ascontiguousarray(cube), srf=nikon_d700())
    return replace(scene, photograph=np.round(255 * encoded(scene.rgb())).astype(np.uint8))


@pytest.fixture(scope="module")
def maize(pines):
    return replace(pines, name="maize", cube=pines.cube[:, ::-1].copy())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whatever_the_guide_the_result_is_not_below_bicubic(cloth, watercolors, case):
    delivered = case.deliver(cloth, 5, lambda: watercolors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = [method(delivered.observation) for method in (load_method("auto", 4), Bicubic())]
    ours, blurry = (delivered.evaluate(sr)["PSNR"] for sr in results)
    assert ours > blurry - 0.1
    useless = case.name in ("mirrored", "another scene", "white noise", "constant")
    assert (ours > blurry + 8) != useless


@pytest.mark.parametrize("name", BY_NAME)
def test_a_case_changes_what_it_says(pines, maize, name):
    expected = degrade(pines, 4, "test", 5)
    truth, observation, (rows, columns), unit, valid = BY_NAME[name].deliver(pines, 5, lambda: maize)
    assert observation.rgb.shape == expected.rgb.shape and observation.rgb.dtype == np.float32
    assert truth[:, rows, columns].size > 0.6 * truth.size and len(truth) == len(observation.lr)
    again = BY_NAME[name].deliver(pines, 5, lambda: maize).observation
    np.testing.assert_array_equal(observation.rgb, again.rgb)
    same = {"linear", "bands 25 to 31", "bands 1 to 8", "no-data stripe"}
    assert np.array_equal(observation.rgb, expected.rgb) == (name in same)
    assert (unit == 16) == (name == "dark units")
    assert (valid is not None) == (name == "slanted footprint")


def test_a_photograph_is_given_as_stored_and_not_missed(pines, maize):
    case = BY_NAME["CAVE's own photograph"]
    observation = case.deliver(pines, 5, lambda: maize).observation
    np.testing.assert_array_equal(np.round(255 * observation.rgb), pines.photograph)
    np.testing.assert_array_equal(observation.lr, degrade(pines, 4, "test", 5).lr)
    with pytest.raises(InputError, match="no photograph"):
        case.deliver(replace(pines, photograph=None), 5, lambda: maize)


def test_the_guide_of_another_scene_is_that_scenes(pines, maize):
    case = BY_NAME["another scene"]
    observation = case.deliver(pines, 5, lambda: maize).observation
    np.testing.assert_array_equal(observation.rgb, maize.rgb())
    np.testing.assert_array_equal(observation.lr, degrade(pines, 4, "test", 5).lr)
    with pytest.raises(InputError, match="no other scene"):
        case.deliver(pines, 5, lambda: pines)


def test_footprints_end_at_a_slanted_line_and_only_blocks_inside_it_count(pines, maize):
    delivered = BY_NAME["slanted footprint"].deliver(pines, 5, lambda: maize)
    whole, (rgb, lr) = degrade(pines, 4, "test", 5), (delivered.observation.rgb, delivered.observation.lr)
    assert 0.03 < 1 - delivered.valid.mean() < 0.13
    blocks = delivered.valid[::4, ::4]
    np.testing.assert_array_equal(lr, np.where(blocks, whole.lr, 0))
    np.testing.assert_array_equal(rgb[:, delivered.valid], whole.rgb[:, delivered.valid])
    black = (rgb == 0).all(0)
    assert not (black & delivered.valid).any() and (~black & ~delivered.valid).any()
    starts = blocks.argmax(1)
    assert starts[0] > starts[-1] and (np.diff(starts) <= 0).all()


def test_only_pixels_that_count_are_evaluated(pines):
    rng = np.random.default_rng(0)
    sr = (pines.cube + 0.01 * rng.standard_normal(pines.cube.shape)).astype(np.float32)
    pair = degrade(pines, 4, "test", 5)
    valid = np.ones(pines.cube.shape[1:], bool)
    valid[:, :16] = False
    masked = Delivered(pines.cube, pair, valid=valid)
    part = Delivered(pines.cube, pair, (slice(None), slice(16, None)))
    found, expected = masked.evaluate(sr), part.evaluate(sr)
    assert found.pop("SSIM") > expected.pop("SSIM")  # the truth is in place of the others
    assert list(found) == list(expected) and found == pytest.approx(expected, rel=1e-6)
    sr[:, :, :16] = 0
    assert masked.evaluate(sr)["PSNR"] == pytest.approx(expected["PSNR"], rel=1e-6)
    dark = Delivered(pines.cube, pair, unit=16.0)
    assert dark.evaluate(pines.cube / 16)["PSNR"] > 100


def test_the_next_scene_of_a_grid_is_another_one(pines, maize):
    seen = []

    class Sees(Bicubic):
        def __call__(self, observation):
            seen.append(observation.rgb)
            return super().__call__(observation)

    measure([pines, maize], {"sees": Sees()}, [BY_NAME["another scene"]])
    np.testing.assert_array_equal(seen, [maize.rgb(), pines.rgb()])
    with pytest.raises(InputError, match="no other scene"):
        measure([pines], {"bicubic": Bicubic()}, [BY_NAME["another scene"]])


def test_a_guide_of_another_camera_is_the_scene_seen_through_its_response(pines):
    scene = replace(pines, wavelengths=np.arange(400.0, 701.0, 10.0))
    case = CAMERAS[1]
    _, observation, *_ = case.deliver(scene, 5, lambda: pines)
    response = camera_response(case.name, scene.wavelengths)
    np.testing.assert_array_equal(observation.srf, response)
    np.testing.assert_allclose(observation.rgb, np.tensordot(response, scene.cube, 1), atol=1e-6)
    np.testing.assert_array_equal(observation.lr, degrade(scene, 4, "test", 5).lr)
    with pytest.raises(InputError, match="no wavelengths"):
        case.deliver(pines, 5, lambda: pines)


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

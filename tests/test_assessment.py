import numpy as np
import pytest

import ifmsr
from ifmsr import InputError, InputWarning, assess, metrics, super_resolve
from ifmsr.assessment import assess_observation
from ifmsr.degradation import degrade
from ifmsr.inference import load_method
from ifmsr.methods.bicubic import Bicubic
from ifmsr.scenes import Observation, open_dataset


def srgb(x):
    """IEC 61966-2-1."""
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)


def photo(rgb):
    """As an ordinary picture has it: sRGB, 8 bits."""
    return (np.round(255 * srgb(rgb.astype(float))) / 255).astype(np.float32)


@pytest.fixture(scope="module")
def pines():
    """A real cube and what is observed of it."""
    truth = open_dataset("indian-pines").load("train")
    return truth, degrade(truth, 4, seed=2)


@pytest.fixture(scope="module")
def cloth(cave_root):
    truth = open_dataset("cave", cave_root).load("cloth").crop_to_multiple(4, 256)
    return truth, degrade(truth, 4, seed=2)


def test_a_good_pair_is_described_and_raises_no_doubt(pines):
    _, observation = pines
    assessment = assess(observation.lr, observation.rgb, 4)
    assert assessment.tone == "linear" and assessment.related and assessment.warnings == ()
    np.testing.assert_allclose(assessment.shift, 4 / 3, atol=0.2)
    assert assessment.lr_noise == pytest.approx(3 / 255, rel=0.1)
    assert assessment.kernel.sum() == pytest.approx(1, abs=1e-5) and assessment.misfit < 2
    assert np.array_equal(assessment.observation.rgb, observation.rgb)
    assert len(str(assessment).splitlines()) == 5


def test_an_ordinary_picture_is_linearised(cloth):
    """Before, it cost ten decibels."""
    truth, observation = cloth
    linear = super_resolve(observation.lr, observation.rgb, 4, "closed-form", observation.srf)
    found = super_resolve(observation.lr, photo(observation.rgb), 4, "closed-form", observation.srf)
    said = super_resolve(
        observation.lr, photo(observation.rgb), 4, "closed-form", observation.srf, guide="srgb"
    )
    assert assess(observation.lr, photo(observation.rgb), 4, observation.srf).tone == "srgb"
    expected = metrics.psnr(truth.cube, linear)
    assert metrics.psnr(truth.cube, found) > expected - 0.7
    np.testing.assert_array_equal(found, said)
    wrong = super_resolve(
        observation.lr, photo(observation.rgb), 4, "closed-form", observation.srf, guide="linear"
    )
    assert metrics.psnr(truth.cube, wrong) < expected - 1.5


@pytest.mark.parametrize("share", [0.03, 0.1])
def test_clipped_pixels_are_restored(cloth, share):
    truth, observation = cloth
    rgb = (observation.rgb / np.quantile(observation.rgb, 1 - share)).clip(0, 1).astype(np.float32)
    clipped = Observation(observation.lr, rgb, 4, observation.srf)
    assert share < assess_observation(clipped).clipped < 3.5 * share  # of pixels, each of three values
    assert assess_observation(observation).clipped == 0
    plain, found = (
        load_method("closed-form", 4)(each) for each in (clipped, assess_observation(clipped).observation)
    )
    assert metrics.psnr(truth.cube, found) > metrics.psnr(truth.cube, plain) + 0.7


UNRELATED = {
    "flipped": lambda rgb: rgb[:, :, ::-1].copy(),
    "noise": lambda rgb: np.random.default_rng(0).random(rgb.shape).astype(np.float32),
    "constant": lambda rgb: np.full_like(rgb, 0.5),
    "shifted": lambda rgb: np.roll(rgb, 20, (1, 2)),
}


@pytest.mark.parametrize("name", UNRELATED)
@pytest.mark.parametrize("method", ["auto", "closed-form"])
def test_a_guide_that_shows_something_else_is_not_used(cloth, name, method):
    truth, observation = cloth
    rgb = UNRELATED[name](observation.rgb)
    with pytest.warns(InputWarning, match="It is not used"):
        sr = super_resolve(observation.lr, rgb, 4, method, observation.srf)
    with pytest.warns(InputWarning, match="It is not used"):
        other = super_resolve(observation.lr, np.ones_like(rgb), 4)
    np.testing.assert_allclose(sr, other, atol=1e-6)
    assert metrics.psnr(truth.cube, sr) > metrics.psnr(truth.cube, Bicubic()(observation))
    with pytest.raises(InputError, match="the pair of images: Nothing confirms that the guide shows"):
        super_resolve(observation.lr, rgb, 4, method, observation.srf, strict=True)


def test_its_error_is_not_known(cloth):
    _, observation = cloth
    rgb = UNRELATED["flipped"](observation.rgb)
    with pytest.warns(InputWarning):
        sr, error = super_resolve(observation.lr, rgb, 4, "auto", with_error=True)
    assert error.shape == sr.shape[1:] and np.isnan(error).all()


def test_no_false_alarm_on_linear_pairs(cave_root):
    data = open_dataset("cave", cave_root)
    for name in data.names:
        scene = data.load(name).crop_to_multiple(8, 256)
        for scale in (4, 8):
            assert assess_observation(degrade(scene, scale)).warnings == (), name


def test_auto_is_the_default_and_evaluations_know_it(pines):
    _, observation = pines
    part = Observation(observation.lr[:31, :16, :16], observation.rgb[:, :64, :64], 4)
    found = super_resolve(part.lr, part.rgb, 4)
    np.testing.assert_array_equal(found, load_method("auto", 4)(part))
    assert load_method("auto", 4).title == "Auto"


def test_the_choices_are_checked_and_the_names_public(pines):
    _, observation = pines
    with pytest.raises(InputError, match="guide: 'sRGB' is unknown"):
        assess(observation.lr, observation.rgb, 4, guide="sRGB")
    assert ifmsr.Assessment is type(assess_observation(observation))

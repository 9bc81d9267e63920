import numpy as np
import pytest

import ifmsr
from ifmsr import InputError, InputWarning, assess, metrics, super_resolve
from ifmsr.assessment import assess_observation
from ifmsr.degradation import degrade
from ifmsr.inference import load_method
from ifmsr.methods.bicubic import Bicubic
from ifmsr.scenes import Observation, open_dataset
from ifmsr.study.real_guides import warped


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
    assert (
        assessment.registration is None and np.abs(assessment.observation.rgb - observation.rgb).max() < 0.02
    )
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


# --- invalid pixels ------------------------------------------------------------------------------------------


def test_invalid_pixels_of_the_cube_are_nan_in_the_result_and_cost_nothing_elsewhere(cloth):
    truth, observation = cloth
    missing = np.zeros((64, 64), bool)
    missing[10:20, 30:40] = True
    holes = np.where(missing, np.float32(np.nan), observation.lr)
    whole = super_resolve(observation.lr, observation.rgb, 4, "closed-form", observation.srf)
    found = super_resolve(holes, observation.rgb, 4, "closed-form", observation.srf)
    fine = missing.repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(np.isnan(found).all(0), fine)
    assert not np.isnan(found[:, ~fine]).any()
    elsewhere = ~fine
    elsewhere[32:88, 112:168] = False
    loss = [np.square(sr - truth.cube)[:, elsewhere].mean() for sr in (whole, found)]
    assert loss[1] < 1.03 * loss[0]
    masked = np.ma.array(observation.lr, mask=np.broadcast_to(missing, observation.lr.shape))
    np.testing.assert_array_equal(
        super_resolve(masked, observation.rgb, 4, "closed-form", observation.srf), found
    )
    sr, error = super_resolve(holes, observation.rgb, 4, srf=observation.srf, with_error=True)
    np.testing.assert_array_equal(np.isnan(error), fine)
    np.testing.assert_array_equal(np.isnan(sr).all(0), fine)
    assert assess(holes, observation.rgb, 4).lr_invalid == pytest.approx(missing.mean())


def test_pixels_without_a_spectrum_stay_as_they_are(cloth):
    """Invalid pixels do not affect the fits; otherwise the other pixels lose 3 dB."""
    truth, observation = cloth
    lr = observation.lr.copy()
    lr[:, :, -8:] = 0
    found = super_resolve(lr, observation.rgb, 4, "closed-form", observation.srf)
    whole = super_resolve(observation.lr, observation.rgb, 4, "closed-form", observation.srf)
    assert not found[:, :, -32:].any()
    rest = (slice(None), slice(None), slice(0, -32))
    assert metrics.psnr(truth.cube[rest], found[rest]) > metrics.psnr(truth.cube[rest], whole[rest]) - 0.3


def test_where_the_guide_is_invalid_the_result_is_the_cube_alone(cloth):
    truth, observation = cloth
    rgb = observation.rgb.copy()
    rgb[:, 100:180, 60:160] = np.nan
    found = super_resolve(observation.lr, rgb, 4, srf=observation.srf)
    assert np.isfinite(found).all()
    hole = (slice(None), slice(108, 172), slice(68, 152))
    assert metrics.psnr(truth.cube[hole], found[hole]) > metrics.psnr(
        truth.cube[hole], Bicubic()(observation)[hole]
    )


def test_hot_pixels_cost_little(cloth):
    """Half a per cent of them brought the result down to bicubic interpolation."""
    truth, observation = cloth
    lr = observation.lr.copy()
    rng = np.random.default_rng(0)
    hot = rng.random(lr.shape) < 0.005
    lr[hot] = 1
    whole = super_resolve(observation.lr, observation.rgb, 4, "closed-form", observation.srf)
    found = super_resolve(lr, observation.rgb, 4, "closed-form", observation.srf)
    assert metrics.psnr(truth.cube, found) > metrics.psnr(truth.cube, whole) - 2.5


# --- guides that do not lie on the cube ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("degrees", "larger", "shift"), [(2, 1, (0, 0)), (0, 1.01, (0, 0)), (0, 1, (20, -12))]
)
def test_a_guide_elsewhere_is_registered_and_the_result_lies_on_its_pixels(cloth, degrees, larger, shift):
    """Turned by two degrees, the closed form fell from 41 to 25 dB."""
    truth, observation = cloth
    rgb, expected = (warped(image, degrees, larger, shift) for image in (observation.rgb, truth.cube))
    assessment = assess(observation.lr, rgb, 4, observation.srf)
    assert assessment.registration is not None and assessment.warnings == ()
    assert assessment.registration.rotation == pytest.approx(degrees, abs=0.05)
    assert "the guide was shifted by" in str(assessment) and len(str(assessment).splitlines()) == 5
    found = super_resolve(observation.lr, rgb, 4, "closed-form", observation.srf)
    ideal = super_resolve(observation.lr, observation.rgb, 4, "closed-form", observation.srf)
    inside = (slice(None), slice(30, -30), slice(30, -30))
    assert (
        metrics.psnr(expected[inside], found[inside]) > metrics.psnr(truth.cube[inside], ideal[inside]) - 1.5
    )

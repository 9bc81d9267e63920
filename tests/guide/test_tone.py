import numpy as np
import pytest
import torch

from ifmsr.degradation import degrade
from ifmsr.errors import InputError
from ifmsr.guide.tone import CANDIDATES, ToneCurve, bent, estimate_tone, tone_curve
from ifmsr.scenes import Observation, open_dataset


def srgb(x):
    """IEC 61966-2-1."""
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)


def photo(rgb, encode):
    return torch.from_numpy(np.round(encode(rgb.astype(float)) * 255) / 255).float()


@pytest.fixture(scope="module")
def pines():
    return degrade(open_dataset("indian-pines").load("train"), 4, seed=1)


@pytest.fixture(scope="module")
def cloth(cave_root):
    return degrade(open_dataset("cave", cave_root).load("cloth"), 4, seed=5)


def estimated(observation: Observation, rgb, **more):
    return estimate_tone(torch.from_numpy(observation.lr), rgb, observation.scale, **more)


# --- curves --------------------------------------------------------------------------------------------------


def test_srgb_is_undone_exactly_at_the_values_of_eight_bits():
    codes = np.arange(256) / 255
    expected = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    found = tone_curve("srgb").linearise(torch.from_numpy(codes))
    assert np.abs(found.numpy() - expected).max() < 1e-12


@pytest.mark.parametrize("name", CANDIDATES)
def test_encode_inverts_linearise(name):
    codes = torch.linspace(0, 1, 1000).repeat(3, 1)[..., None]
    curve = tone_curve(name)
    assert (curve.encode(curve.linearise(codes)) - codes).abs().max() < 1e-4
    assert (curve.table.diff() > 0).all() and curve.table[0] == 0 and curve.table[-1] == 1


def test_gamma_and_rec709_by_their_formulas():
    x = torch.linspace(0.1, 1, 50).double()
    assert torch.allclose(tone_curve("gamma 1.8").linearise(x), x**1.8, atol=1e-6)
    light = torch.linspace(0.02, 1, 50).double()
    assert torch.allclose(tone_curve("rec709").encode(light), 1.099 * light**0.45 - 0.099, atol=1e-6)


def test_the_linear_curve_changes_nothing():
    rgb = torch.rand(3, 4, 5)
    assert tone_curve("linear").linearise(rgb) is rgb and tone_curve("linear").encode(rgb) is rgb


def test_white_scales_both_sides():
    codes = torch.rand(3, 6, 6).double()
    curve, bright = tone_curve("srgb"), tone_curve("srgb", white=200.0)
    assert torch.allclose(bright.linearise(200 * codes), 200 * curve.linearise(codes))


def test_an_unknown_curve_raises():
    with pytest.raises(InputError, match=r"tone curve: 'log' is unknown. Choose one of 'linear', 'srgb'"):
        tone_curve("log")


def test_a_bent_curve_grows_from_black_to_white():
    curve = bent(tone_curve("srgb"), torch.linspace(-0.5, 0.5, 15).double())
    assert curve.name == "free" and (curve.table.diff() >= 0).all()
    assert curve.table[0] == 0 and curve.table[-1] == 1
    assert curve.table[512 + 256] != tone_curve("srgb").table[512 + 256]


# --- estimates -----------------------------------------------------------------------------------------------


def test_a_linear_guide_stays_linear(pines):
    curve, _ = estimated(pines, torch.from_numpy(pines.rgb))
    assert curve.name == "linear"


def test_an_encoded_guide_of_another_sensor_is_not_taken_for_linear(pines):
    curve, misfits = estimated(pines, photo(pines.rgb, srgb))
    assert curve.name != "linear" and misfits[curve.name] < 0.6 * misfits["linear"]


def test_a_linear_guide_that_fits_pays_for_no_other_curve(cloth):
    curve, misfits = estimated(cloth, torch.from_numpy(cloth.rgb))
    assert curve.name == "linear" and set(misfits) == {"linear"}


@pytest.mark.parametrize(
    ("encode", "name"),
    [(srgb, "srgb"), (lambda x: x ** (1 / 1.8), "gamma 1.8"), (lambda x: x ** (1 / 1.4), "gamma 1.4")],
)
def test_the_curve_of_a_photograph_is_found(cloth, encode, name):
    curve, misfits = estimated(cloth, photo(cloth.rgb, encode))
    assert curve.name == name
    assert 1 < misfits[name] < 2 and misfits["linear"] > 2.5


def s_curve(x):
    encoded = srgb(x)
    return (encoded - 0.06 * np.sin(2 * np.pi * encoded)).clip(0, 1)


def test_a_curve_between_the_candidates_is_estimated(cloth):
    rgb = photo(cloth.rgb, s_curve)
    curve, misfits = estimated(cloth, rgb)
    assert curve.name == "free" and misfits["free"] < 0.9 * min(misfits[name] for name in CANDIDATES)

    def error(linear):
        truth = torch.from_numpy(cloth.rgb)
        return float((linear * (linear * truth).sum() / linear.square().sum() - truth).square().mean() ** 0.5)

    assert error(curve.linearise(rgb)) < 0.003 < 0.01 < error(tone_curve("srgb").linearise(rgb))


def test_units_do_not_matter(cloth):
    rgb = photo(cloth.rgb, lambda x: x ** (1 / 1.8))
    dark = Observation(cloth.lr / 16, cloth.rgb, 4)
    curve, misfits = estimated(dark, 300 * rgb)
    assert curve.name == "gamma 1.8" and isinstance(curve, ToneCurve)
    _, expected = estimated(cloth, rgb / rgb.max())
    assert misfits == pytest.approx(expected, rel=1e-2)


def test_invalid_pixels_take_no_part(cloth):
    rgb = photo(cloth.rgb, srgb)
    valid = torch.ones(cloth.lr.shape[1:], dtype=torch.bool)
    valid[:, 96:] = False  # LR pixels; kernels reach two of them further
    broken = rgb.clone()
    broken[:, :, 4 * 100 :] = torch.rand(3, 512, 112, generator=torch.Generator().manual_seed(0))
    assert estimated(cloth, broken)[0].name == "linear"
    curve, misfits = estimated(cloth, broken, valid=valid)
    assert curve.name == "srgb" and misfits["srgb"] < 2


def test_too_small_images_are_taken_as_linear():
    generator = np.random.default_rng(0)
    lr, rgb = generator.random((31, 4, 4), np.float32), generator.random((3, 16, 16), np.float32)
    curve, misfits = estimate_tone(torch.from_numpy(lr), torch.from_numpy(rgb), 4)
    assert curve.name == "linear" and misfits == {}

from dataclasses import replace

import numpy as np
import pytest
import torch

from ifmsr.degradation import degrade
from ifmsr.degradation.kernels import block_mean
from ifmsr.degradation.pair import as_pair, mend
from ifmsr.scenes import Observation, Scene, nikon_d700, open_dataset


@pytest.fixture(scope="module")
def observation():
    """31 bands of Indian Pines at x4: 36 x 18 LR pixels."""
    cube = open_dataset("indian-pines").load("train").cube[10:41, :, :72]
    return degrade(Scene("pines", np.ascontiguousarray(cube), srf=nikon_d700()), 4)


def changed(observation, **windows):
    """`lr` or `rgb` with other values in a window."""
    images = {}
    for name, (window, value) in windows.items():
        images[name] = getattr(observation, name).copy()
        images[name][window] = value
    return replace(observation, **images)


def test_a_pair_without_defects_is_left_alone(observation):
    assert mend(observation) is observation


def test_each_image_is_in_a_unit_of_its_own_and_the_response_with_them(observation):
    rgb = observation.rgb * np.array([0.9, 0.5, 0.2], np.float32)[:, None, None]
    pair = as_pair(Observation(0.25 * observation.lr, rgb, 4, observation.srf))
    assert pair.lr.max() == 1 and (pair.rgb.amax((1, 2)) == 1).all()
    assert pair.lr_unit == 0.25 * observation.lr.max()
    torch.testing.assert_close(pair.rgb * pair.rgb_unit[:, None, None], torch.from_numpy(rgb))
    seen = torch.tensordot(pair.srf, pair.lr, dims=1) * pair.rgb_unit[:, None, None]
    np.testing.assert_allclose(seen, np.tensordot(observation.srf, 0.25 * observation.lr, axes=1), atol=1e-6)


def test_black_images_have_a_unit():
    pair = as_pair(Observation(np.zeros((4, 3, 3), np.float32), np.zeros((3, 12, 12), np.float32), 4))
    assert pair.lr_unit == 1 and (pair.rgb_unit == 1).all()


def test_hot_and_dead_values_are_replaced_by_what_the_other_bands_suggest(observation):
    hot = changed(observation, lr=((12, 20, 9), 1.0))
    mended = mend(hot)
    assert mended.lr_valid.all() and mended.rgb_valid.all()
    assert abs(mended.lr[12, 20, 9] - observation.lr[12, 20, 9]) < 0.06 < abs(1 - observation.lr[12, 20, 9])
    others = np.ones(observation.lr.shape, bool)
    others[12, 20, 9] = False
    np.testing.assert_array_equal(mended.lr[others], observation.lr[others])


def test_a_dead_column_of_a_band_is_mended(observation):
    dead = changed(observation, lr=((7, slice(None), 11), 0.0))
    error = np.abs(mend(dead).lr[7, :, 11] - observation.lr[7, :, 11])
    assert np.sqrt(np.mean(error**2)) < 2 * 3 / 255


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_pixels_without_a_spectrum_are_invalid(observation, value):
    stripe = changed(observation, lr=((slice(None), slice(None), slice(15, None)), value))
    mended = mend(stripe)
    assert mended.lr_valid[:, :15].all() and not mended.lr_valid[:, 15:].any()
    assert mended.rgb_valid.all()
    assert np.abs(mended.lr[:, :, 15] - observation.lr[:, :, 14]).mean() < 0.05  # a continuation


def test_a_black_guide_without_a_cube_below_is_invalid_too(observation):
    outside = changed(
        observation,
        lr=((slice(None), slice(None), slice(15, None)), 0.0),
        rgb=((slice(None), slice(None), slice(60, None)), 0.0),
    )
    mended = mend(outside)
    assert mended.rgb_valid[:, :60].all() and not mended.rgb_valid[:, 60:].any()


def test_given_masks_count_and_their_pixels_are_filled(observation):
    lr_valid, rgb_valid = np.ones((36, 18), bool), np.ones((144, 72), bool)
    lr_valid[5:9, 4:8], rgb_valid[:40] = False, False
    junk = changed(
        observation,
        lr=((slice(None), slice(5, 9), slice(4, 8)), 0.77),
        rgb=((slice(None), slice(40)), 0.99),
    )
    mended = mend(replace(junk, lr_valid=lr_valid, rgb_valid=rgb_valid))
    np.testing.assert_array_equal(mended.lr_valid, lr_valid)
    np.testing.assert_array_equal(mended.rgb_valid, rgb_valid)
    truth = observation.lr[:, 5:9, 4:8]
    assert np.abs(mended.lr[:, 5:9, 4:8] - truth).mean() < 0.5 * np.abs(0.77 - truth).mean()
    assert mended.rgb[:, :40].max() < 0.98


def test_lr_pixels_are_usable_where_the_guide_below_them_is_valid(observation):
    rgb_valid = np.ones((144, 72), bool)
    rgb_valid[:42] = False
    pair = as_pair(replace(observation, rgb_valid=rgb_valid))
    usable = pair.usable(block_mean(4))
    assert not usable[:11].any() and usable[11:].all()

import warnings
from dataclasses import replace

import numpy as np
import pytest

from ifmsr import metrics
from ifmsr.degradation.protocol import degrade
from ifmsr.errors import InputError, InputWarning
from ifmsr.guide import denoising
from ifmsr.inference import blocks as room
from ifmsr.inference.api import load_method, super_resolve
from ifmsr.inference.blocks import GRID, HALO, Blocks, Place, places
from ifmsr.methods.bicubic import Bicubic
from ifmsr.scenes import Scene, open_dataset


def enough_for(side, scale=4, bands=12):
    """Bytes with which blocks have this side in LR pixels."""
    return 4 * scale**2 * (room.CUBES * bands + room.IMAGES) * (side + 2 * HALO) ** 2


SMALL = enough_for(72)  # four blocks in the images of these tests


def mirrored(side, bands=12):
    """A real cube and its mirror images, a seamless one of this side; its guide are three of its bands."""
    part = open_dataset("indian-pines").load("train").cube[10 : 10 + bands, :128, :72]
    whole = np.concatenate([part, part[:, ::-1]], axis=1)
    whole = np.concatenate([whole, whole[:, :, ::-1]], axis=2)
    times = (1, -(-side // whole.shape[1]), -(-side // whole.shape[2]))
    return Scene("mirrored", np.tile(whole, times)[:, :side, :side].copy(), rgb_bands=(8, 4, 1))


@pytest.fixture(autouse=True)
def _noisy_guides_stay_so(request, monkeypatch):
    """Bands of Indian Pines are noisy, and the removal of noise is slow."""
    if "photograph" not in request.node.name:
        monkeypatch.setattr(denoising, "WORTH", np.inf)


@pytest.fixture(scope="module")
def scene():
    return mirrored(512)


@pytest.fixture(scope="module")
def observation(scene):
    return degrade(scene, 4)


@pytest.mark.parametrize("method", ["closed-form", "subspace-net"])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_blocks_are_those_of_the_whole_image(method, scale):
    """Sampled as a whole, an image is solved in blocks to 1e-5 as it is at once."""
    given = degrade(mirrored({2: 240, 4: 432, 8: 696}[scale]), scale)
    ready, (_, height, width) = load_method(method, scale), given.lr.shape
    side = -(-max(height, width) // (2 * GRID)) * GRID
    made = Blocks(given.lr, given.rgb, scale, ready, memory=enough_for(side, scale))
    assert len(made.places) == 4 and side + HALO < min(height, width)
    whole = super_resolve(given.lr, given.rgb, scale, method)
    np.testing.assert_allclose(made.whole()[0], whole, atol=1e-5, rtol=0)


def test_blocks_can_be_made_in_any_order_and_learn_nothing_more(observation):
    gap = observation.lr.copy()
    gap[:, 100:110, 20:40] = np.nan
    made = Blocks(gap, observation.rgb, 4, load_method("closed-form", 4), memory=SMALL)
    known = set(made._found._known)
    backwards = [made.block(number)[0] for number in reversed(range(len(made.places)))][::-1]
    assert set(made._found._known) == known and len(backwards) > 3
    for number, block in enumerate(backwards):
        np.testing.assert_array_equal(block, made.block(number)[0])


def test_four_pieces_tell_nearly_as_much_as_the_whole(scene, observation, monkeypatch):
    """The seams between the pieces take no part."""
    monkeypatch.setattr(room, "PIECE", 240)
    ready = load_method("closed-form", 4)
    made = Blocks(observation.lr, observation.rgb, 4, ready, memory=SMALL)
    valid = made.assessment.delivered.lr_valid
    assert valid.shape == (120, 120) and (~valid.any(0)).sum() == 4 == (~valid.any(1)).sum()
    assert made.assessment.fits and made.assessment.lr_invalid == 0
    sampled, whole = made.whole()[0], ready(observation)
    assert metrics.psnr(scene.cube, sampled) > metrics.psnr(scene.cube, whole) - 0.3


def test_the_largest_values_are_those_of_the_whole_image(observation, monkeypatch):
    """A glint outside the sample is not cut to the sample's largest value."""
    monkeypatch.setattr(room, "PIECE", 144)
    dark = replace(observation, lr=observation.lr * 0.4, rgb=observation.rgb * 0.4)
    dark.lr[:, 60:66, 60:66] *= 2.4
    dark.rgb[:, 240:264, 240:264] *= 2.4
    made = Blocks(dark.lr, dark.rgb, 4, load_method("closed-form", 4), memory=SMALL)
    glint = made.whole()[0][:, 244:260, 244:260]
    assert glint.max() > 0.85 * dark.lr.max() > 1.5 * made.assessment.delivered.lr.max()


def test_invalid_pixels_are_what_they_are_in_the_whole_image(observation):
    lr, rgb = observation.lr.copy(), observation.rgb.copy()
    lr[:, 30:40, 50:60], rgb[:, 400:440, 100:200] = np.nan, np.nan
    made = Blocks(lr, rgb, 4, load_method("closed-form", 4), memory=SMALL).whole()[0]
    whole = super_resolve(lr, rgb, 4, "closed-form")
    np.testing.assert_array_equal(np.isnan(made), np.isnan(whole))
    assert np.isnan(made).any() and np.nanmax(np.abs(made - whole)) < 0.05


def test_blocks_without_a_valid_pixel_of_either_image(observation):
    """As beyond the footprint of a flight line: no cube, no result; no guide, the cube upsampled alone."""
    lr, rgb = observation.lr.copy(), observation.rgb.copy()
    lr[:, :, 20:] = np.nan
    left = Blocks(lr, rgb, 4, load_method("subspace-net", 4), memory=enough_for(24))
    last = len(left.places) - 1
    for image in left.block(last, with_error=True):
        assert np.isnan(image).all() and image.shape[-2:] == (512 - left.places[last].rows.start, 32)
    rgb[:, :, 260:] = np.nan
    made = Blocks(observation.lr, rgb, 4, load_method("closed-form", 4), memory=enough_for(24))
    (block,) = made.block(len(made.places) - 1)
    bicubic = Bicubic()(observation)[:, *made.places[-1]]
    assert np.isfinite(block).all() and np.abs(block - bicubic).mean() < 0.03


def test_clipped_pixels_of_the_guide_are_not_followed(observation):
    """They count as invalid: the result there is the cube's."""
    clipped = np.minimum(observation.rgb, np.quantile(observation.rgb, 0.97))
    made = Blocks(observation.lr, clipped, 4, load_method("closed-form", 4), memory=SMALL)
    assert made.assessment.clipped > 0.02
    bicubic = Bicubic()(observation)
    there = (clipped == clipped.max()).any(0)
    assert np.abs(made.whole()[0] - bicubic)[:, there].mean() < 0.05


def test_a_photographs_noise_and_curve_are_removed_block_by_block(scene):
    random = np.random.default_rng(0)
    given = degrade(scene, 4)
    encoded = np.where(given.rgb <= 0.0031308, 12.92 * given.rgb, 1.055 * given.rgb ** (1 / 2.4) - 0.055)
    photo = (encoded + 0.01 * random.standard_normal(given.rgb.shape)).clip(0, 1).astype(np.float32)
    small = slice(0, 96), slice(0, 96)
    lr, photo = given.lr[:, *small].copy(), photo[:, :384, :384].copy()
    made = Blocks(lr, photo, 4, load_method("closed-form", 4), memory=enough_for(84))
    assert made.assessment.tone == "srgb" and made.assessment.rgb_noise == pytest.approx(0.01, rel=0.2)
    whole = super_resolve(lr, photo, 4, "closed-form")
    assert len(made.places) == 4 and metrics.psnr(whole, made.whole()[0]) > 60


def test_large_arrays_are_solved_in_blocks(observation, monkeypatch):
    whole = super_resolve(observation.lr, observation.rgb, 4, with_error=True)
    monkeypatch.setattr(room, "LARGE", 1000)
    used = []
    monkeypatch.setattr(Blocks, "whole", spied(Blocks.whole, used))
    made = super_resolve(observation.lr, observation.rgb, 4, memory=SMALL, with_error=True)
    assert used
    for image, expected in zip(made, whole, strict=True):
        np.testing.assert_allclose(image, expected, atol=1e-5, rtol=0)


def test_a_large_pair_that_has_to_be_registered_is_solved_as_a_whole(observation, monkeypatch):
    shifted = np.roll(observation.rgb, (9, -14), (1, 2))
    expected = super_resolve(observation.lr, shifted, 4, "closed-form")
    monkeypatch.setattr(room, "LARGE", 1000)
    used = []
    monkeypatch.setattr(Blocks, "whole", spied(Blocks.whole, used))
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        np.testing.assert_array_equal(super_resolve(observation.lr, shifted, 4, "closed-form"), expected)
    assert not used


def spied(function, calls):
    def noted(*given):
        calls.append(1)
        return function(*given)

    return noted


def test_other_scales_of_numbers_and_other_arrays(observation):
    """Memory maps, zarr and dask arrays of integers; the result as a dask array."""
    dask = pytest.importorskip("dask.array")
    zarr = pytest.importorskip("zarr")
    ready = load_method("closed-form", 4)
    lr, rgb = (np.rint(image * 4095).astype(np.uint16) for image in (observation.lr, observation.rgb))
    plain = Blocks(lr / np.float32(4095), rgb / np.float32(4095), 4, ready, memory=SMALL)
    stored = zarr.array(lr, chunks=(12, 64, 64)), dask.from_array(rgb, chunks=(3, 100, 200))
    made = Blocks(*stored, 4, ready, memory=SMALL, lr_maximum=4095, rgb_maximum=4095)
    result = made.to_dask()
    assert result.shape == made.shape and result.dtype == np.float32 and len(result.chunks[1]) > 1
    np.testing.assert_array_equal(result.compute(scheduler="synchronous"), plain.whole()[0])
    np.testing.assert_array_equal(made.into(np.empty(made.shape, np.float32)), plain.whole()[0])


def test_what_cannot_be_done_in_blocks_is_refused(observation):
    ready = load_method("closed-form", 4)
    with pytest.raises(InputError, match=r"^method: Bicubic needs whole images"):
        Blocks(observation.lr, observation.rgb, 4, Bicubic())
    with pytest.raises(InputError, match=r"^memory: 1000 bytes\. Give at least \d+"):
        Blocks(observation.lr, observation.rgb, 4, ready, memory=1000)
    with pytest.raises(InputError, match=r"^rgb: shape \(3, 512, 512\)"):
        Blocks(observation.lr, observation.rgb, 8, ready)
    with pytest.raises(InputError, match=r"^lr: values from"):
        Blocks(100 * observation.lr, observation.rgb, 4, ready)


def test_places_cover_an_image_once():
    covered = np.zeros((50, 75), int)
    for rows, columns in places((50, 75), 24):
        covered[rows, columns] += 1
    assert (covered == 1).all()
    place = Place(slice(24, 48), slice(0, 24))
    assert place.around(32, (50, 75)) == Place(slice(0, 50), slice(0, 56))
    assert place.within(place.around(8, (50, 75))) == Place(slice(8, 32), slice(0, 24))
    assert place.finer(4) == Place(slice(96, 192), slice(0, 96))

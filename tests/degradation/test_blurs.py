import numpy as np
import pytest

from ifmsr.degradation.blurs import (
    ASSUMED,
    UAL_BLURS,
    airy_disc,
    assumed_blur,
    embed,
    gaussian,
    motion_blur,
    ual_blur,
)
from ifmsr.degradation.protocol import blur_downsample, degrade, draw_degradation
from ifmsr.errors import InputError
from ifmsr.scenes.scene import Scene


def centroid(kernel, scale):
    """In high-resolution pixels, counted from a block's first one."""
    places = np.arange(len(kernel)) + (scale - len(kernel)) // 2
    return kernel.sum(1) @ places, kernel.sum(0) @ places


@pytest.mark.parametrize("scale", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("name", ASSUMED)
def test_assumed_blurs_are_sampling_kernels(name, scale):
    kernel = assumed_blur(name, scale)
    assert kernel.sum() == pytest.approx(1)
    assert (kernel >= 0).all()
    assert len(kernel) >= scale
    assert (len(kernel) - scale) % 2 == 0


@pytest.mark.parametrize(
    ("name", "place"), [("lttr", 0), ("cms", 3.5), ("pzres-net", 3), ("mhf-net", 3.5), ("mog-dcn", 4.5)]
)
def test_where_each_published_blur_samples_a_block_at_x8(name, place):
    assert centroid(assumed_blur(name, 8), 8) == pytest.approx((place, place))


@pytest.mark.parametrize(("name", "side"), [("lttr", 7), ("pzres-net", 7), ("mog-dcn", 8)])
def test_published_gaussians_have_a_standard_deviation_of_two(name, side):
    kernel = assumed_blur(name, 8)
    rows = kernel.sum(1)[kernel.any(1)]
    expected = np.exp(-((np.arange(side) - (side - 1) / 2) ** 2) / 8)
    np.testing.assert_allclose(rows, expected / expected.sum(), rtol=1e-12)


def test_ual_has_the_published_sides_and_widths():
    assert sorted(UAL_BLURS) == [(7, 1), (8, 6), (9, 4), (13, 8), (15, 3)]


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 4, 1.3, np.pi / 2, 2.2])
def test_motion_blurs_along_a_line(angle):
    """Its length and direction, in the moments; bilinear taps add at most a quarter along each axis."""
    kernel, places = motion_blur(9, angle), np.arange(9) - 4
    assert kernel.shape == (9, 9) and kernel.sum() == pytest.approx(1)
    assert centroid(kernel, 9) == pytest.approx((4, 4))
    across, down = kernel.sum(0) @ places**2, kernel.sum(1) @ places**2
    both = places @ kernel @ places
    along = 8**2 / 12
    assert across == pytest.approx(along * np.cos(angle) ** 2, abs=0.45)
    assert down == pytest.approx(along * np.sin(angle) ** 2, abs=0.45)
    assert both == pytest.approx(along * np.cos(angle) * np.sin(angle), abs=0.45)


def test_a_perfect_lens_has_its_half_width_and_its_dark_rings():
    """(2 J1(x) / x)^2 is a half at x = 1.61634, and 0 first at 3.8317 and 7.0156."""
    kernel = airy_disc(3.8317 / 1.61634)
    middle = len(kernel) // 2
    assert kernel.sum() == pytest.approx(1) and kernel.argmax() == kernel.size // 2
    assert kernel[middle, middle + 1] == pytest.approx(kernel[middle, middle] / 2, rel=1e-4)
    kernel = airy_disc(4.0)
    middle, row = len(kernel) // 2, kernel[len(kernel) // 2]
    assert row[middle + 4] < 1e-6 * row[middle] < row[middle + 5] < row[middle + 3]
    assert len(kernel) == 17 and row[middle + 7] > 0 == row[middle + 8]


def test_ual_has_all_five_blurs_with_two_registrations():
    rng = np.random.default_rng(0)
    drawn = [ual_blur(8, rng) for _ in range(100)]
    places = {round(centroid(kernel, 8)[0], 6) for kernel in drawn}
    assert places == {0, 3.5}
    assert len({kernel.tobytes() for kernel in drawn}) == len(UAL_BLURS)


def test_embed_reads_the_pixels_it_says():
    taps = np.arange(1.0, 10.0).reshape(3, 3)
    image = np.random.default_rng(1).random((20, 20))
    for first in (-4, -1, 0, 2, 5):
        kernel = embed(taps, first, 4)
        start, inside = (4 - len(kernel)) // 2, 8  # the block that begins at pixel 8
        window = image[inside + start : inside + start + len(kernel), inside + start :][:, : len(kernel)]
        wanted = image[inside + first : inside + first + 3, inside + first : inside + first + 3]
        assert (kernel * window).sum() == pytest.approx((taps * wanted).sum())


def test_gaussian_has_its_width():
    kernel = gaussian(41, 2.0)
    places = np.arange(41) - 20
    assert kernel.sum(0) @ places**2 == pytest.approx(4, rel=1e-3)


@pytest.mark.parametrize("preset", ["test", "train"])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_sampling_kernel_is_the_whole_degradation_away_from_the_border(preset, scale):
    image = np.random.default_rng(2).random((2, 96, 96)).astype(np.float32)
    inside = np.s_[:, 24 // scale + 1 : -24 // scale - 1, 24 // scale + 1 : -24 // scale - 1]
    for seed in range(6):
        draw = draw_degradation(scale, preset, seed)
        slow = blur_downsample(image, draw.kernel, scale, draw.mode)
        at_once = blur_downsample(image, draw.sampling_kernel(scale), scale, "block")
        assert np.abs(slow - at_once)[inside].max() < 3e-6


def test_test_degradation_is_sixteen_taps_wide():
    assert draw_degradation(4, "test", 0).sampling_kernel(4).shape == (16, 16)


def test_published_presets_degrade_without_noise():
    cube = np.random.default_rng(3).random((4, 16, 16)).astype(np.float32)
    scene = Scene("made", cube, np.arange(4.0), rgb_bands=(0, 1, 2))
    lr = degrade(scene, 4, "cms").lr
    assert lr == pytest.approx(cube.reshape(4, 4, 4, 4, 4).mean((2, 4)), abs=1e-6)
    assert np.array_equal(degrade(scene, 4, "ual", seed=1).lr, degrade(scene, 4, "ual", seed=1).lr)


def test_unknown_names_and_kernels_raise():
    with pytest.raises(InputError, match="blur"):
        assumed_blur("sharp", 4)
    with pytest.raises(InputError, match="a side of 4, 6, 8"):
        blur_downsample(np.zeros((1, 8, 8), np.float32), np.ones((5, 5)) / 25, 4, "block")

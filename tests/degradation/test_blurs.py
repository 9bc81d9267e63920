import numpy as np
import pytest

from ifmsr.degradation.blurs import ASSUMED, UAL_BLURS, assumed_blur, embed, gaussian, ual_blur
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

from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image

from ifmsr import metrics
from ifmsr.guide.denoising import GuideNoise
from ifmsr.guide.jpeg import halved, jpeg_error, missing_detail, predicted_detail, to_ycc, without_artefacts
from ifmsr.scenes import open_dataset
from ifmsr.study.real_guides import encoded


@pytest.fixture(scope="module")
def picture(cave_root):
    """(3, 256, 256) sRGB in [0, 1]."""
    rgb = open_dataset("cave", cave_root).load("stuffed_toys").crop_to_multiple(4, 256).rgb()
    return np.round(255 * encoded(rgb)).astype(np.float32) / 255


def photograph():
    """(3, H, W) a photograph that was stored as JPEG."""
    return stored(np.asarray(Image.open(get_sample_data("grace_hopper.jpg"))))


def compressed(picture, quality, **options):
    file, pixels = BytesIO(), np.round(255 * picture).astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, **options)
    return stored(np.asarray(Image.open(file)))


def stored(pixels):
    return torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32) / 255)


@pytest.mark.parametrize(("quality", "accuracy"), [(97, 0.4), (90, 0.2), (75, 0.2), (50, 0.2)])
def test_the_error_of_the_brightness_is_found(picture, quality, accuracy):
    rgb = compressed(picture, quality)
    error = to_ycc(rgb - torch.from_numpy(picture))[0]
    assert jpeg_error(rgb) == pytest.approx(float(error.square().mean().sqrt()), rel=accuracy)


def test_a_picture_that_was_no_jpeg_has_no_error(picture):
    assert jpeg_error(torch.from_numpy(picture)) == 0
    assert jpeg_error(torch.from_numpy(picture[:, :15])) == 0


def test_jpeg_is_found_in_part_of_a_photograph_but_not_after_resizing_it():
    rgb = photograph()
    assert jpeg_error(rgb) > 0
    assert jpeg_error(rgb[:, 3:, 5:]) == pytest.approx(jpeg_error(rgb), rel=0.1)
    pixels = (255 * rgb).round().byte().permute(1, 2, 0).numpy()
    assert jpeg_error(stored(np.asarray(Image.fromarray(pixels).resize((400, 470))))) == 0


def test_colours_at_half_the_resolution_are_told_from_whole_ones(picture):
    assert (
        missing_detail(compressed(picture, 90)) > missing_detail(compressed(picture, 90, subsampling=0)) + 0.2
    )
    assert missing_detail(torch.from_numpy(picture)) < 0.4


def test_a_colour_that_follows_the_brightness_gets_its_detail_back():
    brightness = torch.rand(24, 31, generator=torch.Generator().manual_seed(0))
    whole = 0.4 * brightness - 0.1
    coarse = halved(whole)
    found = coarse + predicted_detail(coarse, brightness)
    assert float((found - whole).square().mean()) < 0.01 * float((coarse - whole).square().mean())


@pytest.mark.parametrize(("quality", "gain"), [(90, 1.0), (75, 0.8)])
def test_artefacts_are_removed(picture, quality, gain):
    rgb = compressed(picture, quality)
    found = without_artefacts(rgb, jpeg_error(rgb), missing_detail(rgb)).numpy()
    assert metrics.psnr(picture, found) > metrics.psnr(picture, rgb.numpy()) + gain


def test_a_guides_noise_says_that_it_was_a_jpeg(picture):
    rgb = compressed(picture, 75)
    noise = GuideNoise.of(rgb, torch.ones(rgb.shape[1:], dtype=torch.bool))
    assert noise.jpeg and noise.worth and not noise.cut and noise.level == jpeg_error(rgb)
    assert metrics.psnr(picture, noise.removed_from(rgb).numpy()) > metrics.psnr(picture, rgb.numpy()) + 0.8
    clean = torch.from_numpy(picture)
    assert not GuideNoise.of(clean, torch.ones(clean.shape[1:], dtype=torch.bool)).jpeg


def test_a_jpeg_with_a_border_without_data_is_found(picture):
    rgb = compressed(picture, 75)
    valid = torch.ones(rgb.shape[1:], dtype=torch.bool)
    valid[:, :30] = False
    continued = torch.where(valid, rgb, rgb + 0.3 / 255)
    assert GuideNoise.of(continued, valid).level == pytest.approx(jpeg_error(rgb), rel=0.2)

"""Strips of rows are a matter of memory: the result is that of the whole image."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ifmsr.degradation import sampling
from ifmsr.degradation.protocol import degrade, gaussian_kernel
from ifmsr.degradation.sampling import decimate, strips, upsample
from ifmsr.methods.closed_form import ClosedForm, local_regression, shadow_denoising
from ifmsr.scenes import Scene, nikon_d700, open_dataset

WHOLE = 1 << 30


@pytest.fixture(scope="module")
def dark():
    """31 dark bands of Indian Pines, so that shadows are denoised too."""
    cube = 0.3 * open_dataset("indian-pines").load("train").cube[10:41]
    return Scene("dark", np.ascontiguousarray(cube), srf=nikon_d700())


def of_size(scene, scale, height, width):
    cube = np.ascontiguousarray(scene.cube[:, : scale * height, : scale * width])
    return degrade(replace(scene, cube=cube), scale)


def with_gaps(observation):
    """Invalid pixels of both images, some of them at a border."""
    lr_valid, rgb_valid = np.ones(observation.lr.shape[1:], bool), np.ones(observation.rgb.shape[1:], bool)
    lr_valid[5:8, 3:6], rgb_valid[50:70, :20] = False, False
    return replace(observation, lr_valid=lr_valid, rgb_valid=rgb_valid)


def in_strips(monkeypatch, values, function, *arguments):
    monkeypatch.setattr(sampling, "STRIP", values)
    for module in (local_regression, shadow_denoising):
        monkeypatch.setattr(module, "MAPS_AT_ONCE", values)
    return function(*arguments)


@pytest.mark.parametrize("height", [1, 8, 37, 64])
def test_strips_cover_every_row_once_and_begin_at_multiples(monkeypatch, height):
    monkeypatch.setattr(sampling, "STRIP", 700)
    rows = list(strips(torch.zeros(3, height, 10), 4))
    assert [row for part in rows for row in range(part.start, part.stop)] == list(range(height))
    assert all(part.start % 4 == 0 and (part.stop - part.start) * 30 <= 700 for part in rows)


@pytest.mark.parametrize(
    ("scale", "height", "width", "gaps"),
    [(4, 33, 18, False), (4, 36, 17, True), (3, 41, 23, False), (2, 61, 35, False), (8, 18, 9, False)],
)
@pytest.mark.parametrize("known", [True, False])
def test_seams_do_not_show(dark, monkeypatch, scale, height, width, gaps, known):
    """One block of rows per strip against the whole image, of odd sizes too."""
    observation = of_size(dark, scale, height, width)
    observation = with_gaps(observation) if gaps else observation
    observation = observation if known else replace(observation, srf=None)
    whole = in_strips(monkeypatch, WHOLE, ClosedForm(), observation)
    found = in_strips(monkeypatch, 1, ClosedForm(), observation)
    np.testing.assert_allclose(found, whole, atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_decimation_in_strips_is_that_of_the_whole_image(dark, monkeypatch, scale):
    image = torch.from_numpy(dark.cube[:3, :143, :71].copy())
    kernel = torch.from_numpy(gaussian_kernel(16 + scale, scale, lambda1=5, lambda2=9, theta=0.4)).float()
    whole = in_strips(monkeypatch, WHOLE, decimate, image, kernel, scale)
    found = in_strips(monkeypatch, 1, decimate, image, kernel, scale)
    assert whole.shape == (3, 143 // scale, 71 // scale)
    torch.testing.assert_close(found, whole, atol=1e-6, rtol=0)
    squares = in_strips(monkeypatch, 1, decimate, image, kernel, scale, torch.square)
    torch.testing.assert_close(squares, decimate(image.square(), kernel, scale), atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_some_rows_are_upsampled_as_all_are(dark, scale):
    image = torch.from_numpy(dark.cube[:3, :14, :11].copy())
    kernel = torch.zeros(scale + 8, scale + 8)
    kernel[2, scale + 5] = 1  # far from the middle
    whole = upsample(image, kernel, scale)
    for rows in (slice(0, 5), slice(7, 20), slice(14 * scale - 3, 14 * scale)):
        torch.testing.assert_close(upsample(image, kernel, scale, rows), whole[:, rows], atol=1e-6, rtol=0)

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.linalg import eigh
from scipy.ndimage import gaussian_filter

from ifmsr import metrics
from ifmsr.degradation import degrade, gaussian_kernel
from ifmsr.methods import closed_form
from ifmsr.methods.closed_form import ClosedForm
from ifmsr.methods.colour_detail import FINEST, calm, covariance, excess
from ifmsr.methods.global_regression import regress
from ifmsr.sampling import decimate
from ifmsr.scenes import open_dataset

RED, GREEN, BLUE = 29, 19, 9  # of Indian Pines


@pytest.fixture(scope="module")
def pines():
    """The real image (200, 144, 72)."""
    return torch.from_numpy(open_dataset("indian-pines").load("train").cube.copy())


@pytest.fixture(scope="module")
def colours(pines):
    return pines[[RED, GREEN, BLUE]]


def noise_like(image, seed=0):
    return torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))


def octaves(rgb, scale):
    """The octave that an LR image sees, and the finer ones, by SciPy's Gaussians."""
    blurred = lambda sigma: gaussian_filter(rgb, (0, sigma, sigma), mode="nearest", truncate=3)  # noqa: E731
    sigmas = [2 * FINEST * scale, FINEST * scale]
    while sigmas[-1] / 2 >= FINEST:
        sigmas.append(sigmas[-1] / 2)
    levels = [*map(blurred, sigmas), rgb]
    seen, *unseen = [fine - coarse for coarse, fine in pairwise(levels)]
    return seen, unseen


def largest_growth(rgb, scale):
    seen, unseen = octaves(rgb.double().numpy(), scale)
    allowed = np.einsum("ihw,jhw->ij", seen, seen)
    return max(eigh(np.einsum("ihw,jhw->ij", fine, fine), allowed)[0][-1] for fine in unseen)


# --- the filter of one octave --------------------------------------------------------------------------------


def test_covariance_is_the_mean_of_products(colours):
    piece = colours[:, :4, :5]
    expected = np.zeros((3, 3))
    for y in range(4):
        for x in range(5):
            pixel = piece[:, y, x].double().numpy()
            expected += np.outer(pixel, pixel) / 20
    np.testing.assert_allclose(covariance(piece), expected, rtol=1e-12)


def test_what_exceeds_is_taken_away_along_generalised_eigenvectors(colours):
    """Against SciPy's solution of C v = growth C_seen v."""
    seen, octave = colours - colours.mean((1, 2), keepdim=True), noise_like(colours) * 0.02
    found = torch.eye(3).double() - excess(octave, seen).double()
    allowed, fine = (covariance(image).numpy() for image in (seen, octave))
    growth, axes = eigh(fine, allowed)
    assert growth[0] < 1 < growth[-1]
    expected = allowed @ axes @ np.diag(1 / np.maximum(growth, 1)) @ axes.T
    np.testing.assert_allclose(found, expected, atol=1e-3)
    left = eigh(expected @ fine, allowed)[0]
    np.testing.assert_allclose(left, np.minimum(growth, 1), rtol=1e-6)


def test_an_octave_that_does_not_grow_loses_nothing(colours):
    seen = colours - colours.mean((1, 2), keepdim=True)
    assert torch.equal(excess(0.9 * seen, seen), torch.zeros(3, 3))
    torch.testing.assert_close(excess(2 * seen, seen), 0.75 * torch.eye(3), atol=1e-3, rtol=0)


# --- whole images --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_an_image_whose_octaves_fade_stays_as_it_is(colours, scale):
    soft = torch.from_numpy(gaussian_filter(colours.numpy(), (0, scale, scale), mode="nearest"))
    assert largest_growth(soft, scale) < 1
    assert torch.equal(calm(soft, scale), soft)


@pytest.mark.parametrize("scale", [2, 4, 6, 8])
def test_no_mixture_of_colours_keeps_more_than_the_seen_octave_has(colours, scale):
    noisy = (0.3 * colours + 0.3 + 0.02 * noise_like(colours)).clamp(0, 1)
    calmed = calm(noisy, scale)
    assert largest_growth(noisy, scale) > 2
    seen, unseen = octaves(noisy.double().numpy(), scale)
    allowed = np.einsum("ihw,jhw->ij", seen, seen)
    expected = noisy.double().numpy()
    for octave in unseen:
        growth, axes = eigh(np.einsum("ihw,jhw->ij", octave, octave), allowed)
        filtered = allowed @ axes @ np.diag(1 / np.maximum(growth, 1)) @ axes.T
        expected = expected - np.tensordot(np.eye(3) - filtered, octave, axes=1)
    np.testing.assert_allclose(calmed, expected, atol=2e-3)


def test_noise_in_the_difference_of_nearly_equal_bands_goes_and_common_detail_stays(colours):
    grey = colours[:1].expand(3, -1, -1)
    clean = grey + 0.05 * (colours - grey)
    noisy = clean + 0.01 * noise_like(clean)
    calmed = calm(noisy, 4)
    differences = lambda image: image[1:] - image[:1]  # noqa: E731
    before, after = ((differences(image) - differences(clean)).std() for image in (noisy, calmed))
    assert after < 0.5 * before
    lost = (calmed.mean(0) - clean.mean(0)).std() / clean.mean(0).std()
    assert lost < 0.15


def test_where_bands_are_misaligned_maps_from_calmed_colours_are_nearer_to_the_truth(pines):
    """The green band lies a pixel beside the others, in the colours alone."""
    kernel = torch.from_numpy(gaussian_kernel(20, 4, lambda1=8, lambda2=8, alignment="centred")).float()
    truth, rgb = pines[[40, 60, 100, 150]], pines[[RED, GREEN, BLUE]]
    rgb[1] = rgb[1].roll(1, dims=0)
    lr = decimate(truth, kernel, 4)

    def rmse(colours):
        error = regress(lr, colours, kernel, 4).fine - truth
        return float(error[:, 8:-8, 8:-8].square().mean().sqrt())

    assert rmse(calm(rgb, 4)) < 0.95 * rmse(rgb)


@pytest.mark.parametrize(("part", "scale"), [("train", 4), ("train", 8), ("validation", 4)])
def test_a_satellites_infrared_is_drawn_half_a_decibel_better(worldview2_file, monkeypatch, part, scale):
    scene = open_dataset("worldview2", worldview2_file.parent).load(f"imgWV2-{part}").crop_to_multiple(scale)
    observation = degrade(scene, scale)
    calmed = metrics.psnr(scene.cube, ClosedForm()(observation))
    monkeypatch.setattr(closed_form, "calm", lambda rgb, scale: rgb)
    assert calmed > metrics.psnr(scene.cube, ClosedForm()(observation)) + 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (4, 4), (33, 5)])
def test_images_of_any_size_and_without_contrast_are_taken(size):
    for value in (0.0, 0.4, 1.0):
        flat = torch.full((3, *size), value)
        torch.testing.assert_close(calm(flat, 4), flat)
    grey = torch.rand(1, *size, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1)
    assert calm(grey, 32).isfinite().all()

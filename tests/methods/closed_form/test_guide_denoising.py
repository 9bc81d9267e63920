from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.linalg import eigh
from scipy.ndimage import gaussian_filter

from ifmsr import metrics
from ifmsr.degradation.protocol import degrade, gaussian_kernel
from ifmsr.degradation.sampling import decimate
from ifmsr.methods.closed_form import chain as closed_form
from ifmsr.methods.closed_form.chain import ClosedForm
from ifmsr.methods.closed_form.global_regression import regress_globally
from ifmsr.methods.closed_form.guide_denoising import FINEST, covariance, denoise_guide, excess, share
from ifmsr.scenes import open_dataset

RED, GREEN, BLUE = 29, 19, 9  # of Indian Pines


@pytest.fixture(scope="module")
def pines():
    """The real image (200, 144, 72)."""
    return torch.from_numpy(open_dataset("indian-pines").load("train").cube.copy())


@pytest.fixture(scope="module")
def rgb_values(pines):
    return pines[[RED, GREEN, BLUE]]


def noise_like(image, seed=0):
    return torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))


def octaves(rgb, scale):
    """The octave that an LR image sees, and the finer ones, by SciPy's Gaussians."""
    blurred = lambda sigma: gaussian_filter(rgb, (0, sigma, sigma), mode="nearest", truncate=3)  # noqa: E731
    sigmas = [2 * FINEST * scale, FINEST * scale]
    sigmas += [FINEST * 2**octave for octave in range(8, -1, -1) if 2**octave < scale]
    levels = [*map(blurred, sigmas), rgb]
    seen, *unseen = [fine - coarse for coarse, fine in pairwise(levels)]
    return seen, unseen


def slow_denoising(rgb, scale):
    """The module's docstring with SciPy: generalised eigenvectors v of C_finest v = ratio C_seen / 2 v."""
    rgb = rgb.double().numpy()
    seen, unseen = octaves(rgb, scale)
    most, finest = (np.einsum("ihw,jhw->ij", x, x) / x[0].size for x in (seen * 0.5**0.5, unseen[-1]))
    ratios, v = eigh(finest, most)
    noise = most @ v @ np.diag(np.maximum(ratios - 1, 0)) @ v.T @ most
    result = rgb
    impulse = np.zeros((1, 401, 401))
    impulse[0, 200, 200] = 1
    white = [(octave**2).sum() for octave in octaves(impulse, scale)[1]]
    for octave, energy in zip(unseen, white, strict=True):
        whole = np.einsum("ihw,jhw->ij", octave, octave) / octave[0].size
        shares, v = eigh(noise * energy / white[-1], whole)
        wiener = np.eye(3) - whole @ v @ np.diag(np.clip(shares, 0, 1)) @ v.T
        result = result + np.tensordot(wiener - np.eye(3), octave, axes=1)
    return result, ratios


# --- covariances ---------------------------------------------------------------------------------------------


def test_covariance_is_the_mean_of_products(rgb_values):
    piece = rgb_values[:, :4, :5]
    expected = np.zeros((3, 3))
    for y in range(4):
        for x in range(5):
            pixel = piece[:, y, x].double().numpy()
            expected += np.outer(pixel, pixel) / 20
    np.testing.assert_allclose(covariance(torch.zeros_like(piece), piece), expected, rtol=1e-5)


def test_excess_and_share_are_what_they_are_for_numbers_along_common_axes():
    axes = torch.linalg.qr(noise_like(torch.zeros(3, 3)).double())[0]
    matrix = lambda *values: axes @ torch.diag(torch.tensor(values).double()) @ axes.T  # noqa: E731
    found, most = matrix(5.0, 2.0, 1.0), matrix(2.0, 2.0, 4.0)
    torch.testing.assert_close(excess(found, most), matrix(3.0, 0.0, 0.0))
    torch.testing.assert_close(share(most, found), matrix(0.4, 1.0, 1.0))


# --- whole images --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_an_image_whose_octaves_fade_stays_as_it_is(rgb_values, scale):
    soft = torch.from_numpy(gaussian_filter(rgb_values.numpy(), (0, scale, scale), mode="nearest"))
    assert slow_denoising(soft, scale)[1].max() < 1
    assert torch.equal(denoise_guide(soft, scale), soft)


@pytest.mark.parametrize("scale", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("level", [0.0, 0.01, 0.03])
def test_it_is_wieners_filter_in_every_octave(rgb_values, scale, level):
    noisy = (0.3 * rgb_values + 0.3 + level * noise_like(rgb_values)).clamp(0, 1)
    expected, ratios = slow_denoising(noisy, scale)
    assert ratios.max() > 1
    np.testing.assert_allclose(denoise_guide(noisy, scale), expected, atol=1e-3)


def test_noise_in_the_difference_of_nearly_equal_bands_goes_and_common_detail_stays(rgb_values):
    grey = rgb_values[:1].expand(3, -1, -1)
    clean = grey + 0.05 * (rgb_values - grey)
    noisy = clean + 0.01 * noise_like(clean)
    denoised = denoise_guide(noisy, 4)
    differences = lambda image: image[1:] - image[:1]  # noqa: E731
    before, after = ((differences(image) - differences(clean)).std() for image in (noisy, denoised))
    assert after < 0.5 * before
    lost = (denoised.mean(0) - clean.mean(0)).std() / clean.mean(0).std()
    assert lost < 0.15


def test_where_bands_are_misaligned_maps_from_denoised_rgb_values_are_nearer_to_the_truth(pines):
    """The green channel of the RGB image is shifted by one pixel against the others."""
    kernel = torch.from_numpy(gaussian_kernel(20, 4, lambda1=8, lambda2=8, alignment="centred")).float()
    truth, rgb = pines[[40, 60, 100, 150]], pines[[RED, GREEN, BLUE]]
    rgb[1] = rgb[1].roll(1, dims=0)
    lr = decimate(truth, kernel, 4)

    def rmse(rgb_values):
        error = regress_globally(lr, rgb_values, kernel, 4).fine(rgb_values) - truth
        return float(error[:, 8:-8, 8:-8].square().mean().sqrt())

    assert rmse(denoise_guide(rgb, 4)) < 0.95 * rmse(rgb)


@pytest.mark.parametrize(("part", "scale"), [("train", 4), ("train", 8), ("validation", 4)])
def test_a_satellites_infrared_is_predicted_half_a_decibel_better(worldview2_file, monkeypatch, part, scale):
    scene = open_dataset("worldview2", worldview2_file.parent).load(f"imgWV2-{part}").crop_to_multiple(scale)
    observation = degrade(scene, scale)
    denoised = metrics.psnr(scene.cube, ClosedForm()(observation))
    monkeypatch.setattr(closed_form, "denoise_guide", lambda rgb, *_: rgb)
    assert denoised > metrics.psnr(scene.cube, ClosedForm()(observation)) + 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (4, 4), (33, 5)])
def test_images_of_any_size_and_without_contrast_are_taken(size):
    for value in (0.0, 0.4, 1.0):
        flat = torch.full((3, *size), value)
        torch.testing.assert_close(denoise_guide(flat, 4), flat)
    grey = torch.rand(1, *size, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1)
    assert denoise_guide(grey, 32).isfinite().all()

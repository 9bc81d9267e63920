import numpy as np
import pytest
import torch
from scipy.ndimage import shift

from ifmsr.degradation.estimation import estimate_degradation
from ifmsr.degradation.protocol import degrade
from ifmsr.methods.subspace_net.band_consistency import band_consistency, differences, weighted_median
from ifmsr.scenes import Scene, open_dataset


@pytest.fixture(scope="module")
def pines():
    """A real cube (31, 144, 72) with spectra as smooth as they come."""
    return open_dataset("indian-pines").load("train").cube[10:41]


def mean_around(image, sigma):
    """Every window by itself, the border replicated."""
    reach = int(np.ceil(3 * sigma))
    steps = np.arange(-reach, reach + 1)
    weights = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * sigma**2))
    rows, columns = np.indices(image.shape)
    result = np.zeros_like(image)
    for y, x in zip(rows.ravel(), columns.ravel(), strict=True):
        inside = np.clip(y + steps, 0, len(image) - 1)[:, None], np.clip(x + steps, 0, image.shape[1] - 1)
        result[y, x] = (weights * image[inside]).sum() / weights.sum()
    return result


def slow_coherence(lr, noise):
    """The module's docstring in NumPy; fourth differences by np.diff."""
    local = np.stack([band - mean_around(band, 2) for band in lr.astype(float)])
    order = min(4, len(lr) - 1)
    white = np.diff(np.eye(len(lr)), n=order, axis=0)
    jumps = np.diff(local, n=order, axis=0) / np.sqrt((white[0] ** 2).sum())
    j, d = (mean_around((cube**2).mean(0), 1.5) for cube in (jumps, local))
    d = np.maximum(d - noise**2, 0)
    ratio, weight = (np.maximum(j - noise**2, 0) / (d + noise**2)).ravel(), d.ravel()
    ascending = np.argsort(ratio)
    half = np.flatnonzero(np.cumsum(weight[ascending]) >= weight.sum() / 2)[0]
    excess = np.maximum(j - 1.2 * noise**2 - ratio[ascending][half] * d, 0)
    return 1 / (1 + excess / (noise**2 + d / 20))


@pytest.mark.parametrize("bands", [31, 5, 3])
def test_it_is_the_formula(pines, bands):
    rng = np.random.default_rng(0)
    lr = pines[:bands, 20:41, 20:43] + 0.01 * rng.normal(size=(bands, 21, 23)).astype(np.float32)
    lr[::2, 5:15, 5:15] = np.roll(lr[::2, 5:15, 5:15], 2, axis=2)
    found = band_consistency(torch.from_numpy(lr), 0.01)
    assert found.min() < 0.8 and found.max() == 1
    np.testing.assert_allclose(found, slow_coherence(lr, 0.01), atol=2e-3)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_differences_keep_the_variance_of_noise_and_take_smooth_spectra_away(order):
    noise = torch.randn(order + 1, 400, 400, generator=torch.Generator().manual_seed(0))
    assert differences(noise).shape == (1, 400, 400)
    assert differences(noise).var() == pytest.approx(1, rel=0.01)
    polynomial = torch.arange(order + 1.0)[:, None, None] ** (order - 1) + torch.ones(1, 2, 2)
    assert differences(polynomial).abs().max() < 1e-5


def test_a_weighted_median_has_half_of_the_weight_below():
    values, weights = torch.tensor([[3.0, 1.0], [2.0, 9.0]]), torch.tensor([[1.0, 1.0], [1.0, 10.0]])
    assert weighted_median(values, torch.ones(2, 2)) == 2
    assert weighted_median(values, weights) == 9
    assert weighted_median(values, torch.zeros(2, 2)) in values


@pytest.mark.parametrize(("bands", "most"), [(31, 0.85), (8, 0.95)])
def test_what_moves_between_the_bands_stands_out(pines, bands, most):
    """Also among few bands, whose spectra jump everywhere."""
    chosen = pines[:: 31 // bands].copy()
    rng = np.random.default_rng(1)
    still = degrade(Scene("still", chosen, rgb_bands=(0, 1, 2)), 2)
    for band in chosen:
        band[:72] = shift(band[:72], rng.normal(size=2) * 2, order=1, mode="nearest")
    moved = degrade(Scene("moved", chosen, rgb_bands=(0, 1, 2)), 2)
    before, after = (
        band_consistency(torch.from_numpy(o.lr), estimate_degradation(o).noise) for o in (still, moved)
    )
    assert before.mean() > 0.9
    assert after[:36].mean() < most * after[36:].mean()


def test_it_does_not_depend_on_the_exposure(pines):
    lr = torch.from_numpy(pines[:, :40, :40].copy())
    lr[::2, :20] = lr[::2, :20].roll(3, 2)
    torch.testing.assert_close(
        band_consistency(lr, 0.01), band_consistency(lr / 8, 0.01 / 8), atol=1e-4, rtol=0
    )
    assert band_consistency(lr, 0.01).min() < 0.8


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("shape", [(1, 6, 6), (2, 1, 1), (31, 1, 5), (8, 3, 3)])
def test_few_bands_and_pixels_and_no_noise_work(shape, noise):
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    found = band_consistency(image, noise)
    assert found.shape == shape[1:] and found.isfinite().all() and found.min() > 0 and found.max() <= 1
    flat = band_consistency(torch.full(shape, 0.3), noise)
    torch.testing.assert_close(flat, torch.ones(shape[1:]))

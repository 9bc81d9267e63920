import numpy as np
import pytest
import torch

from ifmsr.degradation.protocol import gaussian_kernel
from ifmsr.degradation.sampling import decimate, upsample
from ifmsr.degradation.smoothing import gaussian_taps, smoothed
from ifmsr.methods.closed_form import local_regression
from ifmsr.methods.closed_form.local_regression import (
    GROUPS,
    LEAST_RIDGE,
    RIDGES,
    SMOOTHINGS,
    WINDOWS,
    Window,
    by_brightness,
    explain,
    group_bounds,
    sharpened,
    smoothings,
    stein,
)
from ifmsr.scenes import open_dataset

CPU = torch.device("cpu")
NOISE = 0.02


@pytest.fixture(scope="module")
def pines():
    """A real image (B, 48, 64) in [0, 1]: four bands of maps, then three of RGB values."""
    cube = open_dataset("indian-pines").load("train").cube[[40, 60, 100, 150, 29, 19, 9], :48, :64]
    return torch.from_numpy(np.ascontiguousarray(cube))


@pytest.fixture(scope="module")
def kernel():
    return torch.from_numpy(gaussian_kernel(21, 3, lambda1=3, lambda2=6, theta=0.5)).float()


def window_weights(sigma):
    """The square window's weights, one by one, and its reach."""
    reach = int(np.ceil(3 * sigma))
    steps = range(-reach, reach + 1)
    weights = np.array([[np.exp(-(a * a + b * b) / (2 * sigma**2)) for b in steps] for a in steps])
    return weights / weights.sum(), reach


def neighbourhood(image, y, x, reach):
    """The pixels of a window, (C, (2 reach + 1)^2), the border replicated."""
    rows = np.clip(np.arange(y - reach, y + reach + 1), 0, image.shape[1] - 1)
    columns = np.clip(np.arange(x - reach, x + reach + 1), 0, image.shape[2] - 1)
    return image[:, rows][:, :, columns].reshape(len(image), -1)


def slow_fits(maps, seen, sigma, ridge):
    """Weighted least squares in every window by itself, then every coefficient's weighted mean."""
    weights, reach = window_weights(sigma)
    root = np.sqrt(weights.ravel())
    _, h, w = maps.shape
    own = np.zeros((4, len(maps), h, w))
    for y in range(h):
        for x in range(w):
            rgb_values, values = (neighbourhood(image, y, x, reach) for image in (seen, maps))
            design = np.vstack([rgb_values, np.ones(len(root))]).T * root[:, None]
            design = np.vstack([design, np.sqrt(ridge) * np.eye(4)[:3]])  # of the slopes alone
            aim = np.vstack([values.T * root[:, None], np.zeros((3, len(maps)))])
            own[:, :, y, x] = np.linalg.lstsq(design, aim, rcond=None)[0]
    flat = own.reshape(-1, h, w)
    mean = np.zeros_like(flat)
    for y in range(h):
        for x in range(w):
            mean[:, y, x] = neighbourhood(flat, y, x, reach) @ weights.ravel()
    return mean.reshape(own.shape)


def affine_fits(maps, seen, noise):
    """The fits of every window and ridge, (4, R, h, w) each."""
    ridges = [max(relative * noise**2, LEAST_RIDGE) for relative in RIDGES]
    return [fit for window in WINDOWS for fit in Window(seen, window, ridges).fits(maps)]


def split(coefficients):
    return coefficients[:3], coefficients[3]


def record_risks(monkeypatch):
    """What every call of `stein` in `explain` was given: (errors, traces per pixel, risks)."""
    calls = []

    def recorder(error, traces, noise, group):
        risk = stein(error, traces, noise, group)
        traces = traces.expand_as(error).mean((1, 2))
        calls.append((error.clone(), traces, risk[:, group.flatten()].view_as(error)))
        return risk

    monkeypatch.setattr(local_regression, "stein", recorder)
    return calls


# --- smoothing -----------------------------------------------------------------------------------------------


def test_smoothings_begin_with_the_maps_as_they_are(pines):
    found = list(smoothings(pines))
    assert torch.equal(found[0], pines) and len(found) == 1 + len(SMOOTHINGS)
    for sigma, smooth in zip(SMOOTHINGS, found[1:], strict=True):
        assert torch.equal(smooth, smoothed(pines, gaussian_taps(sigma, CPU)))


# --- local fits ----------------------------------------------------------------------------------------------


def test_fits_are_weighted_least_squares_in_every_window(pines):
    maps, seen = (part[:, :7, :9].contiguous() for part in (pines[:2], pines[4:]))
    found = affine_fits(maps, seen, NOISE)
    choices = [(window, relative) for window in WINDOWS for relative in RIDGES]
    assert len(found) == len(choices)
    for (slopes, offsets), (window, relative) in zip(map(split, found), choices, strict=True):
        expected = slow_fits(maps.double().numpy(), seen.double().numpy(), window, relative * NOISE**2)
        np.testing.assert_allclose(slopes, expected[:3], atol=2e-3)
        np.testing.assert_allclose(offsets, expected[3], atol=2e-3)


def test_without_noise_there_is_a_ridge_still(pines):
    """RGB values that differ by about as much as it allows for."""
    maps = pines[:1, :5, :6].contiguous()
    seen = 1e-4 * torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0))
    slopes, offsets = split(affine_fits(maps, seen, 0.0)[0])
    expected = slow_fits(maps.double().numpy(), seen.double().numpy(), WINDOWS[0], LEAST_RIDGE)
    np.testing.assert_allclose(slopes, expected[:3], atol=1e-2 * np.abs(expected[:3]).max())
    np.testing.assert_allclose(offsets, expected[3], atol=2e-3)
    without = slow_fits(maps.double().numpy(), seen.double().numpy(), WINDOWS[0], 0.0)
    assert np.abs(without[:3] - expected[:3]).max() > 0.1 * np.abs(expected[:3]).max()


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (6, 6)])
def test_images_of_a_few_pixels_are_fitted_too(pines, size):
    maps, seen = (part[:, : size[0], : size[1]].contiguous() for part in (pines[:2], pines[4:]))
    for noise in (0.0, NOISE):
        slopes, offsets = split(explain(maps, seen, noise))
        assert slopes.shape == (3, 2, *size) and offsets.shape == (2, *size)
        assert slopes.isfinite().all() and offsets.isfinite().all()


# --- choosing by risk ----------------------------------------------------------------------------------------


def test_steins_risk_is_the_misfit_and_twice_the_noise_times_the_trace_in_each_group():
    generator = np.random.default_rng(0)
    error, traces = (generator.standard_normal((3, 4, 5)).astype(np.float32) for _ in range(2))
    group = generator.integers(GROUPS, size=(4, 5))
    found = stein(torch.from_numpy(error), torch.from_numpy(traces), 0.3, torch.from_numpy(group))
    assert found.shape == (3, GROUPS)
    for i in range(3):
        for number in range(GROUPS):
            same = group == number
            expected = (error[i][same] ** 2).mean() + 2 * 0.09 * traces[i][same].mean()
            assert float(found[i, number]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_groups_are_of_equal_size_and_growing_brightness(pines):
    seen = pines[4:]
    group, brightness = by_brightness(seen, group_bounds(seen)).numpy(), seen.mean(0).numpy()
    counts = np.bincount(group.ravel(), minlength=GROUPS)
    assert len(counts) == GROUPS and np.abs(counts - group.size / GROUPS).max() < 0.02 * group.size
    for darker in range(GROUPS - 1):
        assert brightness[group == darker].max() <= brightness[group == darker + 1].min()
    flat = torch.full((3, 4, 5), 0.4)
    assert len(by_brightness(flat, group_bounds(flat)).unique()) == 1


def test_the_probes_traces_are_those_of_the_linear_maps(pines, monkeypatch):
    """The matrices of the maps, column by column: all fits, and all smoothings of the chosen fit's residual."""
    h, w = 9, 11
    maps, seen = (part[:, :h, :w].contiguous() for part in (pines[:1], pines[4:]))
    maps = maps + NOISE * torch.randn(maps.shape, generator=torch.Generator().manual_seed(1))
    columns = torch.eye(h * w).view(h * w, h, w)
    matrices = [
        ((slopes * seen[:, None]).sum(0) + offsets).flatten(1).T
        for slopes, offsets in map(split, affine_fits(columns, seen, NOISE))
    ]
    calls = record_risks(monkeypatch)
    explain(maps, seen, NOISE)
    fits = len(matrices)
    assert len(calls) == fits + 2 + len(SMOOTHINGS)
    choice = torch.stack([risk[0] for _, _, risk in calls[:fits]]).argmin(0).flatten()  # of every pixel
    best = torch.stack([matrices[i][pixel] for pixel, i in enumerate(choice.tolist())])
    assert len(choice.unique()) > 1
    matrices.append(best)
    left = torch.eye(h * w) - best
    for smooth in smoothings(left.T.reshape(h * w, h, w)):
        matrices.append(best + smooth.flatten(1).T)

    for matrix, (error, trace, _) in zip(matrices, calls, strict=True):
        symmetric = (matrix + matrix.T) / 2
        off_diagonal = symmetric - symmetric.diagonal().diag()
        deviation = float((2 * off_diagonal.square().sum()).sqrt()) / (h * w)  # of x^T A x for random signs x
        assert float(trace[0]) == pytest.approx(float(matrix.trace()) / (h * w), abs=3 * deviation + 1e-5)
        residual = (matrix @ maps[0].flatten() - maps[0].flatten()).view(h, w)
        torch.testing.assert_close(error[0], residual, atol=1e-4, rtol=0)


def test_the_estimated_risk_is_the_error_against_the_truth(pines, monkeypatch):
    """It needs no truth, and differs from the mean square error by the noise's variance."""
    clean, seen = smoothed(pines[:4], gaussian_taps(1.0, CPU)), pines[4:]
    noisy = clean + NOISE * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    calls = record_risks(monkeypatch)
    explain(noisy, seen, NOISE)
    for error, _, risk in calls:
        truly = (error + noisy - clean).square().mean((1, 2))
        torch.testing.assert_close(risk.mean((1, 2)) - NOISE**2, truly, atol=0.15 * NOISE**2, rtol=0)


def test_without_noise_the_maps_are_reproduced(pines):
    maps, seen = pines[:4], pines[4:]
    slopes, offsets = split(explain(maps, seen, 0.0))
    torch.testing.assert_close((slopes * seen[:, None]).sum(0) + offsets, maps, atol=1e-5, rtol=0)


def test_with_noise_the_explained_maps_are_nearer_to_the_clean_ones(pines):
    clean, seen = smoothed(pines[:4], gaussian_taps(1.0, CPU)), smoothed(pines[4:], gaussian_taps(1.0, CPU))
    noisy = clean + NOISE * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    slopes, offsets = split(explain(noisy, seen, NOISE))
    error = ((slopes * seen[:, None]).sum(0) + offsets - clean).square().mean((1, 2))
    assert (error < 0.35 * (noisy - clean).square().mean((1, 2))).all()


def test_every_map_is_explained_by_itself(pines):
    """Others beside it, and their order, change nothing."""
    maps, seen = pines[:4], pines[4:]
    slopes, offsets = split(explain(maps, seen, NOISE))
    turned = split(explain(maps.flip(0), seen, NOISE))
    torch.testing.assert_close(turned[0].flip(1), slopes, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(turned[1].flip(0), offsets, atol=1e-4, rtol=1e-4)
    alone = split(explain(maps[2:3], seen, NOISE))
    torch.testing.assert_close(alone[0], slopes[:, 2:3], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(alone[1], offsets[2:3], atol=1e-4, rtol=1e-4)


# --- at high resolution --------------------------------------------------------------------------------------


def test_a_map_that_rgb_values_explain_is_upsampled_sharply(pines, kernel):
    """An affine function of the RGB values, known at high resolution, seen blurred, decimated and with noise."""
    rgb = pines[4:, :, :63].contiguous()
    truth = torch.stack([0.2 + 0.5 * rgb[0] - 0.3 * rgb[1] + 0.8 * rgb[2], rgb[1] - rgb[2]])
    small, seen = decimate(truth, kernel, 3), decimate(rgb, kernel, 3)

    def error(image):
        return (image - truth)[:, 6:-6, 6:-6].square().mean().sqrt()

    sharp = sharpened(explain(small, seen, 0.0), rgb, kernel, 3)
    assert sharp.shape == truth.shape
    blurry = upsample(small, kernel, 3)
    assert error(sharp) < 0.05 * error(blurry)
    noisy = small + 0.003 * torch.randn(small.shape, generator=torch.Generator().manual_seed(0))
    assert error(sharpened(explain(noisy, seen, 0.003), rgb, kernel, 3)) < 0.3 * error(blurry)


def test_maps_that_the_guide_does_not_explain_are_upsampled(pines, kernel):
    """RGB values without contrast: nothing to predict from, so without noise this is `upsample`."""
    small, rgb = decimate(pines[:2, :, :63], kernel, 3), torch.full((3, 48, 63), 0.4)
    drawn = sharpened(explain(small, decimate(rgb, kernel, 3), 0.0), rgb, kernel, 3)
    torch.testing.assert_close(drawn, upsample(small, kernel, 3), atol=1e-4, rtol=0)


def test_a_prediction_is_slopes_times_sharp_rgb_values_and_offsets(pines, kernel):
    rgb = pines[4:, :, :63].contiguous()
    small, seen = decimate(pines[:2, :, :63], kernel, 3), decimate(rgb, kernel, 3)
    slopes, offsets = split(explain(small, seen, NOISE))
    expected = upsample(offsets, kernel, 3)
    for channel in range(3):
        expected += upsample(slopes[channel], kernel, 3) * rgb[channel]
    torch.testing.assert_close(
        sharpened(explain(small, seen, NOISE), rgb, kernel, 3), expected, atol=1e-6, rtol=0
    )

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from ifmsr.degradation.smoothing import STRETCH, gaussian_taps, smoothed


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (6, 31), (32, 33), (40, 64), (65, 100)])
def test_smoothed_is_a_correlation_with_a_replicated_border(size):
    """Around and beyond the length of a stretch, with taps that reach farther than the image."""
    assert STRETCH == 32
    generator = np.random.default_rng(0)
    image = generator.standard_normal((2, *size)).astype(np.float32)
    for count in (1, 3, 7, 25, 101):
        taps = generator.standard_normal(count).astype(np.float32)  # not symmetric: order matters
        expected = correlate1d(correlate1d(image, taps, axis=1, mode="nearest"), taps, axis=2, mode="nearest")
        found = smoothed(torch.from_numpy(image), torch.from_numpy(taps)).numpy()
        assert found.shape == image.shape
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(taps).sum() ** 2)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.4, 4.0])
def test_taps_are_a_gaussian_as_far_as_three_deviations(sigma):
    taps = gaussian_taps(sigma, torch.device("cpu")).numpy()
    reach = len(taps) // 2
    assert len(taps) == 2 * reach + 1 and reach >= 3 * sigma > reach - 1
    weights = np.array([np.exp(-(step * step) / (2 * sigma**2)) for step in range(-reach, reach + 1)])
    np.testing.assert_allclose(taps, weights / weights.sum(), rtol=1e-5)

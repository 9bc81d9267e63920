import numpy as np
import pytest
import torch

from ifmsr.degradation.kernels import kernel_side
from ifmsr.degradation.protocol import draw_degradation
from ifmsr.degradation.sampling import centroid, decimate, upsample


def slow_decimate(image, kernel, scale):
    """Every LR pixel by itself, the image's border replicated."""
    channels, height, width = image.shape
    reach = (len(kernel) - scale) // 2
    small = np.zeros((channels, height // scale, width // scale))
    for i in range(height // scale):
        for j in range(width // scale):
            for a in range(len(kernel)):
                for b in range(len(kernel)):
                    y = min(max(scale * i - reach + a, 0), height - 1)
                    x = min(max(scale * j - reach + b, 0), width - 1)
                    small[:, i, j] += kernel[a, b] * image[:, y, x]
    return small


def cubic(t):
    """Keys' kernel with a = -0.75."""
    t, a = abs(t), -0.75
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def slow_upsample(image, down, right, scale):
    """Every HR pixel by itself: LR pixel i lies `down` HR pixels below the middle of its block."""
    channels, h, w = image.shape
    large = np.zeros((channels, h * scale, w * scale))
    for i in range(h * scale):
        for j in range(w * scale):
            y, x = (i + 0.5 - down) / scale - 0.5, (j + 0.5 - right) / scale - 0.5
            for a in range(int(np.floor(y)) - 1, int(np.floor(y)) + 3):
                for b in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
                    pixel = image[:, min(max(a, 0), h - 1), min(max(b, 0), w - 1)]
                    large[:, i, j] += cubic(y - a) * cubic(x - b) * pixel
    return large


@pytest.mark.parametrize("scale", [3, 4, 8])
def test_decimate_is_the_correlation_about_the_blocks_middle(scale):
    side = kernel_side(scale)
    kernel = torch.zeros(side, side)
    image = torch.arange(48.0 * 48).view(1, 48, 48)
    first = (side - scale) // 2  # the tap over the block's first pixel
    kernel[first, first] = 1
    assert torch.equal(decimate(image, kernel, scale), image[:, ::scale, ::scale])


@pytest.mark.parametrize(("scale", "side"), [(2, 2), (2, 10), (3, 7), (4, 20)])
def test_decimate_equals_a_loop_over_pixels_and_taps(scale, side):
    """Also with kernels wider than the image."""
    generator = np.random.default_rng(scale)
    image = generator.random((2, 3 * scale, 4 * scale), np.float32)
    kernel = generator.standard_normal((side, side)).astype(np.float32) / side
    found = decimate(torch.from_numpy(image), torch.from_numpy(kernel), scale)
    np.testing.assert_allclose(found, slow_decimate(image, kernel, scale), atol=1e-5)


@pytest.mark.parametrize("preset", ["test", "train"])
@pytest.mark.parametrize("scale", [3, 4])
def test_decimating_by_the_sampling_kernel_is_the_degradation_without_noise(preset, scale):
    image = np.random.default_rng(0).random((2, 20 * scale, 20 * scale), np.float32)
    for seed in range(4):
        draw = draw_degradation(scale, preset, seed)
        kernel = torch.from_numpy(draw.sampling_kernel(scale)).float()
        small = draw(image, scale) - (draw.noise((2, 20, 20)) if draw.sigma else 0)
        inside = slice(8, -8)
        found = decimate(torch.from_numpy(image), kernel, scale)[:, inside, inside]
        np.testing.assert_allclose(found, small[:, inside, inside], atol=1e-5)


@pytest.mark.parametrize("side", [4, 7])
def test_a_centroid_is_the_mean_position_of_the_taps(side):
    kernel = np.random.default_rng(side).random((side, side))
    kernel /= kernel.sum()
    down = sum(kernel[a, b] * (a - (side - 1) / 2) for a in range(side) for b in range(side))
    right = sum(kernel[a, b] * (b - (side - 1) / 2) for a in range(side) for b in range(side))
    assert centroid(torch.from_numpy(kernel).float()) == pytest.approx((down, right), abs=1e-6)


@pytest.mark.parametrize("size", [(5, 6), (3, 3), (1, 2)])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_upsample_equals_a_loop_over_pixels_and_taps(scale, size):
    generator = np.random.default_rng(scale)
    image = generator.random((2, *size), np.float32)
    kernel = generator.random((scale + 6, scale + 6), np.float32)
    kernel[:3] *= 3
    kernel /= kernel.sum()
    down, right = centroid(torch.from_numpy(kernel))
    assert abs(down) > 0.3
    found = upsample(torch.from_numpy(image), torch.from_numpy(kernel), scale)
    np.testing.assert_allclose(found, slow_upsample(image, down, right, scale), atol=2e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_upsample_puts_lr_pixels_at_the_kernels_centroid(scale):
    """A ramp sampled at shifted places must come back as the ramp."""
    side = kernel_side(scale)
    kernel = torch.zeros(side, side)
    kernel[side // 2 + 1, side // 2 + 2] = 1
    columns = torch.arange(20.0 * scale).expand(1, 20 * scale, -1) / 40
    image = columns + 0.5 * columns.mT
    upsampled = upsample(decimate(image, kernel, scale), kernel, scale)
    inside = slice(3 * scale, -3 * scale)
    tenth_of_a_pixel = 0.1 * scale / 40
    difference = (upsampled - image)[:, inside, inside]
    assert difference.abs().max() < tenth_of_a_pixel and difference.mean().abs() < 0.1 * tenth_of_a_pixel

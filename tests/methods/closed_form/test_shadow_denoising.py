import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ifmsr import metrics
from ifmsr.degradation.protocol import TEST_NOISE, degrade
from ifmsr.methods.closed_form.chain import solve
from ifmsr.methods.closed_form.shadow_denoising import denoise_shadows_, pooled, upsampled
from ifmsr.scenes import Scene, nikon_d700, open_dataset

NOISE = 0.01


@pytest.fixture(scope="module")
def pines():
    """31 bands of Indian Pines with the camera's response, a tenth as bright."""
    cube = 0.1 * open_dataset("indian-pines").load("train").cube[10:41]
    return Scene("pines", np.ascontiguousarray(cube), srf=nikon_d700())


@pytest.fixture(scope="module")
def noisy(pines):
    """(sr, rgb): the scene, its RGB values kept, and noise that they do not show."""
    noise = 0.003 * torch.randn(pines.cube.shape, generator=torch.Generator().manual_seed(0))
    unseen = torch.eye(31) - torch.linalg.pinv(torch.from_numpy(pines.srf)) @ torch.from_numpy(pines.srf)
    return torch.from_numpy(pines.cube) + torch.tensordot(unseen, noise, dims=1), torch.from_numpy(
        pines.rgb()
    )


def slow_maps(sr, rgb, window, ridge):
    """An affine map from RGB values per cell's window by weighted least squares, and the weighted means of the maps."""
    reach = int(np.ceil(3 * window))
    steps = np.arange(-reach, reach + 1)
    weights = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * window**2))
    weights = (weights / weights.sum()).ravel()

    def around(image, y, x):
        rows, columns = (
            np.clip(at + steps, 0, side - 1) for at, side in zip((y, x), image.shape[1:], strict=True)
        )
        return image[:, rows][:, :, columns].reshape(len(image), -1)

    b, (h, w) = len(sr), sr.shape[1:]
    fits = np.zeros((4 * b, h, w))
    for y in range(h):
        for x in range(w):
            rgb_values, spectra = around(rgb, y, x), around(sr, y, x)
            means = rgb_values @ weights, spectra @ weights
            rgb_values, spectra = rgb_values - means[0][:, None], spectra - means[1][:, None]
            slopes = (
                (spectra * weights)
                @ rgb_values.T
                @ np.linalg.inv((rgb_values * weights) @ rgb_values.T + ridge * np.eye(3))
            )
            fits[:, y, x] = [*slopes.T.ravel(), *(means[1] - slopes @ means[0])]
    return np.stack([[around(fits, y, x) @ weights for x in range(w)] for y in range(h)]).transpose(2, 0, 1)


def cells(image):
    """(C, H, W) float64 -> means of 4 x 4 pixels; the border replicated."""
    padded = np.pad(image, ((0, 0), (0, -image.shape[1] % 4), (0, -image.shape[2] % 4)), mode="edge")
    return padded.reshape(len(image), padded.shape[1] // 4, 4, -1, 4).mean((2, 4))


def pixels(values, like):
    fine = F.interpolate(torch.from_numpy(values)[None], scale_factor=4, mode="bilinear")[0].numpy()
    return fine[:, : like.shape[1], : like.shape[2]]


@pytest.mark.parametrize(
    ("scale", "height", "width", "rgb_noise"), [(4, 32, 24, 0.0), (3, 30, 21, 0.0), (4, 32, 24, 0.02)]
)
def test_it_is_the_formula(noisy, scale, height, width, rgb_noise):
    sr, rgb = (image[:, :height, :width].double().numpy() for image in noisy)
    window = 2 * scale / 4
    ridge = max(1e-8, (0.4 * rgb_noise) ** 2)
    maps = pixels(slow_maps(cells(sr), cells(rgb), window, ridge), sr).reshape(4, 31, height, width)
    change = (maps[:3] * rgb[:, None]).sum(0) + maps[3] - sr
    energy = cells((change**2).mean(0, keepdims=True))
    both = NOISE + 1.5 * rgb_noise
    share = both / (both + rgb.mean(0))
    around = np.zeros_like(energy)
    reach = int(np.ceil(3 * window))
    steps = np.arange(-reach, reach + 1)
    weights = np.exp(-(steps**2) / (2 * window**2))
    weights /= weights.sum()
    padded = np.pad(energy, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    for a, down in zip(weights, range(2 * reach + 1), strict=True):
        for b, across in zip(weights, range(2 * reach + 1), strict=True):
            around += a * b * padded[:, down : down + energy.shape[1], across : across + energy.shape[2]]
    allowed = NOISE**2 / 10 + (rgb_noise / 2) ** 2
    expected = sr + share * allowed / (allowed + pixels(around, sr)[0]) * change
    images = torch.from_numpy(sr).float(), torch.from_numpy(rgb).float()
    found = denoise_shadows_(*images, NOISE, scale, rgb_noise)
    assert np.abs(expected - sr).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_noise_in_shadows_falls_and_rgb_values_stay(pines, noisy):
    sr, rgb = noisy
    denoised = denoise_shadows_(sr.clone(), rgb, NOISE, 4)
    before, after = (metrics.sam(pines.cube, cube.clamp(0, 1).numpy()) for cube in (sr, denoised))
    assert after < 0.92 * before
    assert metrics.psnr(pines.cube, denoised.clamp(0, 1).numpy()) > metrics.psnr(
        pines.cube, sr.clamp(0, 1).numpy()
    )
    seen = np.tensordot(pines.srf, denoised.numpy(), axes=1)
    np.testing.assert_allclose(seen, rgb, atol=2e-4)


def test_what_is_left_of_a_guides_noise_falls_in_shadows(pines):
    """A result in whose RGB values smooth noise remains."""
    left = 0.004 * torch.randn(3, 36, 18, generator=torch.Generator().manual_seed(0))
    left = F.interpolate(left[None], scale_factor=(4, 4), mode="bilinear")[0]
    inverse = torch.linalg.pinv(torch.from_numpy(pines.srf))
    truth = torch.from_numpy(0.1 * pines.cube[:, :, :72])
    rgb, sr = torch.from_numpy(0.1 * pines.rgb()[:, :, :72]) + left, truth + torch.tensordot(inverse, left, 1)
    before, without, known = (
        metrics.sam(truth, denoise_shadows_(sr.clone(), rgb, noise, 4, level).clamp(0, 1))
        for noise, level in ((0.0, 0.0), (NOISE, 0.0), (NOISE, 0.02))
    )
    assert known < 0.8 * min(before, without)


def test_bright_images_and_detail_that_rgb_values_do_not_show_hardly_change(noisy):
    sr, rgb = noisy
    shadows = (denoise_shadows_(sr.clone(), rgb, NOISE, 4) - sr).square().mean().sqrt()
    bright = (denoise_shadows_(sr.clone(), 10 * rgb, NOISE, 4) - sr).square().mean().sqrt()
    assert bright < 0.25 * shadows
    stripes = 0.05 * (torch.arange(sr.shape[2]) // 3 % 2)
    kept = (denoise_shadows_(sr + stripes, rgb, NOISE, 4) - sr - stripes).square().mean().sqrt()
    assert kept < 0.1 * stripes.square().mean().sqrt()


def test_without_noise_nothing_changes(noisy):
    sr, rgb = noisy
    assert torch.equal(denoise_shadows_(sr.clone(), rgb, 0.0, 4), sr)


def test_it_helps_where_a_dark_scene_was_solved(pines):
    observation = degrade(Scene("dark", 0.3 * pines.cube, srf=pines.srf), 4)
    solution = solve(observation)
    denoised = denoise_shadows_(solution.sr.clone(), torch.from_numpy(observation.rgb), TEST_NOISE, 4)
    before, after = (
        metrics.sam(0.3 * pines.cube, cube.clamp(0, 1).numpy()) for cube in (solution.sr, denoised)
    )
    assert after < before


@pytest.mark.parametrize("size", [(8, 12), (7, 5), (1, 1), (3, 33)])
def test_cells_and_pixels_of_any_size(size):
    image = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    few = pooled(image)
    np.testing.assert_allclose(few, cells(image.double().numpy()), atol=1e-6)
    assert upsampled(few, slice(0, size[0]), size[1]).shape == image.shape
    constant = torch.full((2, *size), 0.3)
    torch.testing.assert_close(upsampled(pooled(constant), slice(0, size[0]), size[1]), constant)
    assert denoise_shadows_(image, image[:1].expand(3, -1, -1), NOISE, 2).isfinite().all()

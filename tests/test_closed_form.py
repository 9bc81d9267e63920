import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ifmsr import metrics
from ifmsr.degradation import degrade, draw_degradation, gaussian_kernel, scene_seed
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.closed_form import (
    ClosedForm,
    decimate,
    denoise,
    enlarge,
    estimate_kernel,
    estimate_response,
    kernel_side,
    project,
    ridge,
    signal_basis,
)
from ifmsr.scenes import Scene, nikon_d700, open_dataset
from ifmsr.scenes.scene import Observation


@pytest.fixture(scope="module")
def balloons(cave_root):
    return open_dataset("cave", cave_root).load("balloons", window=(128, 128, 256, 256))


def centroid(kernel):
    taps = np.arange(len(kernel)) - (len(kernel) - 1) / 2
    return kernel.sum(1) @ taps, kernel.sum(0) @ taps


@pytest.mark.parametrize("scale", [3, 4, 8])
def test_decimate_is_the_correlation_about_the_blocks_middle(scale):
    side = kernel_side(scale)
    kernel = torch.zeros(side, side)
    image = torch.arange(48.0 * 48).view(1, 48, 48)
    first = (side - scale) // 2  # the tap over the block's first pixel
    kernel[first, first] = 1
    assert torch.equal(decimate(image, kernel, scale), image[:, ::scale, ::scale])


@pytest.mark.parametrize("scale", [4, 8])
def test_the_kernel_and_its_shift_are_found_on_a_real_scene(balloons, scale):
    degradation = draw_degradation(scale, "test", scene_seed(balloons, 0))
    observation = degrade(balloons, scale)
    colours = torch.tensordot(torch.from_numpy(observation.srf), torch.from_numpy(observation.lr), dims=1)
    found = estimate_kernel(colours, torch.from_numpy(observation.rgb), scale).numpy()
    assert found.min() >= 0 and found.sum() == pytest.approx(1, abs=1e-5)
    truth = centroid(degradation.kernel)  # bicubic interpolation adds no shift
    np.testing.assert_allclose(centroid(found), truth, atol=0.25)


@pytest.mark.parametrize(("scale", "gain"), [(4, 13), (8, 15)])
def test_it_is_far_above_bicubic_on_a_real_scene_and_leaves_its_input_alone(balloons, scale, gain):
    observation = degrade(balloons, scale)
    before = observation.lr.copy(), observation.rgb.copy()
    sr, blurry = ClosedForm()(observation), Bicubic()(observation)
    assert metrics.psnr(balloons.cube, sr) > metrics.psnr(balloons.cube, blurry) + gain
    assert metrics.sam(balloons.cube, sr) < 0.5 * metrics.sam(balloons.cube, blurry)
    np.testing.assert_array_equal(observation.lr, before[0])
    np.testing.assert_array_equal(observation.rgb, before[1])
    np.testing.assert_array_equal(ClosedForm()(observation), sr)
    assert sr.dtype == np.float32 and sr.min() >= 0 and sr.max() <= 1


def test_an_unknown_response_costs_little_on_a_real_scene(balloons):
    observation = degrade(balloons, 4)
    blind = Observation(observation.lr, observation.rgb, 4)
    known, unknown = (metrics.psnr(balloons.cube, ClosedForm()(o)) for o in (observation, blind))
    assert metrics.psnr(balloons.cube, Bicubic()(observation)) + 10 < unknown < known


def test_three_bands_for_a_colour_image_work_too():
    part = open_dataset("indian-pines").load("test")
    observation = degrade(part, 4)
    assert observation.srf is None
    sr, blurry = ClosedForm()(observation), Bicubic()(observation)
    assert metrics.psnr(part.cube, sr) > metrics.psnr(part.cube, blurry) + 2.5
    assert metrics.ergas(part.cube, sr, 4) < 0.75 * metrics.ergas(part.cube, blurry, 4)


def test_a_response_is_recovered_in_the_directions_that_the_scene_shows(balloons):
    observation = degrade(balloons, 4)
    lr = torch.from_numpy(observation.lr)
    response, _ = estimate_response(lr, torch.from_numpy(observation.rgb), 4)
    seen = response[:, :-1] @ lr.flatten(1) + response[:, -1:]
    truth = torch.from_numpy(nikon_d700()) @ lr.flatten(1)
    assert (seen - truth).norm() / truth.norm() < 0.02


def test_without_noise_nothing_is_smoothed_and_with_noise_it_helps():
    torch.manual_seed(0)
    clean = F.interpolate(torch.randn(1, 3, 16, 16), scale_factor=4, mode="bicubic")[0]
    assert torch.equal(denoise(clean, 0.0), clean)
    noisy = clean + 0.5 * torch.randn_like(clean)
    assert (denoise(noisy, 0.5) - clean).square().mean() < 0.3 * (noisy - clean).square().mean()


def test_noise_and_rank_are_read_off_the_data(balloons):
    observation = degrade(balloons, 4)
    basis, noise = signal_basis(torch.from_numpy(observation.lr))
    assert noise == pytest.approx(3 / 255, rel=0.15)  # clipping at zero takes some of it
    assert 5 <= basis.shape[1] <= 20
    torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1]))


def test_ridge_equals_a_dense_least_squares_solve():
    generator = np.random.default_rng(0)
    inputs, outputs = generator.random((5, 40)), generator.random((3, 40))
    weight = 0.3 * (inputs @ inputs.T).diagonal().mean()
    augmented = np.hstack([inputs, np.sqrt(weight) * np.eye(5)])
    expected = np.linalg.lstsq(augmented.T, np.hstack([outputs, np.zeros((3, 5))]).T, rcond=None)[0].T
    found = ridge(torch.from_numpy(inputs), torch.from_numpy(outputs), 0.3)
    np.testing.assert_allclose(found.numpy(), expected)


def test_projection_gives_exactly_the_rgb_image_and_changes_as_little_as_possible():
    torch.manual_seed(0)
    srf, cube, rgb = torch.from_numpy(nikon_d700()), torch.rand(31, 6, 5), torch.rand(3, 6, 5)
    projected = project(cube, rgb, srf)
    torch.testing.assert_close(torch.tensordot(srf, projected, dims=1), rgb, atol=1e-5, rtol=0)
    change = (projected - cube).flatten(1)
    null_space = torch.linalg.svd(srf)[2][3:]
    assert (null_space @ change).abs().max() < 1e-5


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_enlarge_puts_lr_pixels_at_the_kernels_centroid(scale):
    """A ramp sampled at shifted places must come back as the ramp."""
    side = kernel_side(scale)
    kernel = torch.zeros(side, side)
    kernel[side // 2 + 1, side // 2 + 2] = 1
    columns = torch.arange(20.0 * scale).expand(1, 20 * scale, -1) / 40
    image = columns + 0.5 * columns.mT
    enlarged = enlarge(decimate(image, kernel, scale), kernel, scale)
    inside = slice(3 * scale, -3 * scale)
    tenth_of_a_pixel = 0.1 * scale / 40
    difference = (enlarged - image)[:, inside, inside]
    assert difference.abs().max() < tenth_of_a_pixel and difference.mean().abs() < 0.1 * tenth_of_a_pixel


def test_a_known_kernel_is_recovered_without_noise():
    torch.manual_seed(0)
    rgb = torch.rand(3, 192, 192)
    kernel = torch.zeros(20, 20)
    kernel[4:17, 4:17] = torch.from_numpy(gaussian_kernel(13, 4, lambda1=3, lambda2=9, theta=0.5)).float()
    found = estimate_kernel(decimate(rgb, kernel, 4), rgb, 4)
    assert (found - kernel).abs().sum() < 0.1


def test_large_scales_and_odd_scales_run():
    part = open_dataset("indian-pines").load("train")
    for scale in (3, 16):
        scene = Scene("part", part.cube[::20], rgb_bands=(1, 4, 8)).crop_to_multiple(48)
        observation = degrade(scene, scale, alignment="centred")
        sr, blurry = ClosedForm()(observation), Bicubic()(observation)
        assert metrics.psnr(scene.cube, sr) > metrics.psnr(scene.cube, blurry)

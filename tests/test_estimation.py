from dataclasses import replace

import numpy as np
import pytest
import torch

from ifmsr.degradation import degrade, draw_degradation, gaussian_kernel, scene_seed
from ifmsr.estimation import (
    Estimate,
    estimate_degradation,
    estimate_kernel,
    estimate_response,
    kernel_side,
    ridge,
    signal_basis,
    spectral_axes,
)
from ifmsr.sampling import decimate
from ifmsr.scenes import nikon_d700, open_dataset
from ifmsr.scenes.scene import Observation


@pytest.fixture(scope="module")
def balloons(cave_root):
    return open_dataset("cave", cave_root).load("balloons", window=(128, 128, 256, 256))


def moments(kernel):
    """Mean place (down, right) and covariance of (right, down), tap by tap in plain Python."""
    side = len(kernel)
    places = [
        (a - (side - 1) / 2, b - (side - 1) / 2, float(kernel[a, b]))
        for a in range(side)
        for b in range(side)
    ]
    down, right = (sum(place[axis] * place[2] for place in places) for axis in (0, 1))
    among = np.zeros((2, 2))
    for y, x, weight in places:
        step = np.array([x - right, y - down])
        among += weight * np.outer(step, step)
    return (down, right), among


def estimate_of(kernel):
    return Estimate(torch.zeros(3, 4), torch.as_tensor(np.asarray(kernel, np.float32)), 0.0)


def assert_angles_equal(found, expected, tolerance):
    """Angles of axes: 0 and pi are the same."""
    assert abs((found - expected + np.pi / 2) % np.pi - np.pi / 2) < tolerance


# --- kernel and shift ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [4, 8])
def test_the_kernel_and_its_shift_are_found_on_a_real_scene(balloons, scale):
    degradation = draw_degradation(scale, "test", scene_seed(balloons, 0))
    observation = degrade(balloons, scale)
    colours = torch.tensordot(torch.from_numpy(observation.srf), torch.from_numpy(observation.lr), dims=1)
    found = estimate_kernel(colours, torch.from_numpy(observation.rgb), scale)
    assert found.shape == (kernel_side(scale),) * 2
    assert found.min() >= 0 and float(found.sum()) == pytest.approx(1, abs=1e-5)
    truth, _ = moments(degradation.kernel)  # bicubic interpolation adds no shift
    np.testing.assert_allclose(moments(found)[0], truth, atol=0.25)


def test_a_known_kernel_is_recovered_without_noise():
    torch.manual_seed(0)
    rgb = torch.rand(3, 192, 192)
    kernel = torch.zeros(20, 20)
    kernel[4:17, 4:17] = torch.from_numpy(gaussian_kernel(13, 4, lambda1=3, lambda2=9, theta=0.5)).float()
    found = estimate_kernel(decimate(rgb, kernel, 4), rgb, 4)
    assert (found - kernel).abs().sum() < 0.1


@pytest.mark.parametrize("scale", [2, 3, 4, 8, 16])
def test_kernels_have_the_grids_parity_and_room_for_the_published_blurs(scale):
    side = kernel_side(scale)
    assert side % 2 == scale % 2 and side >= max(16, scale + 4)


def test_a_known_response_is_told_as_it_is_and_the_noise_found(balloons):
    observation = degrade(balloons, 4)
    estimate = estimate_degradation(observation)
    np.testing.assert_array_equal(estimate.response[:, :-1], observation.srf)
    assert not estimate.response[:, -1].any()
    colours = torch.from_numpy(np.tensordot(observation.srf, observation.lr, axes=1))
    expected = estimate_kernel(colours, torch.from_numpy(observation.rgb), 4)
    torch.testing.assert_close(estimate.kernel, expected, atol=2e-5, rtol=0)
    assert estimate.noise == pytest.approx(3 / 255, rel=0.05)
    truth, _ = moments(draw_degradation(4, "test", scene_seed(balloons, 0)).kernel)
    np.testing.assert_allclose(estimate.shift, truth, atol=0.1)


@pytest.mark.parametrize("known", [True, False])
def test_a_black_image_tells_no_kernel_but_has_an_estimate(known):
    lr = np.full((6, 5, 4), 0.3, np.float32)
    srf = np.full((3, 6), 1 / 6, np.float32) if known else None
    for scale in (2, 3, 4):
        black = np.zeros((3, 5 * scale, 4 * scale), np.float32)
        estimate = estimate_degradation(Observation(lr, black, scale, srf))
        assert estimate.kernel.min() >= 0 and float(estimate.kernel.sum()) == pytest.approx(1, abs=1e-5)
        assert estimate.kernel.shape == (kernel_side(scale),) * 2
        assert estimate.shift == pytest.approx((0, 0), abs=1e-4)
        assert estimate.response.isfinite().all() and estimate.noise == pytest.approx(0, abs=1e-6)


# --- what a kernel is like -----------------------------------------------------------------------------------


@pytest.mark.parametrize("theta", [0.0, 0.4, 1.4, 1.8, 2.9])
def test_shift_and_widths_are_a_known_gaussians(theta):
    """Sampled so finely and so far out that its moments are the integral's."""
    kernel = gaussian_kernel(41, 4, lambda1=9.0, lambda2=2.25, theta=theta, alignment="centred")
    moved = np.roll(kernel, (2, -3), axis=(0, 1))  # what leaves one side is zero to rounding
    estimate = estimate_of(moved)
    assert estimate.shift == pytest.approx((2, -3), abs=1e-4)
    long, short, angle = estimate.widths
    assert (long, short) == pytest.approx((3, 1.5), abs=2e-3)
    assert 0 <= angle < np.pi + 1e-6
    assert_angles_equal(angle, theta, 2e-3)


def test_an_even_kernels_middle_lies_between_its_taps():
    offsets = np.arange(20) - 9.5
    profile = np.exp(-0.5 * (offsets / 2) ** 2)
    estimate = estimate_of(np.outer(profile, profile) / profile.sum() ** 2)
    assert estimate.shift == pytest.approx((0, 0), abs=1e-5)
    assert estimate.widths[:2] == pytest.approx((2, 2), abs=2e-3)


@pytest.mark.parametrize("scale", [3, 4, 8])
@pytest.mark.parametrize("alignment", ["released", "centred"])
def test_shift_and_widths_of_the_papers_draws_are_their_moments(scale, alignment):
    for seed in range(5):
        kernel = draw_degradation(scale, "test", seed, alignment).sampling_kernel(scale)
        shift, among = moments(kernel)
        variances, axes = np.linalg.eigh(among)
        estimate = estimate_of(kernel)
        assert estimate.shift == pytest.approx(shift, abs=1e-4)
        long, short, angle = estimate.widths
        assert (long, short) == pytest.approx((variances[1] ** 0.5, variances[0] ** 0.5), abs=1e-3)
        assert_angles_equal(angle, np.arctan2(axes[1, 1], axes[0, 1]), 5e-3)


def test_a_single_tap_has_no_width():
    kernel = np.zeros((20, 20))
    kernel[12, 5] = 1
    estimate = estimate_of(kernel)
    assert estimate.shift == (2.5, -4.5)
    assert estimate.widths[:2] == (0, 0)


# --- response ------------------------------------------------------------------------------------------------


def test_a_response_is_recovered_in_the_directions_that_the_scene_shows(balloons):
    observation = degrade(balloons, 4)
    lr = torch.from_numpy(observation.lr)
    response, _ = estimate_response(lr, torch.from_numpy(observation.rgb), 4)
    assert response.shape == (3, 32)
    seen = response[:, :-1] @ lr.flatten(1) + response[:, -1:]
    truth = torch.from_numpy(nikon_d700()) @ lr.flatten(1)
    assert (seen - truth).norm() / truth.norm() < 0.01


def test_an_unknown_response_is_estimated_with_its_kernel(balloons):
    observation = degrade(balloons, 4)
    blind = Observation(observation.lr, observation.rgb, 4)
    estimate = estimate_degradation(blind)
    response, kernel = estimate_response(torch.from_numpy(blind.lr), torch.from_numpy(blind.rgb), 4)
    assert torch.equal(estimate.response, response) and torch.equal(estimate.kernel, kernel)
    truth, _ = moments(draw_degradation(4, "test", scene_seed(balloons, 0)).kernel)
    np.testing.assert_allclose(estimate.shift, truth, atol=0.15)


def test_colours_are_the_affine_response_pixel_by_pixel():
    generator = np.random.default_rng(0)
    response, cube = generator.random((3, 6), np.float32), generator.random((5, 3, 4), np.float32)
    seen = Estimate(torch.from_numpy(response), torch.ones(1, 1), 0.0).colours(torch.from_numpy(cube))
    for i in range(3):
        for j in range(4):
            expected = response[:, :5] @ cube[:, i, j] + response[:, 5]
            np.testing.assert_allclose(seen[:, i, j], expected, rtol=1e-5)


def test_a_response_of_another_camera_is_replaced_and_noise_is_no_reason_to(balloons):
    observation = degrade(balloons, 4)
    turned = np.ascontiguousarray(observation.srf[::-1])  # blue for red
    estimate = estimate_degradation(replace(observation, srf=turned))
    blind = estimate_degradation(replace(observation, srf=None))
    assert torch.equal(estimate.response, blind.response) and torch.equal(estimate.kernel, blind.kernel)
    for preset, seed in (("train", 1), ("train", 2), ("lttr", 0)):
        part = degrade(balloons, 4, preset, seed)
        np.testing.assert_array_equal(estimate_degradation(part).response[:, :-1], part.srf)


# --- noise, spectra, ridge -----------------------------------------------------------------------------------


def test_noise_and_rank_are_read_off_the_data(balloons):
    observation = degrade(balloons, 4)
    basis, noise = signal_basis(torch.from_numpy(observation.lr))
    assert noise == pytest.approx(3 / 255, rel=0.15)  # clipping at zero takes some of it
    assert 5 <= basis.shape[1] <= 20
    torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1]))


@pytest.mark.parametrize("rank", [2, 5])
def test_the_basis_holds_a_known_signal_in_white_noise_and_little_else(rank):
    generator = np.random.default_rng(rank)
    directions = np.linalg.qr(generator.standard_normal((24, rank)))[0]
    clean = np.tensordot(directions, generator.standard_normal((rank, 40, 50)), axes=1)
    noisy = (clean + 0.05 * generator.standard_normal(clean.shape)).astype(np.float32)
    basis, noise = signal_basis(torch.from_numpy(noisy))
    assert noise == pytest.approx(0.05, rel=0.02)
    assert len(basis) == 24 and rank <= basis.shape[1] <= rank + 1
    caught = basis.numpy().T @ directions
    np.testing.assert_allclose(caught.T @ caught, np.eye(rank), atol=0.02)


def test_spectral_axes_are_those_of_numpys_covariance():
    cube = np.random.default_rng(0).random((6, 9, 11), np.float32) * np.arange(1, 7)[:, None, None]
    values, axes = (part.numpy() for part in spectral_axes(torch.from_numpy(cube.astype(np.float32))))
    covariance = np.cov(cube.reshape(6, -1), bias=True)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(covariance), rtol=1e-4)
    np.testing.assert_allclose(axes * values @ axes.T, covariance, atol=1e-5)


def test_ridge_equals_a_dense_least_squares_solve():
    generator = np.random.default_rng(0)
    inputs, outputs = generator.random((5, 40)), generator.random((3, 40))
    weight = 0.3 * (inputs @ inputs.T).diagonal().mean()
    augmented = np.hstack([inputs, np.sqrt(weight) * np.eye(5)])
    expected = np.linalg.lstsq(augmented.T, np.hstack([outputs, np.zeros((3, 5))]).T, rcond=None)[0].T
    found = ridge(torch.from_numpy(inputs), torch.from_numpy(outputs), 0.3)
    np.testing.assert_allclose(found.numpy(), expected)


@pytest.mark.parametrize(("bands", "pixels"), [(31, 16384), (200, 432), (60, 80)])
def test_noise_alone_is_measured_right_however_few_pixels_there_are(bands, pixels):
    """Signal in a few directions, noise in all: the smallest eigenvalues alone would tell too little of it."""
    torch.manual_seed(0)
    signal = torch.linalg.qr(torch.randn(bands, 3))[0] @ torch.randn(3, pixels)
    basis, noise = signal_basis(
        (0.5 + 0.1 * signal + 0.02 * torch.randn(bands, pixels)).view(bands, pixels, 1)
    )
    assert noise == pytest.approx(0.02, rel=0.04)
    assert basis.shape[1] == 3

"""The noise of a cube, the spectral directions above it, and ridges."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ifmsr.degradation.estimation import (
    estimate_degradation,
    lower_quartile,
    ridge,
    roughness,
    signal_basis,
    spectral_axes,
)
from ifmsr.degradation.pair import as_pair
from ifmsr.degradation.protocol import degrade
from ifmsr.scenes import open_dataset
from ifmsr.scenes.scene import Observation


def test_roughness_is_the_variance_of_white_noise():
    """Scenes are smooth and bright in most places: a few edges and a slope do not raise it."""
    deviations = torch.tensor([0.002, 0.03, 0.5])
    maps = deviations[:, None, None] * torch.randn(3, 200, 220, generator=torch.Generator().manual_seed(0))
    maps += torch.linspace(0, 1, 220) + 3 * (torch.arange(220) > 60)
    torch.testing.assert_close(roughness(maps), deviations.square(), rtol=0.05, atol=0)
    assert roughness(maps[:, :2]).isinf().all()


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


@pytest.mark.parametrize(
    ("bands", "pixels"), [(31, 16384), (200, 432), (60, 80), (200, 205), (200, 195), (200, 150), (200, 64)]
)
def test_noise_alone_is_measured_right_however_few_pixels_there_are(bands, pixels):
    """Signal in a few directions, noise in all; the smallest eigenvalues alone underestimate the noise."""
    torch.manual_seed(0)
    signal = torch.linalg.qr(torch.randn(bands, 3))[0] @ torch.randn(3, pixels)
    basis, noise = signal_basis(
        (0.5 + 0.1 * signal + 0.02 * torch.randn(bands, pixels)).view(bands, pixels, 1)
    )
    assert noise == pytest.approx(0.02, rel=0.04)
    assert basis.shape[1] == 3


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.9, 1.0])
def test_the_lower_quartile_is_that_of_a_large_noise_matrix(ratio):
    noise = np.random.default_rng(0).standard_normal((int(1000 * ratio), 1000))
    values = np.linalg.eigvalsh(noise @ noise.T / 1000)
    assert lower_quartile(ratio) == pytest.approx(np.quantile(values, 0.25), rel=0.03)


def test_noise_of_a_real_image_with_fewer_pixels_than_bands():
    part = open_dataset("indian-pines").load("test").crop_to_multiple(8)
    basis, noise = signal_basis(torch.from_numpy(degrade(part, 8).lr))  # 108 pixels of 200 bands
    assert noise == pytest.approx(3 / 255, rel=0.05) and basis.shape[1] < 10


@pytest.mark.parametrize("exposure", [1.0, 0.5])
def test_noise_that_is_clipped_in_dark_pixels_keeps_its_standard_deviation(balloons, exposure):
    """Half of this scene is black: there, noise below 0 is lost."""
    cube = np.float32(exposure) * balloons.cube
    cube[:, :, cube.shape[2] // 2 :] = 0
    observation = degrade(replace(balloons, cube=cube), 4)
    estimate = estimate_degradation(observation)
    assert estimate.noise == pytest.approx(3 / 255, rel=0.03)
    assert estimate.misfit < 1.3


def test_clipped_pixels_count_where_too_few_others_are_left():
    lr = torch.zeros(8, 10, 10)
    lr[:, 0] = 0.5
    pair = as_pair(Observation(lr.numpy(), np.full((3, 40, 40), 0.5, np.float32), 4))
    usable = torch.ones(10, 10, dtype=torch.bool)
    assert pair.measured(usable).all()
    pair.lr[:, :4] = 0.5
    assert pair.measured(usable)[:4].all() and not pair.measured(usable)[4:].any()


def test_a_direction_slightly_above_the_noise_counts_where_there_are_many_pixels():
    """By Marchenko and Pastur noise alone has no eigenvalue above 1.06 here, and the direction has 1.5."""
    generator = torch.Generator().manual_seed(0)
    cube = torch.randn(31, 200, 200, generator=generator)
    cube[30] += 5 * torch.randn(200, 200, generator=generator)
    cube[4] += 0.5**0.5 * torch.randn(200, 200, generator=generator)
    basis, noise = signal_basis(cube)
    assert basis.shape[1] == 2 and noise == pytest.approx(1, rel=0.01)
    assert basis[4].abs().max() > 0.99 and basis[30].abs().max() > 0.99

import math

import numpy as np
import pytest
import torch
from oracles import matrix_of

from ifmsr import metrics
from ifmsr.degradation.blurs import assumed_blur
from ifmsr.degradation.observation_operator import BlurDecimate
from ifmsr.degradation.protocol import degrade
from ifmsr.degradation.sampling import upsample
from ifmsr.errors import InputError
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.lttr import LTTR, PENALTY, shrink, shrink_unfolding, z_step
from ifmsr.methods.patch_based.patch_groups import PatchGroups
from ifmsr.scenes import Observation, Scene, open_dataset

RESPONSE = np.array([[0, 0, 0.3, 0.7], [0.1, 0.8, 0.1, 0], [0.9, 0.1, 0, 0]], np.float32)


@pytest.fixture(scope="module")
def balloons(cave_root):
    return open_dataset("cave", cave_root).load("balloons", window=(128, 128, 128, 128))


def downhill(s, weight):
    """The minimum of (x - s)^2 / 2 + weight log(x + eps) that a walk in small steps from s to 0 ends in."""
    x = np.linspace(s, 0, 200_001)
    values = (x - s) ** 2 / 2 + weight * np.log(x + 1e-12)
    rises = np.flatnonzero(np.diff(values) > 0)
    return x[rises[0]] if len(rises) else 0.0


def shrunk_by_svd(matrix, weight):
    """The paper's rule with eps = 2.2e-16, on full singular vectors."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    eps = 2.2e-16
    c1 = s - eps
    c2 = c1**2 - 4 * (weight - eps * s)
    return (u * np.where(c2 <= 0, 0, (c1 + np.sqrt(np.maximum(c2, 0))) / 2)) @ v


def unfolding_shrunk_by_svd(tensor, modes, prior):
    """A (p, p, B, N) tensor, unfolded, shrunk with the paper's weight and folded back."""
    sides = [min(math.prod(tensor.shape[:t]), math.prod(tensor.shape[t:])) for t in (1, 2, 3)]
    alpha = np.sqrt(sides) / np.sqrt(sides).sum()
    unfolding = tensor.reshape(math.prod(tensor.shape[:modes]), -1)
    return shrunk_by_svd(unfolding, prior * alpha[modes - 1] / (2 * PENALTY)).reshape(tensor.shape)


@pytest.mark.parametrize("shape", [(6, 9), (9, 6)])
def test_singular_values_reach_the_local_minimum_of_the_log_sum(shape):
    generator = np.random.default_rng(0)
    u, v = (np.linalg.qr(generator.standard_normal((side, 6)))[0] for side in shape)
    singular = np.array([9.0, 4.0, 2.3, 1.9, 0.5, 0.0])
    expected = (u * [downhill(s, 1.0) for s in singular]) @ v.T
    assert np.count_nonzero([downhill(s, 1.0) for s in singular]) == 3
    found = shrink(torch.from_numpy((u * singular) @ v.T), 1.0)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("modes", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 5, 90])
def test_the_three_unfoldings_equal_full_singular_value_decompositions(modes, count):
    generator = np.random.default_rng(0)
    tensor = generator.random((4, 3, 5, count))  # (p, p, B, N)
    prior = 0.1 * 2 * PENALTY * count
    expected = unfolding_shrunk_by_svd(tensor, modes, prior)
    assert np.linalg.norm(expected - tensor) > 5e-4 * np.linalg.norm(tensor)
    found = shrink_unfolding(torch.from_numpy(tensor.transpose(3, 0, 1, 2).copy()), modes, prior)
    np.testing.assert_allclose(found.numpy().transpose(1, 2, 3, 0), expected, atol=1e-9)


def dense_z(matrix, srf, lr, rgb, copies, multipliers, weight):
    """Z (B, H W) of the Z-step's normal equations in one system for all its values."""
    bands, pixels = srf.shape[1], matrix.shape[1]
    system = np.kron(srf.T @ srf + 3 * PENALTY * np.eye(bands), np.eye(pixels))
    system += np.kron(np.eye(bands), weight * matrix.T @ matrix)
    right = srf.T @ rgb + weight * lr @ matrix
    for copy, multiplier in zip(copies, multipliers, strict=True):
        right = right + PENALTY * copy + multiplier / 2
    return np.linalg.solve(system, right.ravel()).reshape(bands, pixels)


@pytest.mark.parametrize("weight", [1.0, 0.02])
def test_the_z_step_equals_a_dense_solve(weight):
    torch.manual_seed(0)
    kernel = torch.rand(4, 4, dtype=torch.double) / 8
    operator, matrix = BlurDecimate(kernel, 2, (6, 8)), matrix_of(kernel.numpy(), 2, (6, 8))
    srf, lr, rgb = (
        torch.from_numpy(RESPONSE).double(),
        torch.rand(4, 3, 4).double(),
        torch.rand(3, 6, 8).double(),
    )
    copies, multipliers = torch.rand(2, 3, 4, 6, 8, dtype=torch.double).unbind()
    seen = torch.tensordot(srf.T, rgb, dims=1) + weight * operator.adjoint(lr)
    found = z_step(operator, srf, seen, list(copies), list(multipliers / (2 * PENALTY)), weight)
    flat = [array.flatten(-2).numpy() for array in (lr, rgb, copies, multipliers)]
    expected = dense_z(matrix, srf.numpy(), *flat, weight)
    np.testing.assert_allclose(found.flatten(1).numpy(), expected, atol=1e-9)


def edged(image, margin):
    """The image with its border's pixels repeated."""
    return np.pad(image, ((0, 0), (margin, margin), (margin, margin)), mode="edge")


def slow_lttr(observation, kernel, corners, prior, weight, iterations):
    """The method with dense solves, explicit tensors and full SVDs; `corners` are each group's patches."""
    bands, (height, width) = observation.lr.shape[0], observation.rgb.shape[1:]
    matrix = matrix_of(kernel, observation.scale, (height, width))
    srf = observation.srf.astype(np.float64)
    lr, rgb = observation.lr.reshape(bands, -1), observation.rgb.reshape(3, -1)
    start = upsample(torch.from_numpy(observation.lr), torch.from_numpy(kernel).float(), observation.scale)
    copies = [start.numpy().astype(np.float64).reshape(bands, -1)] * 3
    multipliers = [np.zeros_like(copies[0])] * 3
    for _ in range(iterations):
        z = dense_z(matrix, srf, lr, rgb, copies, multipliers, weight)
        copies = list(copies)
        for t in range(3):
            image = (z - multipliers[t] / (2 * PENALTY)).reshape(bands, height, width)
            total, count = np.zeros_like(image), np.zeros((height, width))
            for group in corners:
                cubes = [image[:, i : i + 8, j : j + 8].transpose(1, 2, 0) for i, j in group]
                tensor = unfolding_shrunk_by_svd(np.stack(cubes, axis=3), t + 1, prior)
                for n, (i, j) in enumerate(group):
                    total[:, i : i + 8, j : j + 8] += tensor[..., n].transpose(2, 0, 1)
                    count[i : i + 8, j : j + 8] += 1
            copies[t] = (total / count).reshape(bands, -1)
        multipliers = [m + 2 * PENALTY * (v - z) for m, v in zip(multipliers, copies, strict=True)]
    return z.reshape(bands, height, width)


@pytest.mark.parametrize("weight", [1.0, 0.1])
def test_three_iterations_equal_a_slow_obvious_version(weight):
    torch.manual_seed(0)
    part = open_dataset("indian-pines").load("train").crop(20, 20, 12, 16)
    scene = Scene("part", part.cube[[5, 40, 90, 150]], srf=RESPONSE)
    observation = degrade(scene, 4, preset="lttr")
    kernel, prior = assumed_blur("lttr", 4), 2e-3
    around = Observation(edged(observation.lr, 1), edged(observation.rgb, 4), 4, RESPONSE)
    groups = PatchGroups(torch.from_numpy(around.rgb), 8, 4, 2, 0)
    corners = [[divmod(int(patch[0]), 24) for patch in members] for members in groups.members]
    assert len(corners) == 2
    found = LTTR(clusters=2, prior=prior, iterations=3, lr_weight=weight)(observation)
    expected, once = (
        slow_lttr(around, kernel, corners, prior, weight, iterations)[:, 4:-4, 4:-4] for iterations in (3, 1)
    )
    assert np.abs(expected - once).max() > 0.005  # the prior counts
    np.testing.assert_allclose(found, expected.clip(0, 1), atol=1e-4)


def test_on_its_own_blur_it_is_far_above_bicubic_on_a_real_scene(balloons):
    observation = degrade(balloons, 8, preset="lttr")
    sr, blurry = LTTR(clusters=40)(observation), Bicubic()(observation)
    assert metrics.psnr(balloons.cube, sr) > metrics.psnr(balloons.cube, blurry) + 15
    assert metrics.sam(balloons.cube, sr) < 0.6 * metrics.sam(balloons.cube, blurry)


def test_with_noise_and_another_blur_the_estimated_kernel_and_the_weight_are_what_helps(balloons):
    observation, few = degrade(balloons, 4, preset="test"), {"clusters": 30, "iterations": 10}
    assumed, plain, weighted = (
        metrics.psnr(balloons.cube, method(observation))
        for method in (
            LTTR(**few),
            LTTR(kernel="estimated", lr_weight=1.0, **few),
            LTTR(kernel="estimated", **few),
        )
    )
    assert plain < weighted - 5 and assumed < weighted - 3


@pytest.mark.parametrize(("size", "scale", "bands"), [((63, 45), 3, 7), ((12, 6), 2, 4), ((32, 16), 16, 200)])
def test_any_size_scale_and_number_of_bands_works_and_is_deterministic(size, scale, bands):
    part = open_dataset("indian-pines").load("train").crop(30, 10, *size)
    srf = np.zeros((3, bands), np.float32)
    srf[[0, 1, 2], [bands - 1, bands // 2, 0]] = 1
    scene = Scene("part", part.cube[:: 200 // bands][:bands].copy(), srf=srf)
    observation = degrade(scene, scale, preset="lttr")
    method = LTTR(clusters=6, prior=4e-4, seed=3)
    sr = method(observation)
    assert metrics.psnr(scene.cube, sr) > metrics.psnr(scene.cube, Bicubic()(observation))
    np.testing.assert_array_equal(method(observation), sr)


@pytest.mark.parametrize("setting", ["clusters", "prior", "iterations"])
def test_settings_out_of_range_are_named(setting):
    with pytest.raises(InputError) as error:
        LTTR(**{setting: 0})
    assert error.value.where == setting

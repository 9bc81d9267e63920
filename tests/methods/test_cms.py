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
from ifmsr.methods import cms
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.cms import (
    CMS,
    Schedule,
    SelfRepresentation,
    back_project,
    s_step,
    schedule_for,
    u_step,
    z_step,
)
from ifmsr.methods.patch_based.patch_groups import PatchGroups
from ifmsr.scenes import Scene, open_dataset

RESPONSE = np.array([[0, 0, 0.3, 0.7], [0.1, 0.8, 0.1, 0], [0.9, 0.1, 0, 0]], np.float32)


@pytest.fixture(scope="module")
def balloons(cave_root):
    return open_dataset("cave", cave_root).load("balloons", window=(128, 128, 128, 128))


def least_squares(*equations):
    """The x of min sum |right - matrix x|^2 over the pairs (matrix, right)."""
    matrix, right = (np.concatenate(parts) for parts in zip(*equations, strict=True))
    return np.linalg.lstsq(matrix, right, rcond=None)[0]


def weights_column_by_column(vectors):
    """W (N, N) of a group's patches (N, d): every patch by the others, never by itself."""
    count = len(vectors)
    weights = np.zeros((count, count))
    for j in range(count):
        others = [i for i in range(count) if i != j]
        ridge = np.sqrt(1e-3) * np.eye(count - 1)
        weights[others, j] = least_squares((vectors[others].T, vectors[j]), (ridge, np.zeros(count - 1)))
    return weights


def relaxed(weights):
    """W, or I + step (W - I) with the longest step that leaves no eigenvalue below -1."""
    lowest = np.linalg.eigvals(weights).real.min()
    step = min(1, 2 / (1 - lowest))
    return step * weights + (1 - step) * np.eye(len(weights)), step


@pytest.mark.parametrize("count", [2, 5, 12, 13, 40])  # up to 12 the weights themselves, above their factors
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_patches_are_represented_like_by_one_least_squares_problem_each(count, dtype):
    torch.manual_seed(0)
    vectors = torch.rand(count, 6, dtype=torch.double)
    patches = torch.rand(count, 2, 5, dtype=torch.double)
    weights = weights_column_by_column(vectors.numpy())
    representation = SelfRepresentation(vectors.to(dtype))
    assert representation.whole == (count <= 12)
    found = representation(patches.to(dtype)).double().numpy()
    made = np.einsum("ij,ipb->jpb", weights, patches.numpy())
    expected = patches.numpy() + representation.step * (made - patches.numpy())
    np.testing.assert_allclose(found, expected, atol=1e-8 if dtype == torch.float64 else 1e-3)
    assert representation.step == pytest.approx(relaxed(weights)[1], rel=0.01)


def unusual(count):
    """Patches on a line but for one, which nothing but itself can represent."""
    torch.manual_seed(0)
    vectors = torch.rand(count, 1).double() * torch.rand(6).double() + 0.05 * torch.rand(count, 6).double()
    vectors[0] = torch.tensor([0, 0, 1, 0, 0, 0])
    return vectors


@pytest.mark.parametrize(("count", "tolerance"), [(8, 1e-9), (13, 0.02), (40, 0.02)])
def test_where_the_representation_would_amplify_its_step_is_the_longest_that_does_not(count, tolerance):
    vectors = unusual(count)
    weights = weights_column_by_column(vectors.numpy())
    step = relaxed(weights)[1]
    assert step < 0.99
    representation = SelfRepresentation(vectors)
    assert representation.step == pytest.approx(step, rel=tolerance)
    patches = torch.rand(count, 2, 5, dtype=torch.double)
    made = np.einsum("ij,ipb->jpb", weights, patches.numpy())
    expected = patches.numpy() + representation.step * (made - patches.numpy())
    np.testing.assert_allclose(representation(patches).numpy(), expected, atol=1e-8)


def test_a_scene_that_plain_steps_ruin_comes_out_well(cave_root):
    scene = open_dataset("cave", cave_root).load("stuffed_toys", window=(128, 128, 128, 128))
    observation = degrade(scene, 8, preset="cms")
    sr = CMS(clusters=60)(observation)
    assert metrics.psnr(scene.cube, sr) > metrics.psnr(scene.cube, Bicubic()(observation)) + 8


def test_a_group_of_one_patch_represents_itself_and_black_patches_stay_black():
    patches = torch.rand(1, 16, 5)
    assert torch.equal(SelfRepresentation(torch.rand(1, 48))(patches), patches)
    for count in (7, 120):
        black = SelfRepresentation(torch.zeros(count, 48))(torch.zeros(count, 16, 5))
        assert torch.equal(black, torch.zeros(count, 16, 5))


def test_the_three_steps_equal_dense_least_squares():
    torch.manual_seed(0)
    eta, penalty, weight, (height, width) = 0.1, 3e-3, 0.4, (6, 8)
    kernel = torch.rand(4, 4, dtype=torch.double) / 8
    operator, matrix = BlurDecimate(kernel, 2, (height, width)), matrix_of(kernel.numpy(), 2, (height, width))
    z, represented, v1, v2, u, s = torch.rand(6, 4, height, width, dtype=torch.double)
    v1, v2 = v1 / 100, v2 / 100
    srf = torch.from_numpy(RESPONSE).double()
    rgb = torch.rand(3, height, width, dtype=torch.double)
    lr = torch.rand(4, height // 2, width // 2, dtype=torch.double)

    flat = {"z": z, "made": represented, "v1": v1, "v2": v2, "u": u, "s": s, "rgb": rgb, "lr": lr}
    flat = {name: array.flatten(1).numpy() for name, array in flat.items()}
    identity, root = np.eye(4), np.sqrt(penalty)
    expected = least_squares(
        (np.sqrt(eta) * identity, np.sqrt(eta) * flat["made"]),
        (root * identity, root * (flat["z"] + flat["v1"] / (2 * penalty))),
    )
    found = u_step(z, represented, v1, eta, penalty)
    np.testing.assert_allclose(found.flatten(1).numpy(), expected, atol=1e-9)

    expected = least_squares(
        (srf.numpy(), flat["rgb"]), (root * identity, root * (flat["z"] + flat["v2"] / (2 * penalty)))
    )
    found = s_step(z, torch.tensordot(srf.T, rgb, dims=1), v2, srf, penalty)
    np.testing.assert_allclose(found.flatten(1).numpy(), expected, atol=1e-9)

    pixels = root * np.eye(height * width)
    expected = least_squares(
        (np.sqrt(weight) * matrix, np.sqrt(weight) * flat["lr"].T),
        (pixels, root * (flat["u"] - flat["v1"] / (2 * penalty)).T),
        (pixels, root * (flat["s"] - flat["v2"] / (2 * penalty)).T),
    ).T
    found = z_step(operator, weight * operator.adjoint(lr), u, s, v1 + v2, penalty, weight)
    np.testing.assert_allclose(found.flatten(1).numpy(), expected, atol=1e-9)


def slow_cms(observation, kernel, corners, eta, settings):
    """The method with dense solves and explicit patches; `corners` are each group's patches."""
    bands, (height, width) = observation.lr.shape[0], observation.rgb.shape[1:]
    matrix = matrix_of(kernel, observation.scale, (height, width))
    srf = observation.srf.astype(np.float64)
    lr, rgb = observation.lr.reshape(bands, -1), observation.rgb.reshape(3, -1)
    start = upsample(torch.from_numpy(observation.lr), torch.from_numpy(kernel).float(), observation.scale)
    z = start.numpy().astype(np.float64).reshape(bands, -1)

    def columns(image, group):
        return np.stack([image[:, i : i + 4, j : j + 4].ravel() for i, j in group], axis=1)

    weights = [relaxed(weights_column_by_column(columns(observation.rgb, group).T))[0] for group in corners]
    v1, v2, mu = np.zeros_like(z), np.zeros_like(z), settings.penalty
    for _ in range(settings.iterations):
        total, count = np.zeros((bands, height, width)), np.zeros((height, width))
        for group, weight in zip(corners, weights, strict=True):
            made = columns(z.reshape(bands, height, width), group) @ weight
            for n, (i, j) in enumerate(group):
                total[:, i : i + 4, j : j + 4] += made[:, n].reshape(bands, 4, 4)
                count[i : i + 4, j : j + 4] += 1
        u = (mu * z + eta * (total / count).reshape(bands, -1) + v1 / 2) / (mu + eta)
        s = np.linalg.solve(srf.T @ srf + mu * np.eye(bands), srf.T @ rgb + mu * z + v2 / 2)
        right = lr @ matrix + mu * u + mu * s - v1 / 2 - v2 / 2
        z = np.linalg.solve(matrix.T @ matrix + 2 * mu * np.eye(height * width), right.T).T
        v1, v2, mu = v1 + 2 * mu * (z - u), v2 + 2 * mu * (z - s), mu * settings.growth
    return z.reshape(bands, height, width)


def test_four_iterations_equal_a_slow_obvious_version(monkeypatch):
    settings = Schedule(4e-4, 1.05, 4)
    monkeypatch.setitem(cms.SCHEDULES, 8, settings)
    part = open_dataset("indian-pines").load("train").crop(20, 20, 12, 16)
    scene = Scene("part", part.cube[[5, 40, 90, 150]], srf=RESPONSE)
    observation = degrade(scene, 4, preset="cms")
    groups = PatchGroups(torch.from_numpy(observation.rgb), 4, 2, 3, 0, exponent=1)
    corners = [[divmod(int(patch[0]), 16) for patch in members] for members in groups.members]
    assert len(corners) == 3 and min(map(len, corners)) > 1
    expected = slow_cms(observation, assumed_blur("cms", 4), corners, 0.1, settings)
    np.testing.assert_allclose(CMS(clusters=3)(observation), expected.clip(0, 1), atol=2e-4)


def test_back_projection_fits_both_images_exactly():
    torch.manual_seed(0)
    srf, truth = torch.from_numpy(RESPONSE).double(), torch.rand(4, 16, 24, dtype=torch.double)
    operator = BlurDecimate(torch.full((4, 4), 1 / 16, dtype=torch.double), 4, (16, 24))
    lr, rgb = operator.forward(truth), torch.tensordot(srf, truth, dims=1)
    fitted = back_project(torch.rand(4, 16, 24, dtype=torch.double), lr, rgb, srf, operator)
    torch.testing.assert_close(operator.forward(fitted), lr)
    torch.testing.assert_close(torch.tensordot(srf, fitted, dims=1), rgb)
    contradictory = back_project(truth, lr + 0.1 * torch.rand_like(lr), rgb, srf, operator)
    assert contradictory.isfinite().all()  # and it ends


def test_on_its_own_blur_it_is_far_above_bicubic_on_a_real_scene(balloons):
    observation = degrade(balloons, 8, preset="cms")
    sr, blurry = CMS(clusters=40)(observation), Bicubic()(observation)
    assert metrics.psnr(balloons.cube, sr) > metrics.psnr(balloons.cube, blurry) + 8
    assert metrics.sam(balloons.cube, sr) < metrics.sam(balloons.cube, blurry)
    exact = CMS(clusters=40, back_projection=True)(observation)
    assert metrics.psnr(balloons.cube, exact) > metrics.psnr(balloons.cube, sr)


@pytest.mark.parametrize(("size", "scale", "bands"), [((27, 33), 3, 7), ((12, 6), 2, 4), ((3, 6), 3, 4)])
def test_any_size_scale_and_number_of_bands_works_and_is_deterministic(size, scale, bands):
    part = open_dataset("indian-pines").load("train").crop(30, 10, *size)
    srf = np.zeros((3, bands), np.float32)
    srf[[0, 1, 2], [bands - 1, bands // 2, 0]] = 1
    scene = Scene("part", part.cube[:: 200 // bands][:bands].copy(), srf=srf)
    observation = degrade(scene, scale, preset="cms")
    method = CMS(clusters=6, seed=3)
    sr = method(observation)
    assert metrics.psnr(scene.cube, sr) > metrics.psnr(scene.cube, Bicubic()(observation))
    np.testing.assert_array_equal(method(observation), sr)


@pytest.mark.parametrize(
    ("scale", "published"), [(1, 8), (4, 8), (8, 8), (12, 8), (16, 16), (31, 16), (64, 32)]
)
def test_scales_use_the_schedule_of_the_programs_largest_scale_below(scale, published):
    expected = {8: (4e-4, 1.05, 100), 16: (1e-4, 1.03, 200), 32: (5e-5, 1.005, 300)}
    assert schedule_for(scale) == expected[published]


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"clusters": 0}, "clusters"),
        ({"eta": 0.0}, "eta"),
        ({"kernel": "estimated", "back_projection": True}, "back_projection"),
    ],
)
def test_settings_out_of_range_are_named(settings, where):
    with pytest.raises(InputError) as error:
        CMS(**settings)
    assert error.value.where == where

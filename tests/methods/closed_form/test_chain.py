from dataclasses import replace

import numpy as np
import pytest
import torch

from ifmsr import metrics
from ifmsr.degradation.estimation import Estimate, estimate_degradation
from ifmsr.degradation.protocol import degrade
from ifmsr.inference.api import super_resolve
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.closed_form.chain import ClosedForm, project_, solve
from ifmsr.methods.closed_form.shadow_denoising import denoise_shadows_
from ifmsr.scenes import Scene, nikon_d700, open_dataset
from ifmsr.scenes.scene import Observation


@pytest.fixture(scope="module")
def balloons(cave_root):
    return open_dataset("cave", cave_root).load("balloons", window=(128, 128, 256, 256))


@pytest.fixture(scope="module")
def pines():
    """31 bands of Indian Pines with the camera's response."""
    cube = open_dataset("indian-pines").load("train").cube[10:41, :96, :72]
    return Scene("pines", np.ascontiguousarray(cube), srf=nikon_d700())


# --- the whole chain -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "gain", "psnr"), [(4, 17.5, 50.5), (8, 19.5, 48.6)])
def test_it_is_far_above_bicubic_on_a_real_scene(balloons, scale, gain, psnr):
    observation = degrade(balloons, scale)
    sr, blurry = ClosedForm()(observation), Bicubic()(observation)
    assert metrics.psnr(balloons.cube, sr) > max(metrics.psnr(balloons.cube, blurry) + gain, psnr)
    assert metrics.sam(balloons.cube, sr) < 0.3 * metrics.sam(balloons.cube, blurry)


@pytest.mark.parametrize(("scale", "gain"), [(4, 16), (8, 15.5)])
def test_an_unknown_response_costs_little_on_a_real_scene(balloons, scale, gain):
    observation = degrade(balloons, scale)
    blind = Observation(observation.lr, observation.rgb, scale)
    known, unknown = (metrics.psnr(balloons.cube, ClosedForm()(o)) for o in (observation, blind))
    assert metrics.psnr(balloons.cube, Bicubic()(observation)) + gain < unknown < known


def test_a_response_of_another_camera_costs_no_more_than_an_unknown_one(balloons):
    observation = degrade(balloons, 4)
    wrong = replace(observation, srf=np.ascontiguousarray(observation.srf[::-1]))
    blind = replace(observation, srf=None)
    np.testing.assert_array_equal(ClosedForm()(wrong), ClosedForm()(blind))


def test_three_bands_as_rgb_image_work_too():
    part = open_dataset("indian-pines").load("test")
    observation = degrade(part, 4)
    assert observation.srf is None
    sr, blurry = ClosedForm()(observation), Bicubic()(observation)
    assert metrics.psnr(part.cube, sr) > metrics.psnr(part.cube, blurry) + 2.5
    assert metrics.ergas(part.cube, sr, 4) < 0.75 * metrics.ergas(part.cube, blurry, 4)


def test_fewer_pixels_than_bands_are_no_reason_to_keep_the_noise():
    part = open_dataset("indian-pines").load("test").crop_to_multiple(8)
    observation = degrade(part, 8)
    sr, blurry = ClosedForm()(observation), Bicubic()(observation)
    assert metrics.psnr(part.cube, sr) > metrics.psnr(part.cube, blurry) + 5.5


@pytest.mark.parametrize("scale", [3, 16])
def test_large_scales_and_odd_scales_run(scale):
    part = open_dataset("indian-pines").load("train")
    scene = Scene("part", part.cube[::20], rgb_bands=(1, 4, 8)).crop_to_multiple(48)
    observation = degrade(scene, scale, alignment="centred")
    sr, blurry = ClosedForm()(observation), Bicubic()(observation)
    assert metrics.psnr(scene.cube, sr) > metrics.psnr(scene.cube, blurry)


def test_a_result_is_a_solution_with_denoised_shadows_and_the_degradation_that_it_rests_on(pines):
    observation = degrade(Scene("dark", 0.1 * pines.cube, srf=pines.srf), 4)
    solution, sr = solve(observation), ClosedForm()(observation)
    unit = solution.pair.lr_unit
    assert unit == observation.lr.max()
    rgb = torch.from_numpy(observation.rgb) / unit
    denoised = denoise_shadows_(solution.sr.clone(), rgb, solution.estimate.noise, 4)
    np.testing.assert_allclose(sr, unit * denoised.clamp(0, solution.highest), atol=2e-5)
    assert 1e-5 < np.abs(sr - unit * solution.sr.numpy()).mean() < 1e-2
    expected = estimate_degradation(observation)
    assert torch.equal(solution.estimate.kernel, expected.kernel)
    torch.testing.assert_close(solution.estimate.response, expected.response, atol=1e-6, rtol=0)
    assert unit * solution.estimate.noise == pytest.approx(expected.noise)


def test_the_results_rgb_values_are_the_guides_but_for_a_part_of_the_noise(pines):
    observation = degrade(pines, 4)
    solution = solve(observation)
    sr = solution.sr.numpy()
    inside = ((sr > 0) & (sr < solution.highest)).all(0)
    assert inside.mean() > 0.9
    seen = solution.pair.lr_unit * np.tensordot(observation.srf, sr, axes=1)
    assert np.abs(seen - observation.rgb)[:, inside].max() < 0.3 * 3 / 255


EXPOSURES = {
    "cube darker": (0.3, 1.0),
    "guide darker": (1.0, 0.3),
    "both dark": (1 / 16, 1 / 16),
    "both very dark": (1e-25, 1e-25),
    "white balance": (1.0, np.array([[[0.9]], [[0.6]], [[0.4]]], np.float32)),
}


@pytest.mark.parametrize("name", EXPOSURES)
def test_the_units_of_both_images_do_not_matter(balloons, name):
    """Dark units lost 0.7 dB, a darker guide up to 0.8, another white balance 0.6, tiny numbers everything."""
    observation = replace(degrade(balloons, 4), srf=None)
    cube_unit, guide_unit = EXPOSURES[name]
    other = replace(
        observation,
        lr=observation.lr * np.float32(cube_unit),
        rgb=observation.rgb * np.float32(guide_unit),
    )
    expected, found = (ClosedForm()(each) for each in (observation, other))
    np.testing.assert_allclose(found / np.float32(cube_unit), expected, atol=2e-3)
    assert metrics.psnr(expected, (found / np.float32(cube_unit)).clip(0, 1)) > 75


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("size", [(6, 6), (3, 3), (3, 5)])
@pytest.mark.parametrize(("bands", "scale"), [(8, 4), (8, 3), (31, 2), (3, 8)])
def test_images_of_a_few_pixels_work(pines, bands, scale, size, known):
    """As a user calls it."""
    height, width = (scale * side for side in size)
    cube = np.ascontiguousarray(pines.cube[:bands, :height, :width])
    srf = np.full((3, bands), 0.2 / bands, np.float32) + 0.8 * np.eye(3, bands, dtype=np.float32)
    observation = degrade(Scene("tiny", cube, srf=srf), scale)
    sr = super_resolve(
        observation.lr, observation.rgb, scale, method="closed-form", srf=srf if known else None
    )
    assert sr.shape == cube.shape and sr.dtype == np.float32
    assert np.isfinite(sr).all() and sr.min() >= 0 and sr.max() <= 1


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("value", "colour"), [(0.5, 0.5), (0.0, 0.0), (1.0, 1.0), (0.5, 0.0)])
def test_images_without_any_contrast_work(value, colour, known):
    lr, rgb = np.full((8, 6, 6), value, np.float32), np.full((3, 24, 24), colour, np.float32)
    srf = np.full((3, 8), 0.025, np.float32) + 0.8 * np.eye(3, 8, dtype=np.float32) if known else None
    sr = ClosedForm()(Observation(lr, rgb, 4, srf))
    assert sr.shape == (8, 24, 24) and np.isfinite(sr).all()
    if value == colour:
        np.testing.assert_allclose(sr, value, atol=1e-3)


@pytest.mark.parametrize(("bands", "size"), [(1, (6, 6)), (8, (1, 1)), (1, (1, 1)), (8, (1, 5))])
def test_one_band_and_one_pixel_work(pines, bands, size):
    height, width = (4 * side for side in size)
    cube = np.ascontiguousarray(pines.cube[:bands, :height, :width])
    rgb = np.ascontiguousarray(pines.rgb()[:, :height, :width])
    lr = cube.reshape(bands, size[0], 4, size[1], 4).mean((2, 4))
    sr = ClosedForm()(Observation(lr, rgb, 4))
    assert sr.shape == cube.shape and np.isfinite(sr).all() and sr.min() >= 0 and sr.max() <= 1


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "size",
    [
        *((7, 9), (8, 8), (9, 8), (8, 9), (9, 9), (5, 13), (2, 33), (33, 2), (1, 64), (64, 1)),
        *((5, 6), (3, 5), (1, 30), (30, 1)),
    ],
)
def test_small_odd_and_narrow_images_work(pines, size, known):
    """A pixel fewer than it takes to estimate, just as many, and more; a line has no reduced resolution.

    The last four have fewer pixels than their 31 bands.
    """
    height, width = (2 * side for side in size)
    cube = np.tile(pines.cube, (1, 2, 2))[:, :height, :width]
    observation = degrade(Scene("small", np.ascontiguousarray(cube), srf=pines.srf), 2)
    if not known:
        observation = replace(observation, srf=None)
    sr = ClosedForm()(observation)
    assert sr.shape == cube.shape and sr.dtype == np.float32
    assert np.isfinite(sr).all() and sr.min() >= 0 and sr.max() <= 1
    assert not known or metrics.psnr(cube, sr) > metrics.psnr(cube, Bicubic()(observation))


# --- its steps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_projection_gives_exactly_the_rgb_image_and_changes_as_little_as_possible(offset):
    torch.manual_seed(0)
    srf, cube, rgb = torch.from_numpy(nikon_d700()), torch.rand(31, 6, 5), torch.rand(3, 6, 5)
    estimate = Estimate(
        torch.cat([srf, torch.full((3, 1), offset)], dim=1), torch.ones(4, 4) / 16, 0.0, given=True
    )
    whole = torch.eye(3, dtype=torch.double)
    projected = project_(cube.clone(), rgb, estimate, whole)
    torch.testing.assert_close(torch.tensordot(srf, projected, dims=1) + offset, rgb, atol=1e-5, rtol=0)
    change = (projected - cube).flatten(1)
    null_space = torch.linalg.svd(srf)[2][3:]
    assert (null_space @ change).abs().max() < 1e-5
    doubted = project_(cube.clone(), rgb, estimate._replace(given=False), whole) - cube
    assert 0.1 * change.norm() < doubted.norm() < change.norm()
    torch.testing.assert_close(
        project_(cube.clone(), rgb, estimate, 0.3 * whole) - cube, 0.3 * (projected - cube)
    )
    assert torch.equal(project_(cube.clone(), rgb, estimate, 0 * whole), cube)

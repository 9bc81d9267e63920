from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from tiny import moments

from ifmsr.degradation import estimation
from ifmsr.degradation.estimation import (
    CAMERA_RIDGES,
    RESPONSE_RIDGE,
    Estimate,
    Estimated,
    estimate_degradation,
    estimate_response,
    estimated_pair,
    fit_response,
    nonnegative_response,
    ridge,
    signal_basis,
)
from ifmsr.degradation.kernels import (
    estimate_kernel,
    kernel_side,
)
from ifmsr.degradation.pair import as_pair
from ifmsr.degradation.protocol import degrade, draw_degradation, gaussian_kernel, scene_seed
from ifmsr.degradation.sampling import decimate
from ifmsr.scenes import Scene, nikon_d700, open_dataset
from ifmsr.scenes.scene import Observation


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
    rgb_values = torch.tensordot(torch.from_numpy(observation.srf), torch.from_numpy(observation.lr), dims=1)
    found = estimate_kernel(rgb_values, torch.from_numpy(observation.rgb), scale)
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


def test_a_given_response_stays_as_it_is_and_the_noise_is_found(balloons):
    observation = degrade(balloons, 4)
    estimate = estimate_degradation(observation)
    np.testing.assert_array_equal(estimate.response[:, :-1], observation.srf)
    assert not estimate.response[:, -1].any()
    rgb_values = torch.from_numpy(np.tensordot(observation.srf, observation.lr, axes=1))
    expected = estimate_kernel(rgb_values, torch.from_numpy(observation.rgb), 4)
    torch.testing.assert_close(estimate.kernel, expected, atol=2e-4, rtol=0)
    assert estimate.noise == pytest.approx(3 / 255, rel=0.05)
    truth, _ = moments(draw_degradation(4, "test", scene_seed(balloons, 0)).kernel)
    np.testing.assert_allclose(estimate.shift, truth, atol=0.1)


@pytest.mark.parametrize("known", [True, False])
def test_a_black_image_has_an_estimate_of_the_kernel(known):
    lr = np.full((6, 5, 4), 0.3, np.float32)
    srf = np.full((3, 6), 1 / 6, np.float32) if known else None
    for scale in (2, 3, 4):
        black = np.zeros((3, 5 * scale, 4 * scale), np.float32)
        estimate = estimate_degradation(Observation(lr, black, scale, srf))
        assert estimate.kernel.min() >= 0 and float(estimate.kernel.sum()) == pytest.approx(1, abs=1e-5)
        assert estimate.kernel.shape == (kernel_side(scale),) * 2
        assert estimate.shift == pytest.approx((0, 0), abs=1e-4)
        assert estimate.response.isfinite().all() and estimate.noise == pytest.approx(0, abs=1e-6)


# --- moments of a kernel -------------------------------------------------------------------------------------


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
def test_shift_and_widths_of_the_papers_kernels_are_their_moments(scale, alignment):
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
    lr, cube = torch.from_numpy(observation.lr), torch.from_numpy(balloons.cube)
    response, kernel = estimate_response(lr, torch.from_numpy(observation.rgb), 4)
    assert response.shape == (3, 32) and response.min() >= 0
    seen = Estimate(response, kernel, 0.0).to_rgb(cube)
    truth = torch.tensordot(torch.from_numpy(nikon_d700()), cube, dims=1)
    assert (seen - truth).norm() / truth.norm() < 0.005
    curve = response[:, :-1] - torch.from_numpy(nikon_d700())
    assert curve.norm() / np.linalg.norm(nikon_d700()) < 0.15


def spectra_of(cube, noise, seed=0):
    """(B + 1, n): the spectra with noise, and 1; and (B, n) without."""
    clean = torch.from_numpy(cube).flatten(1).double()
    noisy = clean + noise * torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed)).double()
    return torch.cat([noisy, torch.ones(1, clean.shape[1])]), clean


@pytest.mark.parametrize(("noise", "weight"), [(0.0, 0.03), *((0.01, weight) for weight in CAMERA_RIDGES)])
def test_a_nonnegative_response_is_that_of_the_clean_spectra_with_ridge_rows(pines, noise, weight):
    """Exactly white noise in separate columns where the RGB values are 0; the other part is SciPy's nnls."""
    clean = pines[10:16, ::3, ::3].reshape(6, -1).astype(np.float64)
    pixels = clean.shape[1] + 6
    spectra = np.vstack([clean, np.ones(clean.shape[1])])
    white = np.vstack([np.sqrt(pixels) * noise * np.eye(6), np.zeros((1, 6))])
    matrix = np.array([[1.2, -0.4, 0.2, 0, 0, 0], [0, 0, 0.3, 0.9, 0, 0], [0.1, 0, 0, 0, -0.3, 0.7]])
    rgb_values = matrix @ clean - 0.03
    found = nonnegative_response(
        torch.from_numpy(np.hstack([spectra, white])),
        torch.from_numpy(np.hstack([rgb_values, np.zeros((3, 6))])),
        noise,
        weight,
    )
    design = np.vstack([spectra.T, np.sqrt(weight * pixels) * noise * np.eye(7)])
    for row, colour in zip(found.numpy(), rgb_values, strict=True):
        expected = nnls(design, np.concatenate([colour, np.zeros(7)]))[0]
        np.testing.assert_allclose(row, expected, atol=1e-6)


def test_more_noise_than_there_is_leaves_a_response_valid(pines):
    spectra, clean = spectra_of(pines[10:16], 0.0)
    assert 0 <= nonnegative_response(spectra, clean[:3], 0.5, 0.3).min() < np.inf


@pytest.mark.parametrize("preset", ["test", "train"])
def test_picked_bands_are_recognised_in_noise(pines, preset):
    """Every sixteenth band: neighbours of the sensor's own spacing are one band to the noise."""
    scene = Scene("sparse", np.ascontiguousarray(pines[::16]), rgb_bands=(6, 4, 2))
    observation = degrade(scene, 2, preset)
    response, _ = estimate_response(torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb), 2)
    assert response.min() >= 0
    assert response[:, :-1].argmax(1).tolist() == [6, 4, 2]


@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_picked_bands_are_recognised_among_all(pines, noise):
    spectra, clean = spectra_of(pines[:, :96:2, ::2], noise)
    response = fit_response(spectra, clean[[29, 19, 9]], noise)
    assert response.min() >= 0 and response[:, :-1].argmax(1).tolist() == [29, 19, 9]
    assert response[:, :-1].max(1).values.min() > (0.999 if noise == 0 else 0.6)


@pytest.mark.parametrize("preset", ["test", "train", "lttr"])
def test_picked_bands_are_recognised_on_worldview_2(worldview2_file, preset):
    scene = open_dataset("worldview2", worldview2_file.parent).load("imgWV2", window=(0, 0, 256, 256))
    observation = degrade(scene, 4, preset)
    response, _ = estimate_response(torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb), 4)
    assert response.min() >= 0 and response[:, :-1].argmax(1).tolist() == list(scene.rgb_bands)
    assert response[:, :-1].max(1).values.min() > 0.7


@pytest.mark.parametrize(("noise", "bound"), [(0.0, 1e-6), (0.003, 0.3), (0.01, 0.45)])
def test_a_cameras_curves_are_nearer_than_those_of_a_free_response(pines, noise, bound):
    camera = torch.from_numpy(nikon_d700()).double()
    spectra, clean = spectra_of(pines[10:41, :96], noise)
    found = fit_response(spectra, camera @ clean, noise)
    assert found.shape == (3, 32) and found.dtype == torch.float32 and found.min() >= 0
    free = ridge(spectra, camera @ clean, RESPONSE_RIDGE)
    error, of_free = ((response[:, :-1] - camera).norm() / camera.norm() for response in (found, free))
    assert error < bound and error < 0.96 * of_free


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.01])
def test_a_rendering_with_negative_entries_has_a_free_response(pines, noise):
    rendering = torch.tensor([[1.8, -0.6, -0.2], [-0.4, 1.7, -0.3], [-0.1, -0.5, 1.6]]).double()
    spectra, clean = spectra_of(pines[10:41, :96], noise)
    rgb_values = rendering @ torch.from_numpy(nikon_d700()).double() @ clean
    found = fit_response(spectra, rgb_values, noise)
    torch.testing.assert_close(found, ridge(spectra, rgb_values, RESPONSE_RIDGE).float())
    assert found.min() < -0.02


@pytest.mark.parametrize("pixels", [1, 2, 40])
@pytest.mark.parametrize("bands", [1, 5])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_response_of_little_or_equal_data_is_valid(bands, pixels, noise):
    spectra = torch.ones(bands + 1, pixels, dtype=torch.double)
    spectra[:-1] = torch.linspace(0.2, 0.6, bands)[:, None]
    rgb_values = torch.tensor([[0.3], [0.4], [0.5]]).double().expand(3, pixels)
    found = fit_response(spectra, rgb_values, noise)
    torch.testing.assert_close(found @ spectra.float(), rgb_values.float(), atol=0.02, rtol=0)


def test_of_responses_that_leave_as_little_the_one_of_strongest_ridge_is_taken(pines):
    camera = torch.from_numpy(nikon_d700()).double()
    spectra, clean = spectra_of(pines[10:41, :96], 0.01)
    found = fit_response(spectra, camera @ clean, 0.01)
    candidates = {
        ridge: nonnegative_response(spectra, camera @ clean, 0.01, ridge) for ridge in (0.3, 1.0, 3.0)
    }
    assert {ridge: torch.equal(found, one.float()) for ridge, one in candidates.items()} == {
        0.3: False,
        1.0: False,
        3.0: True,
    }


@pytest.mark.parametrize(("given", "doubt"), [(True, 0.0), (False, 0.02)])
def test_an_estimated_response_is_not_inverted_all_the_way(given, doubt):
    response = np.hstack([nikon_d700(), np.ones((3, 1), np.float32)]).astype(np.float64)
    estimate = Estimate(torch.from_numpy(response).float(), torch.ones(1, 1), 0.0, given)
    p = response[:, :-1]
    expected = p.T @ np.linalg.inv(p @ p.T + doubt * np.eye(3))
    np.testing.assert_allclose(estimate.right_inverse, expected, rtol=1e-4, atol=1e-6)


def test_an_unknown_response_is_estimated_with_its_kernel(balloons):
    observation = degrade(balloons, 4)
    blind = Observation(observation.lr, observation.rgb, 4)
    estimate = estimate_degradation(blind)
    lr = torch.from_numpy(blind.lr)
    usable = as_pair(blind).measured(torch.ones(lr.shape[1:], dtype=torch.bool))
    response, kernel = estimate_response(lr, torch.from_numpy(blind.rgb), 4, usable)
    torch.testing.assert_close(estimate.response, response, atol=1e-3, rtol=0)
    torch.testing.assert_close(estimate.kernel, kernel, atol=1e-3, rtol=0)
    truth, _ = moments(draw_degradation(4, "test", scene_seed(balloons, 0)).kernel)
    np.testing.assert_allclose(estimate.shift, truth, atol=0.15)


def test_rgb_values_are_the_affine_response_pixel_by_pixel():
    generator = np.random.default_rng(0)
    response, cube = generator.random((3, 6), np.float32), generator.random((5, 3, 4), np.float32)
    seen = Estimate(torch.from_numpy(response), torch.ones(1, 1), 0.0).to_rgb(torch.from_numpy(cube))
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


@pytest.mark.parametrize(
    ("mixed_in", "misfit", "doubted"), [(0.0142, 1.4, False), (0.017, 1.55, True), (0.03, 2.8, True)]
)
def test_a_given_response_is_doubted_from_half_as_much_again_as_the_noise_explains(
    balloons, monkeypatch, mixed_in, misfit, doubted
):
    observation = degrade(balloons, 4)
    srf = (1 - mixed_in) * observation.srf + mixed_in * observation.srf[::-1]
    mixed = replace(observation, srf=srf.astype(np.float32))
    lr, rgb, given = (torch.from_numpy(array) for array in (mixed.lr, mixed.rgb, mixed.srf))
    noise = signal_basis(lr)[1]
    kernel = estimate_kernel(torch.tensordot(given, lr, dims=1), rgb, 4)
    seen = torch.tensordot(given, lr, dims=1) - decimate(rgb, kernel, 4)
    explained = noise**2 * float(given.square().sum(1).mean())
    assert float(seen.square().mean()) / explained == pytest.approx(misfit, abs=0.05)

    asked = []
    monkeypatch.setattr(
        estimation, "estimate_response", lambda *inputs: asked.append(1) or estimate_response(*inputs)
    )
    estimate = estimate_degradation(mixed)
    assert bool(asked) == doubted
    assert estimate.given == (misfit < 2)  # an estimated one leaves about what the noise explains


def test_what_was_estimated_is_known_afterwards_and_not_of_other_images(pines):
    observation = degrade(Scene("part", pines[10:41, :96], srf=nikon_d700()), 4)
    known = Estimated.of(observation)
    assert estimated_pair(known) is estimated_pair(known)
    torch.testing.assert_close(estimated_pair(known)[1].kernel, estimated_pair(observation)[1].kernel)
    brighter = replace(known, lr=0.5 * known.lr)
    assert brighter.known is None
    noisy = estimate_degradation(Estimated.of(observation, rgb_noise=0.02))
    assert noisy.rgb_noise == pytest.approx(0.02) and estimate_degradation(observation).rgb_noise == 0
    assert estimated_pair(brighter)[0].lr_unit == pytest.approx(0.5 * known.known[0].lr_unit)


# --- units, and how sure an estimate is ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def observed(pines):
    """40 bands of the real image, seen by a camera of three curves."""
    places = np.linspace(-1, 1, 40)
    curves = np.stack([np.exp(-8 * (places - middle) ** 2) for middle in (0.6, 0.0, -0.6)])
    scene = Scene("pines", pines[10:50], srf=(curves / curves.sum(1, keepdims=True)).astype(np.float32))
    return degrade(scene, 4)


@pytest.mark.parametrize("given", [True, False])
def test_an_estimate_is_in_the_units_of_its_observation(observed, given):
    channels = np.full(3, 0.5, np.float32) if given else np.float32([0.5, 0.25, 0.8])
    srf = observed.srf if given else None  # its rows have to sum to 1
    here = estimate_degradation(replace(observed, srf=srf))
    there = estimate_degradation(Observation(observed.lr / 2, observed.rgb * channels[:, None, None], 4, srf))
    expected = here.response.numpy() * channels[:, None]
    expected[:, :-1] *= 2
    np.testing.assert_allclose(there.response, expected, rtol=2e-3, atol=1e-5)
    assert there.noise == pytest.approx(here.noise / 2, rel=1e-4)
    if given:
        np.testing.assert_array_equal(there.response[:, :-1], srf)


def test_a_pair_without_response_is_sure_from_two_pixels_per_band_on(observed):
    """From fewer, the mutual information has to confirm it."""
    for side, sure in (((8, 9), False), ((10, 10), True)):
        h, w = side
        part = Observation(observed.lr[:, :h, :w], observed.rgb[:, : 4 * h, : 4 * w], 4)
        assert (estimate_degradation(part).shared == float("inf")) == sure


def test_what_a_picture_shares_is_counted_in_units_of_chance(observed):
    picture = replace(observed, rgb=(observed.rgb > np.median(observed.rgb)).astype(np.float32), srf=None)
    found = estimate_degradation(picture)
    assert found.related and found.misfit > 2.2
    assert 0.005 < found.information / found.shared < 0.1  # nats by chance

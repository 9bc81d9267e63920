from dataclasses import asdict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.fft import dct
from tiny import observed, random_net

from ifmsr.degradation.estimation import RESPONSE_DOUBT, Estimate, estimate_degradation
from ifmsr.degradation.sampling import decimate, upsample
from ifmsr.inference.api import super_resolve
from ifmsr.inference.networks import run_network
from ifmsr.methods.closed_form.chain import ClosedForm, finish, solve
from ifmsr.methods.closed_form.shadow_denoising import denoise_shadows_
from ifmsr.methods.subspace_net import network as subspace_net
from ifmsr.methods.subspace_net.band_consistency import band_consistency
from ifmsr.methods.subspace_net.network import (
    DETAIL_GAIN,
    LEAST_ERROR,
    MISFIT_GAIN,
    OFFSET_GAIN,
    SLOPE_GAIN,
    TYPICAL_ERROR,
    SubspaceNet,
    conditions_of,
    prepare,
    refine,
    smooth_axes,
)
from ifmsr.scenes import Scene
from ifmsr.weights import save_weights

pytestmark = pytest.mark.cpu


def test_it_has_as_many_parameters_as_its_layers_say():
    def convolution(inputs, outputs):
        return 9 * inputs * outputs + outputs

    inputs = (12 + 12 + 3) + (12 + 3) * 4 * 4 + 6
    expected = convolution(inputs, 96) + 8 * 2 * convolution(96, 96)
    expected += convolution(96, 12 * 15) + convolution(96, 12 * 16) + convolution(96, 16)
    assert sum(p.numel() for p in SubspaceNet().parameters()) == expected == 1_900_228


def test_its_configuration_names_neither_scale_nor_bands():
    net = SubspaceNet.build(features=8, blocks=3)
    assert asdict(net.config) == {"features": 8, "blocks": 3} and net.scale_free and not net.bandwise
    assert len(net.body) == 3 and net.head.out_channels == 8
    assert asdict(SubspaceNet().config) == {"features": 96, "blocks": 8}


def test_a_forward_pass_is_its_layers_one_after_the_other():
    net = random_net(features=5, blocks=2)
    smooth, detail, conditions = torch.rand(2, 27, 8, 12), torch.randn(2, 15, 8, 12), torch.rand(2, 6)
    x = torch.zeros(2, 27 + 15 * 16 + 6, 2, 3)
    cells = [(i, j, a, b) for i in range(2) for j in range(3) for a in range(4) for b in range(4)]
    for i, j, a, b in cells:
        x[:, :27, i, j] += smooth[:, :, 4 * i + a, 4 * j + b] / 16
        for channel in range(15):
            x[:, 27 + 16 * channel + 4 * a + b, i, j] = DETAIL_GAIN * detail[:, channel, 4 * i + a, 4 * j + b]
        x[:, -6:, i, j] = conditions
    x = y = net.head(x)
    for block in net.body:
        y = y + block.second(block.first(y).clamp_min(0))
    x = x + y
    slopes, offsets, raised = net.slopes(x), net.offsets(x), net.error(x).exp().log1p()
    expected, expected_error = torch.zeros(2, 12, 8, 12), torch.zeros(2, 1, 8, 12)
    for i, j, a, b in cells:
        here = (slice(None), slice(None), 4 * i + a, 4 * j + b)
        expected_error[here] = LEAST_ERROR + TYPICAL_ERROR * raised[:, 4 * a + b, i, j, None]
        for row in range(12):
            product = (slopes[:, 15 * row : 15 * row + 15, i, j] * detail[here]).sum(1)
            offset = offsets[:, 16 * row + 4 * a + b, i, j]
            expected[here][:, row] = SLOPE_GAIN * product + OFFSET_GAIN * offset
    correction, error = net(smooth, detail, conditions)
    torch.testing.assert_close(correction, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(error, expected_error, atol=1e-6, rtol=1e-5)
    weights = [net.head.weight, net.slopes.weight, net.offsets.weight]
    ours, theirs = (torch.autograd.grad(x.square().mean(), weights) for x in (correction, expected))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


# --- what it sees --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [31, 13, 12, 5])
def test_axes_span_the_leading_directions_in_an_order_of_growing_frequency(pines, bands):
    lr = observed(pines, 4, 12, 10).lr[:bands]
    axes = smooth_axes(torch.from_numpy(lr)).double().numpy()
    rank = min(bands, 12)
    assert axes.shape == (bands, 12) and not axes[:, rank:].any()
    axes = axes[:, :rank]
    np.testing.assert_allclose(axes.T @ axes, np.eye(rank), atol=1e-6)
    leading = np.linalg.eigh(np.cov(lr.reshape(bands, -1).astype(np.float64)))[1][:, -rank:]
    np.testing.assert_allclose(axes @ axes.T, leading @ leading.T, atol=1e-5)

    cosines = dct(np.eye(bands), norm="ortho", axis=0)[:rank].T
    nearness = (axes * cosines).sum()
    generator = np.random.default_rng(0)
    for strength in (0.01, 0.1, 1.0, 10.0):  # no other orthonormal axes of the span come nearer
        q, r = np.linalg.qr(np.eye(rank) + strength * generator.standard_normal((rank, rank)))
        turn = q * np.sign(r.diagonal())
        assert ((axes @ turn) * cosines).sum() < nearness + 1e-9


def test_with_few_bands_the_axes_are_the_cosines_themselves(pines):
    lr = observed(pines, 4, 12, 10).lr[:7]
    expected = np.pad(dct(np.eye(7), norm="ortho", axis=0).T, ((0, 0), (0, 5)))
    np.testing.assert_allclose(smooth_axes(torch.from_numpy(lr)), expected, atol=1e-6)


def test_axes_do_not_flip(pines):
    lr = torch.from_numpy(observed(pines, 4, 12, 10).lr)
    axes = smooth_axes(lr)
    for other in (-lr, 0.5 * lr, lr + 0.1, lr.flip(1), lr.flip(2), lr.flip(1, 2), lr.mT):
        torch.testing.assert_close(smooth_axes(other.contiguous()), axes, atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_conditions_are_noise_scale_and_the_kernels_form(scale):
    side, (long, short, theta) = 41, (2.0, 1.2, 0.7)
    steps = np.arange(side) - side // 2
    x, y = np.meshgrid(steps, steps)
    along, across = np.cos(theta) * x + np.sin(theta) * y, np.cos(theta) * y - np.sin(theta) * x
    kernel = np.exp(-0.5 * ((along / long) ** 2 + (across / short) ** 2))
    kernel /= kernel.sum()
    found = conditions_of(Estimate(torch.zeros(3, 4), torch.from_numpy(kernel).float(), 0.012), scale)
    elongation = np.array([np.cos(1.4), np.sin(1.4)]) * 0.8 / scale
    expected = [1.2, np.log2(scale) / 4, 2.0 / scale, 1.2 / scale, *elongation]
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("known", [True, False])
def test_its_inputs_are_the_low_pass_and_high_pass_parts(pines, known):
    observation = observed(pines, 3, 11, 9, known)
    prepared = prepare(observation)
    closed, estimate, rgb_values, *_ = solve(observation)
    assert torch.equal(prepared.closed, closed)
    np.testing.assert_array_equal(prepared.conditions, conditions_of(estimate, 3))
    lr = prepared.solution.pair.lr
    torch.testing.assert_close(prepared.solution.pair.lr_unit * lr, torch.from_numpy(observation.lr))
    axes = smooth_axes(lr)
    seen = decimate(closed, estimate.kernel, 3)
    low_pass, smooth_rgb, misfit = (  # all bands
        upsample(image, estimate.kernel, 3)
        for image in (seen, decimate(rgb_values, estimate.kernel, 3), lr - seen)
    )
    smooth, detail = torch.zeros(27, 33, 27), torch.zeros(15, 33, 27)
    for i in range(33):
        for j in range(27):
            smooth[:12, i, j] = low_pass[:, i, j] @ axes / 31**0.5
            smooth[12:24, i, j] = MISFIT_GAIN * (misfit[:, i, j] @ axes)
            detail[:12, i, j] = (closed - low_pass)[:, i, j] @ axes / 31**0.5
    smooth[24:], detail[12:] = smooth_rgb, rgb_values - smooth_rgb
    torch.testing.assert_close(prepared.smooth, smooth, atol=3e-5, rtol=0)
    torch.testing.assert_close(prepared.detail, detail, atol=1e-5, rtol=0)
    response = estimate.response[:, :-1].numpy()
    doubt = 0 if known else RESPONSE_DOUBT * np.eye(3)
    null_space = np.eye(31) - response.T @ np.linalg.inv(response @ response.T + doubt) @ response
    np.testing.assert_allclose(prepared.to_bands, 31**0.5 * null_space @ axes.numpy(), atol=1e-5)


# --- what it does --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_before_training_it_is_the_closed_form(pines, scale, known):
    """Also where height and width are no multiples of 4."""
    observation = observed(pines, scale, 11, 9, known)
    sr, error, _ = refine(SubspaceNet(4, 1), observation, torch.float32)
    np.testing.assert_array_equal(sr.detach(), ClosedForm()(observation))
    unit = observation.lr.max()
    np.testing.assert_allclose(error.detach(), unit * (LEAST_ERROR + TYPICAL_ERROR * np.log(2)), rtol=1e-5)
    assert error.shape == observation.rgb.shape[1:]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("scale", "size"), [(2, (23, 18)), (3, (21, 17)), (4, (24, 18))])
def test_a_result_is_the_closed_form_and_its_correction_where_bands_are_consistent_with_shadows_denoised(
    pines, scale, size, known, computes_bfloat16, monkeypatch
):
    monkeypatch.setattr(subspace_net, "correction_share", lambda *_: 1.0)  # a random network is contradicted
    observation, net = observed(pines, scale, *size, known), random_net()
    observation.lr[::2, :, :4] = np.roll(
        observation.lr[::2, :, :4], 2, axis=1
    )  # in places, every other band moved
    smooth, detail, conditions, to_bands, closed, noise, solution = prepare(observation)
    pair = solution.pair
    height, width = closed.shape[1:]
    right, below = -width % 4, -height % 4
    images = [np.pad(image, ((0, 0), (0, below), (0, right)), mode="edge") for image in (smooth, detail)]
    with torch.no_grad():
        correction, expected = net(*(torch.from_numpy(image)[None] for image in images), conditions[None])
    change = np.einsum("br,rhw->bhw", to_bands, correction[0, :, :height, :width])
    assert np.abs(change).max() > 0.03
    assert pair.lr_unit * noise == pytest.approx(estimate_degradation(observation).noise)
    trusted = band_consistency(pair.lr, noise)
    assert trusted.min() < 0.9
    shares = F.interpolate(trusted[None, None], (height, width), mode="bilinear")[0].numpy()
    corrected = torch.from_numpy((closed.numpy() + shares * change).astype(np.float32))
    finished = []

    def finish_and_keep(solution, sr):
        finished.append(sr.detach().clone())
        return finish(solution, sr)

    monkeypatch.setattr(subspace_net, "finish", finish_and_keep)
    sr, error, _ = refine(net, observation, torch.float32)
    np.testing.assert_allclose(finished[0], corrected, atol=1e-6)
    without_noise = denoise_shadows_(finished[0].clone(), pair.rgb, noise, scale)
    expected_sr = without_noise.clamp(0, solution.highest) * pair.lr_unit
    np.testing.assert_allclose(sr.detach(), expected_sr, atol=1e-6)
    np.testing.assert_allclose(error.detach(), pair.lr_unit * expected[0, 0, :height, :width], rtol=1e-5)
    found = run_network(net, observation, "cpu")
    np.testing.assert_array_equal(found, sr.detach())
    halved = run_network(net, observation, "cpu", "bfloat16")
    apart = np.abs(halved - found).max()
    assert apart < 0.05 * np.abs(change).max() and (apart > 0) == computes_bfloat16


@pytest.mark.parametrize("scale", [3, 4])
def test_corrections_leave_the_rgb_values_as_the_closed_form_left_them(pines, scale):
    observation, net = observed(pines, scale, 24, 18), random_net()
    prepared = prepare(observation)
    assert prepared.to_bands.abs().max() > 0.1
    np.testing.assert_allclose(observation.srf @ prepared.to_bands.numpy(), 0, atol=1e-6)
    sr = refine(net, observation, torch.float32).sr.detach().numpy()
    solution = prepared.solution
    closed, highest = (
        solution.pair.lr_unit * prepared.closed.numpy(),
        solution.pair.lr_unit * solution.highest,
    )
    inside = ((sr > 0) & (sr < highest) & (closed > 0) & (closed < highest)).all(0)
    assert inside.mean() > 0.5
    seen, before = (np.tensordot(observation.srf, cube, axes=1)[:, inside] for cube in (sr, closed))
    np.testing.assert_allclose(seen, before, atol=1e-4)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("bands", "scale", "size"), [(8, 4, (6, 6)), (5, 2, (3, 3)), (31, 3, (3, 5))])
def test_images_of_a_few_pixels_and_bands_work(pines, tmp_path, bands, scale, size, known):
    """As a user calls it, one weights file for all."""
    weights = save_weights(tmp_path / "w.safetensors", random_net(), "subspace-net", "")
    srf = np.full((3, bands), 0.2 / bands, np.float32) + 0.8 * np.eye(3, bands, dtype=np.float32)
    few = Scene("few", pines.cube[:bands], srf=srf)
    observation = observed(few, scale, *size)
    known_srf = srf if known else None
    sr = super_resolve(observation.lr, observation.rgb, scale, "subspace-net", known_srf, weights)
    assert sr.shape == (bands, scale * size[0], scale * size[1]) and sr.dtype == np.float32
    assert np.isfinite(sr).all() and sr.min() >= 0 and sr.max() <= 1


# --- what it learns from -------------------------------------------------------------------------------------

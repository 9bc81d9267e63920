from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.fft import dct

from ifmsr.degradation.estimation import RESPONSE_DOUBT, Estimate, estimate_degradation
from ifmsr.degradation.protocol import degrade
from ifmsr.degradation.sampling import decimate, upsample
from ifmsr.inference.api import super_resolve
from ifmsr.inference.networks import run_network
from ifmsr.methods.closed_form.chain import ClosedForm, finish, solve
from ifmsr.methods.closed_form.shadow_denoising import denoise_shadows_
from ifmsr.methods.subspace_net import network as subspace_net
from ifmsr.methods.subspace_net.band_consistency import band_consistency
from ifmsr.methods.subspace_net.network import (
    ANGLE_WEIGHT,
    DETAIL_GAIN,
    ERROR_WEIGHT,
    LEAST_ERROR,
    MISFIT_GAIN,
    OFFSET_GAIN,
    RANK,
    SLOPE_GAIN,
    TYPICAL_ERROR,
    SubspaceNet,
    angle,
    conditions_of,
    prepare,
    refine,
    smooth_axes,
)
from ifmsr.scenes import Scene, nikon_d700, open_dataset
from ifmsr.weights import save_weights

pytestmark = pytest.mark.cpu
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pines():
    """31 bands of Indian Pines with the camera's response."""
    cube = open_dataset("indian-pines").load("train").cube[10:41]
    return Scene("pines", np.ascontiguousarray(cube), srf=nikon_d700())


def observed(scene, scale, height, width, known=True):
    """LR size in, observation out."""
    observation = degrade(scene.crop(0, 0, scale * height, scale * width), scale)
    return observation if known else replace(observation, srf=None)


def random_net(features=4, blocks=1):
    """No layer is zero, the last ones included."""
    torch.manual_seed(1)
    net = SubspaceNet(features, blocks)
    for layer in (net.slopes, net.offsets, net.error):
        torch.nn.init.normal_(layer.weight, std=0.1)
        torch.nn.init.normal_(layer.bias, std=0.1)
    return net


@pytest.fixture(scope="module")
def batch(pines):
    """(smooth, detail, conditions, to_bands, closed, level, truth) of two crops, the second with seven bands less."""
    few = Scene("few", pines.cube[:24], rgb_bands=(20, 10, 2))
    parts = []
    for scene in (pines, few):
        observation = observed(scene, 4, 8, 9)
        smooth, detail, conditions, to_bands, closed, _, solution = prepare(observation)
        missing = 31 - len(scene.cube)
        truth = torch.from_numpy(scene.cube[:, :32, :36] / np.float32(solution.pair.lr_unit))
        level = (closed - truth).abs().mean()
        to_bands = torch.cat([to_bands, torch.zeros(missing, RANK)])
        closed, truth = (torch.cat([image, torch.zeros(missing, 32, 36)]) for image in (closed, truth))
        smooth, detail, closed, truth = (image[:, :16, 4:28] for image in (smooth, detail, closed, truth))
        parts.append((smooth, detail, conditions, to_bands, closed, level, truth))
    return [torch.stack(field) for field in zip(*parts, strict=True)]


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


def test_the_loss_equals_a_slow_one(batch):
    net = random_net()
    to_bands, closed, level, truth = (part.double().numpy() for part in batch[3:])
    with torch.no_grad():
        outputs = net(*batch[:3])
    correction, expected_error = (part.double().numpy() for part in outputs)
    count, _, height, width = truth.shape
    bands = (31, 24)  # of the two samples
    relative, angles, likelihood = [], [], []
    for n in range(count):
        errors = []
        for i in range(height):
            for j in range(width):
                x, t = closed[n, :, i, j] + to_bands[n] @ correction[n, :, i, j], truth[n, :, i, j]
                errors.append(np.abs(x - t).sum() / bands[n])
                chord = x / np.linalg.norm(x) - t / np.linalg.norm(t)
                angles.append(np.sqrt(chord @ chord + 1e-8))
                predicted = expected_error[n, 0, i, j]
                likelihood.append(errors[-1] / predicted + np.log(predicted))
        relative.append(np.mean(errors) / level[n])
    expected = np.mean(relative) + ANGLE_WEIGHT * np.mean(angles) + ERROR_WEIGHT * np.mean(likelihood)
    assert net.loss(*batch).item() == pytest.approx(expected, rel=1e-4)


def test_the_angle_is_that_between_spectra():
    generator = np.random.default_rng(0)
    truth = generator.random((1, 6, 4, 5)) + 0.2
    sr = truth + 0.03 * generator.standard_normal(truth.shape)
    cosines = (sr * truth).sum(1) / np.linalg.norm(sr, axis=1) / np.linalg.norm(truth, axis=1)
    expected = np.arccos(cosines).mean()
    found = angle(torch.from_numpy(sr), torch.from_numpy(truth)).item()
    assert found == pytest.approx(expected, rel=2e-3)
    assert angle(torch.from_numpy(2 * truth), torch.from_numpy(truth)).item() == pytest.approx(1e-4, rel=1e-3)


def test_black_pixels_do_not_spoil_the_gradient(batch):
    net = random_net()
    *seen, to_bands, closed, level, truth = batch
    loss = net.loss(*seen, to_bands, 0 * closed, level, 0 * truth)
    loss.backward()
    assert loss.isfinite() and all(weight.grad.isfinite().all() for weight in net.parameters())


def test_the_error_head_does_not_influence_the_others(batch, monkeypatch):
    gradients = []
    for weight in (0.0, ERROR_WEIGHT, 10.0):
        monkeypatch.setattr(subspace_net, "ERROR_WEIGHT", weight)
        net = random_net()
        net.loss(*batch).backward()
        gradients.append({name: parameter.grad.clone() for name, parameter in net.named_parameters()})
    for other in gradients[1:]:
        for name, gradient in gradients[0].items():
            if name.startswith("error"):
                assert not gradient.any() and other[name].any()
            else:
                assert gradient.any() and torch.equal(gradient, other[name]), name


def test_the_error_head_learns_the_mean_absolute_error(batch):
    """The negative log-likelihood has zero gradient where the predicted error equals the true one."""
    net = SubspaceNet(4, 1)
    *seen, to_bands, _, level, truth = (part[:1] for part in batch)
    wide = truth + 0.01 * torch.ones_like(truth)  # an error of 0.01 everywhere
    for predicted in (0.005, 0.01, 0.02):
        raw = np.log(np.expm1((predicted - LEAST_ERROR) / TYPICAL_ERROR))
        with torch.no_grad():
            net.error.bias.fill_(raw)
        net.zero_grad()
        net.loss(*seen, to_bands, wide, level, truth).backward()
        slope = TYPICAL_ERROR / (1 + np.exp(-raw))
        expected = ERROR_WEIGHT * (1 / predicted - 0.01 / predicted**2) * slope
        assert float(net.error.bias.grad.sum()) == pytest.approx(expected, abs=1e-4)


def test_missing_bands_stay_as_they_are(batch):
    """Rows of zeros in `to_bands`: the correction cannot reach them, so it does not learn from them."""
    *seen, to_bands, closed, _, truth = batch
    assert not to_bands[1, 24:].any() and not closed[1, 24:].any() and not truth[1, 24:].any()
    correction = random_net()(*seen)[0]
    change = torch.einsum("nbr,nrhw->nbhw", to_bands, correction)
    assert not change[1, 24:].any() and change[1, :24].abs().max() > 0.03

    whole, cut = random_net(), random_net()
    second = [part[1:] for part in batch]
    fewer = list(second)
    for field in (3, 4, 6):
        fewer[field] = second[field][:, :24]
    for net, parts in ((whole, second), (cut, fewer)):
        net.loss(*parts).backward()
    for name, parameter in whole.named_parameters():
        if not name.startswith("error"):
            torch.testing.assert_close(parameter.grad, cut.get_parameter(name).grad, atol=1e-5, rtol=1e-3)


def test_it_learns(batch):
    torch.manual_seed(0)
    net = SubspaceNet(16, 2)
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    losses = []
    for _ in range(150):
        loss = net.loss(*batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    *seen, to_bands, closed, _, truth = batch
    with torch.no_grad():
        correction, expected = net(*seen)
    error = (closed + torch.einsum("nbr,nrhw->nbhw", to_bands, correction) - truth).abs().mean(1)
    assert losses[-1] < losses[0] - 0.3
    assert error.mean() < 0.7 * (closed - truth).abs().mean()
    untrained = LEAST_ERROR + TYPICAL_ERROR * np.log(2)
    before, after = (((error_map - error).abs() / error).mean() for error_map in (untrained, expected[:, 0]))
    assert after < 0.9 * before
    assert expected.min() >= LEAST_ERROR

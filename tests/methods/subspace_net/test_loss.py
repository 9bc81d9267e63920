"""The loss of the network, and training by it."""

import numpy as np
import pytest
import torch
from tiny import observed, random_net

from ifmsr.methods.subspace_net import network as subspace_net
from ifmsr.methods.subspace_net.network import (
    ANGLE_WEIGHT,
    ERROR_WEIGHT,
    LEAST_ERROR,
    RANK,
    TYPICAL_ERROR,
    SubspaceNet,
    angle,
    prepare,
)
from ifmsr.scenes import Scene

pytestmark = pytest.mark.cpu


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

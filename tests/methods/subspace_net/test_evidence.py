import numpy as np
import pytest
import torch

from ifmsr.degradation import decimate, degrade, estimate_degradation
from ifmsr.errors import InputWarning
from ifmsr.inference import load_method
from ifmsr.methods.closed_form import ClosedForm
from ifmsr.methods.subspace_net.evidence import correction_share
from ifmsr.scenes import Observation, open_dataset


@pytest.fixture(scope="module")
def pines():
    """The closed form's result and its inputs on a sensor that is not among the network's training data."""
    truth = open_dataset("indian-pines").load("validation").crop_to_multiple(4)
    observation = degrade(truth, 4)
    closed = torch.from_numpy(ClosedForm()(observation))
    return truth, observation, closed, estimate_degradation(observation).kernel


def share_of(correction, pines):
    _, observation, closed, kernel = pines
    coarse, corrected = (decimate(cube, kernel, 4) for cube in (closed, closed + correction))
    return correction_share(coarse, corrected, torch.from_numpy(observation.lr))


def test_a_correction_outside_the_range_of_the_lr_cube_is_kept(pines):
    """A checkerboard: the mean of every LR pixel stays."""
    _, _, closed, kernel = pines
    sign = (-1.0) ** (torch.arange(closed.shape[1])[:, None] + torch.arange(closed.shape[2]))
    assert decimate(sign[None], kernel, 4)[:, 1:-1, 1:-1].abs().max() < 0.006
    assert share_of(0.005 * sign, pines) == 1


def test_a_correction_that_the_lr_cube_contradicts_does_not_count(pines):
    assert share_of(0.02, pines) == 0
    shares = [share_of(step, pines) for step in np.linspace(0, 0.02, 41)]
    assert sorted(shares, reverse=True) == shares and any(0 < share < 1 for share in shares)


def test_images_without_contrast_say_nothing_against_a_correction():
    for value in (0.0, 0.5):
        even = torch.full((4, 2, 2), value)
        assert correction_share(even, even, even) == 1


def test_on_an_unknown_sensor_the_network_equals_the_closed_form_and_predicts_no_error(pines):
    """Without the evidence it loses about a decibel here."""
    truth, observation, closed, _ = pines
    with pytest.warns(InputWarning, match="no error map"):
        sr, error = load_method("subspace-net", 4).with_error(observation)
    loss = np.square(sr - truth.cube).mean() / np.square(closed.numpy() - truth.cube).mean()
    assert loss < 10**0.01  # 0.1 dB
    assert np.isnan(error).all()


def test_on_caves_scenes_the_whole_correction_counts(cave_root):
    scene = open_dataset("cave", cave_root).load("cloth").crop_to_multiple(4, 256)
    for scale in (4, 8):
        observation = degrade(scene, scale)
        sr, error = load_method("subspace-net", scale).with_error(observation)
        closed = ClosedForm()(Observation(observation.lr, observation.rgb, scale, observation.srf))
        assert np.square(sr - scene.cube).mean() < 0.8 * np.square(closed - scene.cube).mean()
        assert np.isfinite(error).all()

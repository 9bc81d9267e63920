"""The project's own methods on a GPU, and on a device that is as strict as one (see `strict_device`)."""

import copy
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from strict_device import elsewhere
from tiny import parts

from ifmsr.degradation.protocol import degrade
from ifmsr.devices import CPU, choose_device, computing_on, here, moved, or_on_cpu
from ifmsr.errors import InputError
from ifmsr.inference.api import load_method
from ifmsr.inference.blocks import HALO, Blocks
from ifmsr.inference.networks import run_network, run_with_error
from ifmsr.methods.closed_form.chain import ClosedForm


@pytest.fixture(params=["elsewhere", "cuda"])
def device(request):
    """A device that is not the CPU, and how far its results may differ from the CPU's."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    with elsewhere() if request.param == "elsewhere" else nullcontext(torch.device("cuda")) as there:
        yield there, 0.0 if request.param == "elsewhere" else 1e-4


@pytest.fixture(scope="module")
def observation():
    return degrade(parts()[0], 4)


def cases(observation):
    """The observation as it is, without response, with gaps and a hot pixel, with another guide, and tiny."""
    lr_valid, rgb_valid = (np.ones(image.shape[1:], bool) for image in (observation.lr, observation.rgb))
    lr_valid[3:6, 4:9], rgb_valid[40:60, 20:33] = False, False
    hot = observation.lr.copy()
    hot[:, 8, 8] = 1
    corner = replace(observation, lr=observation.lr[:, :6, :6], rgb=observation.rgb[:, :24, :24])
    return {
        "as it is": observation,
        "response unknown": replace(observation, srf=None),
        "gaps": replace(observation, lr=hot, lr_valid=lr_valid, rgb_valid=rgb_valid),
        "unrelated guide": replace(observation, rgb=observation.rgb[:, ::-1, ::-1].copy(), srf=None),
        "tiny": corner,
    }


@pytest.mark.parametrize("case", ["as it is", "response unknown", "gaps", "unrelated guide", "tiny"])
def test_the_closed_form_is_the_same_on_every_device(device, observation, case):
    there, tolerance = device
    given = cases(observation)[case]
    np.testing.assert_allclose(ClosedForm(there)(given), ClosedForm()(given), atol=tolerance, rtol=0)


def test_subspace_net_is_the_same_on_every_device(device, observation):
    there, tolerance = device
    net = load_method("subspace-net", 4, device="cpu").net
    whole = run_network(net, observation, "cpu"), *run_with_error(net, observation, "cpu")
    other = carried(net, there)
    with torch.inference_mode():
        found = other.run(observation, there), *other.with_error(observation, there)
    for result, wanted in zip(found, whole, strict=True):
        np.testing.assert_allclose(result, wanted, atol=tolerance, rtol=0)


def carried(net, device):
    """A copy of a network on a device."""
    made = copy.deepcopy(net)
    for module in made.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            del module._parameters[name]
            setattr(module, name, parameter.detach().to(device))
    return made


def test_blocks_are_the_same_on_every_device(device, observation):
    """What is found once is kept on the CPU, so that other processes with other devices can use it."""
    there, tolerance = device
    given, memory = (observation.lr, observation.rgb, 4), 64 * 100 * (2 * HALO + 12) ** 2
    on_cpu = Blocks(*given, ClosedForm(), memory=memory)
    other = Blocks(*given, ClosedForm(there), memory=memory)
    assert len(other.places) > 1
    np.testing.assert_allclose(other.whole()[0], on_cpu.whole()[0], atol=tolerance, rtol=0)
    kept = [value for value in other._found._known.values() if isinstance(value, torch.Tensor)]
    assert kept and {value.device for value in kept} == {CPU}


def test_elsewhere_is_as_strict_as_a_gpu():
    with elsewhere() as there:
        ones = torch.ones(3, device=there)
        assert ones.device == there and (ones + torch.tensor(1.0)).tolist() == [2, 2, 2]
        with pytest.raises(RuntimeError, match="two devices"):
            ones + torch.ones(3)
        with pytest.raises(TypeError, match="no NumPy array"):
            ones.numpy()
        with pytest.raises(RuntimeError, match="generator of another device"):
            torch.rand(3, generator=torch.Generator(), device=there)


def test_new_tensors_are_made_on_the_device_chosen():
    with elsewhere() as there:
        with computing_on(there):
            assert torch.ones(2).device == there == here(torch.ones(2, device="cpu")).device
            with computing_on(CPU):
                assert torch.ones(2).device == CPU
        assert torch.ones(2).device == CPU
        numbers, name = moved(([torch.ones(2)], "x"), there)
        assert numbers[0].device == there and name == "x"


def test_a_full_device_hands_over_to_the_cpu():
    def compute(device):
        if device.type != "cpu":
            raise torch.OutOfMemoryError("full")
        return "computed"

    with pytest.warns(UserWarning, match="not enough memory on meta"):
        assert or_on_cpu(compute, torch.device("meta")) == "computed"


def test_a_full_cpu_has_nobody_to_hand_over_to():
    def compute(device):
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        or_on_cpu(compute, CPU)


def test_a_training_free_method_gets_the_device_asked_for():
    assert load_method("closed-form", 4, device="cpu").device == CPU
    assert load_method("closed-form", 4).device == choose_device()
    with pytest.raises(InputError, match="device"):
        load_method("closed-form", 4, device="gpu")

"""Muon against its definition, PyTorch's Muon and Adam."""

import pytest
import torch

from ifmsr.methods.ifmsr import IFMSR, IFMSRConfig
from ifmsr.training.muon import Muon, is_kernel, orthogonalised

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize("shape", [(3, 16, 144), (2, 90, 20), (1, 8, 8)])
def test_the_singular_values_become_about_one_and_the_singular_vectors_stay(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    inside = left.mT @ orthogonalised(matrices) @ right.mT
    found = inside.diagonal(dim1=-2, dim2=-1)
    assert found.min() > 0.6 and found.max() < 1.25
    torch.testing.assert_close(inside, torch.diag_embed(found), rtol=0, atol=1e-6)


def network():
    torch.manual_seed(0)
    return IFMSR(IFMSRConfig(features=8, stages=1))


def learn(net, optimizer, steps=3):
    """A few steps on gradients of random numbers, the same ones in every call."""
    random = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for parameter in net.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=random)
        optimizer.step()


def test_kernels_are_those_of_hidden_layers():
    names = {name for name, parameter in network().named_parameters() if is_kernel(parameter)}
    assert "stages.0.rgb_unit1.first.parametrizations.weight.original1" in names
    assert "stages.0.rde.near.taps.weight" in names
    others = ("hsi_head.weight", "hsi_head.bias", "end.parametrizations.weight.original1")
    lengths = "stages.0.rgb_unit1.first.parametrizations.weight.original0"
    assert not names & {*others, lengths, "stages.0.rgb_mcpa.gamma"}


def test_kernels_take_the_steps_of_pytorchs_muon_and_all_others_those_of_adam():
    ours, theirs = network(), network()
    optimizer = Muon(ours.parameters(), 1e-2, betas=(0.9, 0.99), fused=True)
    optimizer.found_inf = torch.zeros(())
    learn(ours, optimizer)

    everything = [*theirs.parameters()]
    adam = torch.optim.Adam([p for p in everything if not is_kernel(p)], 1e-2, betas=(0.9, 0.99), fused=True)
    kernels = [p for p in everything if is_kernel(p)]
    matrices = [
        torch.nn.Parameter(kernel.detach().flatten(1)) for kernel in kernels
    ]  # in the kernels' memory
    muon = torch.optim.Muon(matrices, 1e-2, weight_decay=0, adjust_lr_fn="match_rms_adamw")

    class Both:
        def step(self):
            for kernel, matrix in zip(kernels, matrices, strict=True):
                matrix.grad = kernel.grad.flatten(1)
            muon.step()
            adam.step()

    before = [parameter.detach().clone() for parameter in everything]
    learn(theirs, Both())
    for a, b, start in zip(ours.parameters(), everything, before, strict=True):
        if is_kernel(a):  # theirs computes in bfloat16
            assert (a - b).norm() < 0.03 * (b - start).norm()
        else:
            assert torch.equal(a, b)


def test_a_step_without_a_finite_loss_changes_nothing():
    net = network()
    optimizer = Muon(net.parameters(), 1e-2, fused=True)
    optimizer.found_inf = torch.zeros(())
    learn(net, optimizer)
    weights = [parameter.detach().clone() for parameter in net.parameters()]
    moments = [state["momentum"].clone() for state in optimizer.state.values() if "momentum" in state]
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    optimizer.found_inf = torch.ones(())
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), weights, strict=True))
    now = [state["momentum"] for state in optimizer.state.values() if "momentum" in state]
    assert moments and all(torch.equal(a, b) for a, b in zip(now, moments, strict=True))

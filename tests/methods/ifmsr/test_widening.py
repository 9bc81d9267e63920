from dataclasses import replace

import pytest
import torch

from ifmsr.errors import InputError
from ifmsr.methods.ifmsr.network import IFMSR, IFMSRConfig
from ifmsr.methods.ifmsr.widening import widen
from ifmsr.training import TrainConfig, build_network
from ifmsr.weights import save_weights

pytestmark = pytest.mark.cpu

VARIANTS = {
    "released": {},
    "drawing": {"split": "after", "rde_skip": "rgb", "dcfm_skip": True},
    "one stage, without MCPA": {"stages": 1, "mcpa": False},
    "without RDE and DCFM": {"rde": False, "dcfm": False},
}


def trained(**options):
    """A network none of whose parameters is where it began: lengths, scalars and biases too."""
    torch.manual_seed(0)
    net = IFMSR(IFMSRConfig(features=8, **options))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter) * parameter.abs().mean())
    return net


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("factor", [2, 3])
def test_the_wide_network_computes_the_same(options, factor):
    net = trained(**options)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    wide = widen(net, factor)
    assert wide.config.features == 8 * factor and wide.config.stages == net.config.stages
    lr, rgb = torch.rand(1, 4, 9, 9), torch.rand(1, 3, 36, 36)
    with torch.inference_mode():
        narrow, widened = net(lr, rgb), wide(lr, rgb)
    assert (widened - narrow).abs().max() < 1e-5 * narrow.abs().max()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_copies_of_a_channel_learn_apart():
    """The gradients of a channel's two copies differ, so that training makes two channels of them."""
    wide = widen(trained(), 2)
    wide(torch.rand(1, 4, 9, 9), torch.rand(1, 3, 36, 36)).square().mean().backward()
    for name, parameter in wide.named_parameters():
        if parameter.ndim == 4 and len(parameter) > 1 and "taps" not in name:
            first, second = parameter.grad[::2], parameter.grad[1::2]
            assert (first - second).norm() > 0.05 * first.norm(), name


def test_weights_keep_their_norm():
    net = trained()
    wide = widen(net, 2)
    for name in ("stages.0.rgb_unit1.first", "stages.1.hsi_mcpa.fusion", "dcfm.hsi_reduce"):
        narrow, widened = (network.get_submodule(name).weight.detach().norm() for network in (net, wide))
        assert float(widened / narrow) == pytest.approx(2**0.5, rel=0.1)  # of twice as many outputs


def test_a_training_starts_from_the_weights_of_a_narrower_network(tmp_path):
    net = trained()
    config = TrainConfig(start=str(save_weights(tmp_path / "narrow.safetensors", net, "ifmsr", "")))
    lr, rgb = torch.rand(1, 4, 9, 9), torch.rand(1, 3, 36, 36)
    with torch.inference_mode():
        narrow = net.half().float()(lr, rgb)
        for features in (8, 16, 24):
            wide = build_network(replace(config, options={"features": features}))
            assert wide.config.features == features
            assert (wide(lr, rgb) - narrow).abs().max() < 1e-5 * narrow.abs().max()
    first, again = (build_network(replace(config, options={"features": 16})).state_dict() for _ in "ab")
    assert all(torch.equal(first[name], again[name]) for name in first)  # a resumed training begins alike
    for options in ({"features": 12}, {"features": 4}, {"features": 16, "stages": 1}):
        with pytest.raises(InputError, match="weights of another network"):
            build_network(replace(config, options=options))


@pytest.mark.parametrize("factor", [1, 1.5, "two"])
def test_a_factor_that_widens_nothing_raises(factor):
    with pytest.raises(InputError, match="factor"):
        widen(trained(), factor)

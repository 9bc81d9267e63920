"""Widening of an IFMSR to more features without changing its function (after Net2Net, Chen et al. 2016).

Each feature channel is replaced by `factor` adjacent copies, so that the two halves of the channel exchange remain
halves. A convolution distributes the weight of an input i over its copies k:

    W'[o, i, k] = W[o, i] / factor + n[o, i, k],    with the sum over k of n[o, i, k] equal to 0.

The noise n cancels as long as the copies of an input are equal, so it does not change the output. It gives each copy a
different gradient; without it the copies would stay equal during training. Its standard deviation is chosen so that the
norm of an output's weights does not change.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ifmsr.errors import whole
from ifmsr.methods.ifmsr.filtering import TAPS
from ifmsr.methods.ifmsr.network import IFMSR, MCPA


@torch.no_grad()
def widen(network: IFMSR, factor: int) -> IFMSR:
    """Create an IFMSR with `factor` times the features and the same output as `network`, up to rounding.

    The noise comes from PyTorch's global generator. `network` is not changed; the result is on the same device.

    Raises
    ------
    InputError : `factor` is not a whole number of at least 2.
    """
    factor = whole("factor", factor, least=2)
    config = replace(network.config, features=factor * network.config.features)
    wide = IFMSR(config).to(network.hsi_head.weight.device)
    narrow = dict(network.named_modules())
    for name, module in wide.named_modules():
        source = narrow[name]
        if isinstance(module, MCPA):
            module.gamma.copy_(source.gamma)
        elif isinstance(module, nn.Conv2d):
            group = TAPS if name.endswith(".taps") else 1
            widen_convolution(source, module, group)
    return wide


def widen_convolution(source: nn.Conv2d, target: nn.Conv2d, group: int) -> None:
    """Fill `target` with the weights of the narrower `source`, of which `group` adjacent outputs form one channel."""
    outputs = target.out_channels // source.out_channels
    inputs = target.in_channels // source.in_channels
    target.get_parameter("bias").copy_(copied(source.get_parameter("bias"), outputs, group))
    weight = shared(copied(source.weight, outputs, group), inputs)
    if parametrize.is_parametrized(target):
        target.weight = weight  # weight norm stores it as norm and direction
    else:
        target.weight.copy_(weight)


def copied(parameter: Tensor, copies: int, group: int) -> Tensor:
    """(O, ...) -> (copies O, ...): repeat each `group` of adjacent outputs `copies` times."""
    return parameter.unflatten(0, (-1, group)).repeat_interleave(copies, dim=0).flatten(0, 1)


def shared(weight: Tensor, copies: int) -> Tensor:
    """(O, I, k, k) -> (O, copies I, k, k): distribute the weights of each input over its copies (see the module)."""
    if copies == 1:
        return weight
    level = weight.square().mean((1, 2, 3), keepdim=True).sqrt()[:, :, None]  # (O, 1, 1, 1, 1)
    noise = torch.randn_like(weight[:, :, None].expand(-1, -1, copies, -1, -1))
    noise = (noise - noise.mean(2, keepdim=True)) * level / copies**0.5
    return (weight[:, :, None] / copies + noise).flatten(1, 2)

"""A network on one observation: its device, precision and memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

import torch

from ifmsr.devices import choose_device, or_on_cpu
from ifmsr.errors import check_choice, whole
from ifmsr.methods.base import Network
from ifmsr.precision import Precision, tf32_off, usable_precision
from ifmsr.scenes.scene import Array, Observation


def run_network(
    net: Network,
    observation: Observation,
    device: str | None = None,
    precision: Precision = "float32",
    memory: int | None = None,
) -> Array:
    """One observation through a network.

    Parameters
    ----------
    precision : ``"bfloat16"`` is about twice as fast on processors that have it; others compute in float32, with a
        warning. ``"float32"`` is just that, also on GPUs that would take TF32 for it.
    memory : bytes that IFMSR's feature maps may take; default: half of what is free. What does not fit is kept in
        temporary files, which is slower and gives the same result.

    Returns
    -------
    (B, H, W) float32 clipped to [0, 1].

    Raises
    ------
    InputError : the device is not there, or `precision` or `memory` is none.
    """
    check_choice("precision", precision, get_args(Precision))
    if memory is not None:
        memory = whole("memory", memory, least=1)

    def run(where: torch.device) -> Array:
        with ready(net, where):
            return net.run(observation, where, usable_precision(precision, where), memory)

    return or_on_cpu(run, choose_device(device))


def run_with_error(
    net: Network, observation: Observation, device: str | None = None, precision: Precision = "float32"
) -> tuple[Array, Array]:
    """As `run_network`, and each pixel's expected absolute error (H, W), mean over bands.

    Raises InputError for networks that do not predict it.
    """
    check_choice("precision", precision, get_args(Precision))

    def run(where: torch.device) -> tuple[Array, Array]:
        with ready(net, where):
            return net.with_error(observation, where, usable_precision(precision, where))

    return or_on_cpu(run, choose_device(device))


@contextmanager
def ready(net: Network, device: torch.device) -> Iterator[None]:
    """The network in evaluation mode on `device`, without gradients and TF32."""
    net.to(device).eval()
    with torch.inference_mode(), tf32_off():
        yield

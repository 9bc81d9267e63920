"""A network on one observation: devices, precision and memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import get_args

import psutil
import torch

from ifmsr.errors import InputError, check_choice, shown, whole
from ifmsr.methods.base import Network
from ifmsr.precision import Precision, tf32_off, usable_precision
from ifmsr.scenes.scene import Array, Observation

KNOWN_DEVICES = 'Give "cpu", "cuda" or "cuda:1"'


def choose_device(device: str | None = None) -> torch.device:
    """`device` if given, else the GPU if there is one, else the CPU.

    Raises InputError if there is no such device here.
    """
    if not isinstance(device, str | torch.device | None):
        raise InputError("device", f"found {shown(device)}", KNOWN_DEVICES)
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=chosen).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = shorten(str(error), 80, placeholder=" ...")
        raise InputError("device", f"{device!r} cannot be used ({reason})", KNOWN_DEVICES) from error
    return chosen


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken on `device`."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


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
    with ready(net, device) as where:
        return net.run(observation, where, usable_precision(precision, where), memory)


def run_with_error(
    net: Network, observation: Observation, device: str | None = None, precision: Precision = "float32"
) -> tuple[Array, Array]:
    """As `run_network`, and each pixel's expected absolute error (H, W), mean over bands.

    Raises InputError for networks that do not predict it.
    """
    check_choice("precision", precision, get_args(Precision))
    with ready(net, device) as where:
        return net.with_error(observation, where, usable_precision(precision, where))


@contextmanager
def ready(net: Network, device: str | None) -> Iterator[torch.device]:
    """The network in evaluation mode on the device that is yielded, without gradients and TF32."""
    where = choose_device(device)
    net.to(where).eval()
    with torch.inference_mode(), tf32_off():
        yield where

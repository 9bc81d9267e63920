"""A network on one observation: devices, precision and memory."""

import warnings
from textwrap import shorten
from typing import get_args

import psutil
import torch
from torch import Tensor

from ifmsr.errors import InputError, check_choice, shown, whole
from ifmsr.inference.fast_ifmsr.maps import Workspace
from ifmsr.inference.fast_ifmsr.strip_network import StripIFMSR, bytes_needed
from ifmsr.inference.fast_ifmsr.thread_pool import ThreadPool
from ifmsr.methods.base import Network, Precision
from ifmsr.methods.ifmsr.network import IFMSR
from ifmsr.methods.subspace_net.network import Refined, SubspaceNet, refine
from ifmsr.scenes.scene import Array, Observation

KNOWN_DEVICES = 'Give "cpu", "cuda" or "cuda:1"'
CPU_STRIP = 6_144  # pixels: 64 float32 channels of a strip have 1.5 MB and stay in a CPU's caches


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
    precision : ``"bfloat16"`` is about twice as fast on processors that have it. ``"float32"`` is just that, also on
        GPUs that would take TF32 for it.
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
    if isinstance(net, SubspaceNet):
        return run_refine(net, observation, device, precision).sr.numpy()
    where = choose_device(device)
    net = net.to(where).eval()
    lr = torch.from_numpy(observation.lr)[None].to(where)
    rgb = torch.from_numpy(observation.rgb)[None].to(where)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        if isinstance(net, IFMSR):
            sr = _in_strips(net, lr, rgb, precision, memory or free_memory(where) // 2)
        else:
            with torch.autocast(where.type, torch.bfloat16, precision == "bfloat16"):
                sr = net(lr, rgb)[0]
    return sr.float().clamp(0, 1).cpu().numpy()


def run_refine(
    net: SubspaceNet, observation: Observation, device: str | None = None, precision: Precision = "float32"
) -> Refined:
    """One observation through closed form and SubspaceNet: the cube and each pixel's expected error, on the CPU."""
    check_choice("precision", precision, get_args(Precision))
    where = choose_device(device)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return refine(net.to(where).eval(), observation, where, getattr(torch, precision))


def _in_strips(net: IFMSR, lr: Tensor, rgb: Tensor, precision: Precision, memory: int) -> Tensor:
    """IFMSR with as many bands and as large strips at a time as the device can hold."""
    dtype, (height, width) = getattr(torch, precision), rgb.shape[-2:]
    bands, strip, workers = 1, CPU_STRIP, torch.get_num_threads()
    if lr.device.type != "cpu":
        workers = 1
        shared, per_band = bytes_needed(net.config, height, width, dtype)
        bands, strip = max(1, min(lr.shape[1], (memory - shared) // (2 * per_band))), height * width
    while True:
        try:
            with Workspace(lr.device, memory) as workspace, ThreadPool(workers) as pool:
                return StripIFMSR(net, lr, rgb, dtype, workspace, pool, bands, strip)()
        except torch.OutOfMemoryError:
            if bands == 1 and strip <= width:
                raise
            bands, strip = (bands // 2, strip) if bands > 1 else (1, strip // 2)
            warnings.warn(
                f"out of memory on {lr.device}: going on with {bands} bands and {strip} pixels at a time",
                stacklevel=2,
            )

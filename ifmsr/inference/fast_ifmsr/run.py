"""IFMSR on one observation, with as many bands and as large strips at a time as the device can hold."""

import warnings

import torch
from torch import Tensor

from ifmsr.devices import free_memory
from ifmsr.inference.fast_ifmsr.maps import Workspace
from ifmsr.inference.fast_ifmsr.strip_network import StripIFMSR, bytes_needed
from ifmsr.inference.fast_ifmsr.thread_pool import ThreadPool
from ifmsr.methods.ifmsr.network import IFMSR
from ifmsr.precision import Precision
from ifmsr.scenes.scene import Array, Observation

CPU_STRIP = 6_144  # pixels: 64 float32 channels of a strip have 1.5 MB and stay in a CPU's caches


def run_in_strips(
    net: IFMSR, observation: Observation, device: torch.device, precision: Precision, memory: int | None
) -> Array:
    """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1].

    `memory`: bytes that feature maps may take; default: half of what is free on `device`.
    """
    lr, rgb = (torch.from_numpy(image)[None].to(device) for image in (observation.lr, observation.rgb))
    sr = _in_strips(net, lr, rgb, precision, memory or free_memory(device) // 2)
    return sr.float().clamp(0, 1).cpu().numpy()


def _in_strips(net: IFMSR, lr: Tensor, rgb: Tensor, precision: Precision, memory: int) -> Tensor:
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

"""The physics between a scene and what is observed of it: blur, sampling, noise, and their estimation."""

from ifmsr.degradation.blurs import ASSUMED, assumed_blur
from ifmsr.degradation.estimation import (
    Estimate,
    estimate_degradation,
    estimate_response,
    signal_basis,
)
from ifmsr.degradation.kernels import estimate_kernel, kernel_side
from ifmsr.degradation.pair import as_pair
from ifmsr.degradation.protocol import (
    Degradation,
    blur_downsample,
    degrade,
    draw_degradation,
    gaussian_kernel,
    scene_seed,
)
from ifmsr.degradation.sampling import decimate, upsample

__all__ = [
    "ASSUMED",
    "Degradation",
    "Estimate",
    "as_pair",
    "assumed_blur",
    "blur_downsample",
    "decimate",
    "degrade",
    "draw_degradation",
    "estimate_degradation",
    "estimate_kernel",
    "estimate_response",
    "gaussian_kernel",
    "kernel_side",
    "scene_seed",
    "signal_basis",
    "upsample",
]

"""The physics between a scene and what is observed of it: blur, sampling, noise, and their estimation."""

from ifmsr.degradation.estimation import Estimate, estimate_degradation
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
    "Degradation",
    "Estimate",
    "blur_downsample",
    "decimate",
    "degrade",
    "draw_degradation",
    "estimate_degradation",
    "gaussian_kernel",
    "scene_seed",
    "upsample",
]

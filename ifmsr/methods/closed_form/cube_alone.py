"""The LR cube upsampled without a guide, where the guide is invalid or shows something else.

Each spectral direction above the noise is smoothed by the Gaussian window of least risk by Stein's unbiased estimate
(see `ifmsr.methods.closed_form.local_regression`).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ifmsr.degradation.estimation import signal_basis
from ifmsr.degradation.sampling import upsample
from ifmsr.degradation.smoothing import gaussian_taps, smoothed
from ifmsr.methods.closed_form.findings import Findings
from ifmsr.methods.closed_form.local_regression import (
    SMOOTHINGS,
    by_brightness,
    group_bounds,
    replace,
    stein,
)


def upsample_alone(
    lr: Tensor, kernel: Tensor, scale: int, noise: float, found: Findings | None = None
) -> Tensor:
    """(B, h, w) -> (B, H, W) bicubic, without the noise that smoothing takes away."""
    found = Findings() if found is None else found
    smooth = smooth_maps(lr, noise, found)
    fine = torch.tensordot(found["basis"], upsample(smooth, kernel, scale), dims=1)
    return fine.add_(found["mean spectrum"])


def smooth_maps(lr: Tensor, noise: float, found: Findings) -> Tensor:
    """(R, h, w) the cube's differences from its mean in the directions above the noise, smoothed."""
    mean = found.once("mean spectrum", lambda: lr.mean((1, 2), keepdim=True))
    basis = found.once("basis", lambda: signal_basis(lr)[0])
    maps = torch.tensordot(basis.T, lr - mean, dims=1)
    brightness = lr.mean(0, keepdim=True)
    group = by_brightness(brightness, found.once("brightness", lambda: group_bounds(brightness)))
    chosen = found.once("smoothing", lambda: least_risk(maps, group, noise))
    smooth = maps.clone()
    for number, (candidate, _) in enumerate(smoothings_with_traces(maps)):
        replace(smooth[None], candidate[None], chosen == number, group)
    return smooth


def least_risk(maps: Tensor, group: Tensor, noise: float) -> Tensor:
    """(R, groups) the number of the window of least risk for maps (R, h, w) of white `noise`, in each group."""
    risks = [
        stein(candidate - maps, torch.full_like(maps[0], trace), noise, group)
        for candidate, trace in smoothings_with_traces(maps)
    ]
    return torch.stack(risks).argmin(0)


def smoothings_with_traces(maps: Tensor) -> Iterator[tuple[Tensor, float]]:
    """Smoothed maps, and the share of a pixel's own noise that stays in it."""
    yield maps, 1.0
    for sigma in SMOOTHINGS:
        taps = gaussian_taps(sigma, maps.device)
        yield smoothed(maps, taps), float(taps.max() ** 2)

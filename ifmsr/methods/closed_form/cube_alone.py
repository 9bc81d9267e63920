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
from ifmsr.methods.closed_form.local_regression import GROUPS, SMOOTHINGS, by_brightness, replace, stein


def upsample_alone(lr: Tensor, kernel: Tensor, scale: int, noise: float) -> Tensor:
    """(B, h, w) -> (B, H, W) bicubic, without the noise that smoothing takes away."""
    mean = lr.mean((1, 2), keepdim=True)
    basis, _ = signal_basis(lr)
    maps = torch.tensordot(basis.T, lr - mean, dims=1)
    smooth = least_risk(maps, lr.mean(0, keepdim=True), noise)
    return mean + torch.tensordot(basis, upsample(smooth, kernel, scale), dims=1)


def least_risk(maps: Tensor, brightness: Tensor, noise: float) -> Tensor:
    """Maps (R, h, w) of white `noise` smoothed by the window of least risk, each, for dark and bright pixels apart."""
    group = by_brightness(brightness)
    best, lowest = maps.clone(), maps.new_full((len(maps), GROUPS), torch.inf)
    for candidate, trace in smoothings_with_traces(maps):
        risk = stein(candidate - maps, torch.full_like(maps[0], trace), noise, group)
        replace(best[None], candidate[None], risk < lowest, group)
        lowest = torch.minimum(lowest, risk)
    return best


def smoothings_with_traces(maps: Tensor) -> Iterator[tuple[Tensor, float]]:
    """Smoothed maps, and the share of a pixel's own noise that stays in it."""
    yield maps, 1.0
    for sigma in SMOOTHINGS:
        taps = gaussian_taps(sigma, maps.device)
        yield smoothed(maps, taps), float(taps.max() ** 2)

"""Residual maps of the LR cube, upsampled with the RGB guide: a guided filter with automatic settings.

Around every LR pixel each map c is fitted by an affine function of the RGB values g seen there, in a Gaussian window:

    c ~ a . g + b,   a = (cov(g, g) + ridge)^-1 cov(g, c),   b = mean(c) - a . mean(g)

and the slopes and offsets are smoothed by the same window (He, Sun and Tang, "Guided image filtering", IEEE TPAMI
35(6), 2013, with a Gaussian for the box). Slopes belong to materials and vary slowly, so they are upsampled and
multiplied by the sharp guide. The residual of the fit is smoothed and added to the offsets.

Window, ridge and smoothing are chosen for every map by Stein's unbiased risk estimate (SURE), for dark and bright
pixels separately, because shadows need more smoothing. SURE needs the trace of the linear map from c to its fit, which
one random probe estimates.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ifmsr.degradation.sampling import upsample
from ifmsr.degradation.smoothing import gaussian_taps, smoothed

WINDOWS = (1.0, 1.4, 2.0, 2.8, 4.0, 6.0)  # standard deviations in LR pixels
RIDGES = (1.0, 0.1)  # relative to the noise's variance
LEAST_RIDGE = 1e-8  # for images without noise: RGB values that differ by 1e-4
GROUPS = 4  # of equally many pixels, by brightness
SMOOTHINGS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)  # standard deviations in LR pixels, of the residual's window


def regress_locally(
    maps: Tensor, seen: Tensor, rgb: Tensor, kernel: Tensor, scale: int, noise: float
) -> Tensor:
    """LR maps at the RGB image's resolution.

    Parameters
    ----------
    maps : (R, h, w), `noise` the standard deviation of the white noise in each.
    seen : (3, h, w) the RGB values at low resolution, `rgb` blurred and decimated by `kernel`.
    rgb : (3, H, W).

    Returns
    -------
    (R, H, W).
    """
    slopes, offsets = explain(maps, seen, noise)
    fine = upsample(torch.cat([slopes.flatten(0, 1), offsets]), kernel, scale)
    products = fine[: -len(maps)].unflatten(0, (3, len(maps))) * rgb[:, None]  # (3, R, H, W)
    return products.sum(0) + fine[-len(maps) :]


def explain(maps: Tensor, seen: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Slopes (3, R, h, w) and offsets (R, h, w) of least risk for `maps` (R, h, w)."""
    sign = torch.Generator(maps.device).manual_seed(0)
    probe = torch.randint(0, 2, maps.shape[1:], generator=sign, device=maps.device) * 2.0 - 1
    group = by_brightness(seen)
    lowest = torch.full_like(maps, torch.inf)
    best = maps.new_zeros(6, *maps.shape)  # slopes (3), offsets, the fit of the map, the fit of the probe
    for slopes, offsets in affine_fits(torch.cat([maps, probe[None]]), seen, noise):
        fits = (slopes * seen[:, None]).sum(0) + offsets  # (R + 1, h, w)
        of_probe = fits[-1:].expand_as(maps)
        risk = stein(fits[:-1] - maps, probe * of_probe, noise, group)
        choice = torch.stack([*slopes[:, :-1], offsets[:-1], fits[:-1], of_probe])
        best = torch.where(risk < lowest, choice, best)
        lowest = torch.minimum(lowest, risk)

    slopes, offsets, fit, of_probe = best[:3], best[3], best[4], best[5]
    lowest, residual = stein(fit - maps, probe * of_probe, noise, group), torch.zeros_like(maps)
    both = torch.cat([maps - fit, probe - of_probe])
    for smooth in smoothings(both):
        more, of_residual = smooth[: len(maps)], smooth[len(maps) :]
        risk = stein(fit + more - maps, probe * (of_probe + of_residual), noise, group)
        residual = torch.where(risk < lowest, more, residual)
        lowest = torch.minimum(lowest, risk)
    return slopes, offsets + residual


def by_brightness(seen: Tensor) -> Tensor:
    """(3, h, w) -> (h, w): each pixel's group, 0 the darkest."""
    brightness = seen.mean(0)
    shares = torch.arange(1, GROUPS, device=seen.device) / GROUPS
    return torch.bucketize(brightness, torch.quantile(brightness.flatten(), shares))


def stein(error: Tensor, traces: Tensor, noise: float, group: Tensor) -> Tensor:
    """The risk of each linear fit but for a constant, |fit - map|^2 + 2 noise^2 trace: its mean over a pixel's group.

    `error` and `traces` are (R, h, w), `group` (h, w); the result is (R, h, w).
    """
    risk, member = (error.square() + 2 * noise**2 * traces).flatten(1), group.flatten()
    sums = risk.new_zeros(len(risk), GROUPS).index_add_(1, member, risk)
    means = sums / torch.bincount(member, minlength=GROUPS).clamp_min(1)
    return means[:, member].view_as(error)


def affine_fits(maps: Tensor, seen: Tensor, noise: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Slopes (3, R, h, w) and offsets (R, h, w) for every window and ridge."""
    ridges = [max(relative * noise**2, LEAST_RIDGE) for relative in RIDGES]
    for window in WINDOWS:
        yield from affine_fit(maps, seen, window, ridges)


def affine_fit(
    maps: Tensor, seen: Tensor, window: float, ridges: Sequence[float]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Likewise in windows of one standard deviation, in pixels of `maps`, for every ridge."""
    taps = gaussian_taps(window, maps.device)
    mean_seen, mean = smoothed(seen, taps), smoothed(maps, taps)
    among = smoothed((seen[:, None] * seen).flatten(0, 1), taps).unflatten(0, (3, 3))
    among = (among - mean_seen[:, None] * mean_seen).permute(2, 3, 0, 1)  # (h, w, 3, 3)
    across = smoothed((seen[:, None] * maps).flatten(0, 1), taps).unflatten(0, (3, len(maps)))
    across = across - mean_seen[:, None] * mean  # (3, R, h, w)
    for ridge in ridges:
        inverse = torch.linalg.inv(among + ridge * torch.eye(3, device=maps.device))
        slopes = (inverse.permute(2, 3, 0, 1)[:, :, None] * across).sum(1)
        offsets = mean - (slopes * mean_seen[:, None]).sum(0)
        both = smoothed(torch.cat([slopes.flatten(0, 1), offsets]), taps)
        yield both[: -len(maps)].unflatten(0, (3, len(maps))), both[-len(maps) :]


def smoothings(maps: Tensor) -> Iterator[Tensor]:
    """The maps as they are, and smoothed by every Gaussian of `SMOOTHINGS`."""
    yield maps
    for sigma in SMOOTHINGS:
        yield smoothed(maps, gaussian_taps(sigma, maps.device))

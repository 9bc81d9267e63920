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
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.sampling import upsample
from ifmsr.degradation.smoothing import gaussian_taps, smoothed
from ifmsr.methods.closed_form.findings import Findings

WINDOWS = (1.0, 1.4, 2.0, 2.8, 4.0, 6.0)  # standard deviations in LR pixels
RIDGES = (1.0, 0.1)  # relative to the noise's variance
LEAST_RIDGE = 1e-8  # for images without noise: RGB values that differ by 1e-4
GROUPS = 4  # of equally many pixels, by brightness
MAPS_AT_ONCE = 1 << 18  # values of the LR maps that are fitted together
SMOOTHINGS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)  # standard deviations in LR pixels, of the residual's window


def sharpened(
    coefficients: Tensor, rgb: Tensor, kernel: Tensor, scale: int, rows: slice = slice(None)
) -> Tensor:
    """LR maps at the RGB image's resolution: their slopes times the RGB values, and their offsets.

    Parameters
    ----------
    coefficients : (4, R, h, w) from `explain`.
    rgb : (3, H, W).
    rows : of the result; all by default.

    Returns
    -------
    (R, H, W) or the `rows` of it.
    """
    *slopes, result = upsample(coefficients.flatten(0, 1), kernel, scale, rows).unflatten(0, (4, -1))
    for slope, channel in zip(slopes, rgb[:, rows], strict=True):
        result.addcmul_(slope, channel)
    return result


class Choices(NamedTuple):
    """What `explain` chose: the least risk for each of R maps and each group of pixels.

    Attributes
    ----------
    bounds : (GROUPS - 1,) brightness between the groups.
    fit : (R, GROUPS) number of the window and ridge.
    smoothing : (R, GROUPS) number of the residual's window, -1 for none of the residual.
    """

    bounds: Tensor
    fit: Tensor
    smoothing: Tensor


def explain(maps: Tensor, seen: Tensor, noise: float, found: Findings | None = None) -> Tensor:
    """Slopes (3) and offsets of least risk for `maps` (R, h, w), (4, R, h, w).

    `seen` (3, h, w) are the RGB values at low resolution, `noise` the standard deviation of the white noise in each
    map.
    """
    found, result = Findings() if found is None else found, maps.new_empty(4, *maps.shape)
    known = "choices" in found
    choices = found.once("choices", lambda: _chosen(maps, result, seen, noise))
    return _as_chosen(maps, result, seen, noise, choices) if known else result


def _chosen(maps: Tensor, result: Tensor, seen: Tensor, noise: float) -> Choices:
    """The choices of least risk, and `result` (4, R, h, w) as they make it."""
    sign = torch.Generator("cpu").manual_seed(0)
    probe = torch.randint(0, 2, maps.shape[1:], generator=sign, device="cpu").to(maps.device) * 2.0 - 1
    bounds = group_bounds(seen)
    group, windows = by_brightness(seen, bounds), [Window(seen, size, ridges(noise)) for size in WINDOWS]
    of_probe = torch.cat([predicted(fit, seen) for window in windows for fit in window.fits(probe[None])])
    parts = [
        _explain(few, part, seen, windows, probe, of_probe, noise, group) for few, part in _few(maps, result)
    ]
    fit, smoothing = (torch.cat(numbers) for numbers in zip(*parts, strict=True))
    return Choices(bounds, fit, smoothing)


def _explain(
    maps: Tensor,
    best: Tensor,
    seen: Tensor,
    windows: Sequence["Window"],
    probe: Tensor,
    of_probe: Tensor,
    noise: float,
    group: Tensor,
) -> tuple[Tensor, Tensor]:
    """`best` (4, R, h, w) for a few maps, and what was chosen.

    `of_probe` (n, h, w) are the fits of the `probe` (h, w) itself.
    """
    lowest = maps.new_full((len(maps), GROUPS), torch.inf)
    chosen = torch.zeros(lowest.shape, dtype=torch.long, device=maps.device)
    fits = (fit for window in windows for fit in window.fits(maps))
    for number, (fit, own) in enumerate(zip(fits, of_probe, strict=True)):
        risk = stein(predicted(fit, seen).sub_(maps), probe * own, noise, group)
        better = risk < lowest
        chosen[better], lowest = number, torch.minimum(lowest, risk)
        if number == 0:
            best.copy_(fit)
        else:
            replace(best, fit, better, group)

    fit = predicted(best, seen)
    own = of_probe.flatten(1).gather(0, chosen[:, group.flatten()]).view_as(maps)
    left, left_of_probe = maps - fit, probe - own
    lowest, residual = stein(-left, probe * own, noise, group), torch.zeros_like(maps)
    smoothing = torch.full_like(chosen, -1)
    candidates = zip(smoothings(left), smoothings(left_of_probe), strict=True)
    for number, (smooth, smooth_of_probe) in enumerate(candidates):
        risk = stein(smooth - left, probe * (own + smooth_of_probe), noise, group)
        better = risk < lowest
        replace(residual[None], smooth[None], better, group)
        smoothing[better], lowest = number, torch.minimum(lowest, risk)
    best[3] += residual
    return chosen, smoothing


def _as_chosen(maps: Tensor, result: Tensor, seen: Tensor, noise: float, choices: Choices) -> Tensor:
    """`result` (4, R, h, w) with choices that are known."""
    group, used = by_brightness(seen, choices.bounds), set(choices.fit.unique().tolist())
    weights = ridges(noise)
    windows = {
        size: Window(seen, WINDOWS[size], weights)
        for size in sorted({number // len(weights) for number in used})
    }
    places = torch.arange(len(maps)).split(_at_once(maps))
    for (few, part), place in zip(_few(maps, result), places, strict=True):
        for size, window in windows.items():
            for number, fit in enumerate(window.fits(few), size * len(weights)):
                replace(part, fit, choices.fit[place] == number, group)
        left, residual = few - predicted(part, seen), torch.zeros_like(few)
        for number, smooth in enumerate(smoothings(left)):
            replace(residual[None], smooth[None], choices.smoothing[place] == number, group)
        part[3] += residual
    return result


def _few(maps: Tensor, result: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """A few maps (R, h, w) at a time, and their part of the result (4, R, h, w)."""
    count = _at_once(maps)
    return zip(maps.split(count), result.split(count, 1), strict=True)


def _at_once(maps: Tensor) -> int:
    return max(1, MAPS_AT_ONCE // maps[0].numel())


def ridges(noise: float) -> list[float]:
    """The ridges for maps of some noise."""
    return [max(relative * noise**2, LEAST_RIDGE) for relative in RIDGES]


def predicted(coefficients: Tensor, seen: Tensor) -> Tensor:
    """(R, h, w) slopes (3, R, h, w) times RGB values `seen` (3, h, w), and the offsets."""
    result = torch.addcmul(coefficients[3], coefficients[0], seen[0])
    return result.addcmul_(coefficients[1], seen[1]).addcmul_(coefficients[2], seen[2])


def replace(old: Tensor, new: Tensor, better: Tensor, group: Tensor) -> None:
    """Values of `new` (n, R, h, w) in place of those of `old` where they are `better` (R, groups)."""
    for number in better.any(1).nonzero()[:, 0].tolist():
        if better[number].all():
            old[:, number] = new[:, number]
        else:
            where = better[number][group]
            old[:, number] = torch.where(where, new[:, number], old[:, number])


def group_bounds(seen: Tensor) -> Tensor:
    """(GROUPS - 1,) brightness between groups of equally many pixels of an image (C, h, w)."""
    shares = torch.arange(1, GROUPS, device=seen.device) / GROUPS
    return torch.quantile(seen.mean(0).flatten(), shares)


def by_brightness(seen: Tensor, bounds: Tensor) -> Tensor:
    """(C, h, w) -> (h, w): each pixel's group, 0 the darkest."""
    return torch.bucketize(seen.mean(0), bounds)


def stein(error: Tensor, traces: Tensor, noise: float, group: Tensor) -> Tensor:
    """The risk of each linear fit but for a constant, |fit - map|^2 + 2 noise^2 trace: its mean over a group's pixels.

    `error` is (R, h, w), `traces` (R, h, w) or (h, w), `group` (h, w); the result is (R, groups).
    """
    member = F.one_hot(group.flatten(), GROUPS).to(error.dtype)  # (h w, groups)
    sums = error.flatten(1).square() @ member + 2 * noise**2 * (traces.flatten(-2) @ member)
    return sums / member.sum(0).clamp_min(1)


class Window:
    """Affine fits in Gaussian windows of one standard deviation, in pixels, for several ridges.

    What depends on the RGB values `seen` (3, h, w) alone is computed once, and serves any number of maps.
    """

    def __init__(self, seen: Tensor, window: float, ridges: Sequence[float]):
        self.taps = gaussian_taps(window, seen.device)
        self.centre = seen.mean((1, 2), keepdim=True)  # products of values about it lose fewer digits
        self.seen = seen = seen - self.centre
        self.mean = mean = smoothed(seen, self.taps)
        among = smoothed((seen[:, None] * seen).flatten(0, 1), self.taps).unflatten(0, (3, 3))
        among = (among - mean[:, None] * mean).permute(2, 3, 0, 1)  # (h, w, 3, 3)
        identity = torch.eye(3, device=seen.device)
        inverses = (torch.linalg.inv(among + ridge * identity) for ridge in ridges)
        self.inverses = [inverse.permute(2, 3, 0, 1).contiguous() for inverse in inverses]  # (3, 3, h, w)

    def fits(self, maps: Tensor) -> Iterator[Tensor]:
        """Slopes (3) and offsets of `maps` (R, h, w), (4, R, h, w), for every ridge."""
        mean = smoothed(maps, self.taps)
        across = smoothed((self.seen[:, None] * maps).flatten(0, 1), self.taps).unflatten(0, (3, -1))
        for channel in range(3):
            across[channel].addcmul_(mean, self.mean[channel], value=-1)
        for inverse in self.inverses:
            fit = maps.new_empty(4, *maps.shape)
            fit[3] = mean
            for channel, row in enumerate(inverse):
                torch.mul(across[0], row[0], out=fit[channel])
                fit[channel].addcmul_(across[1], row[1]).addcmul_(across[2], row[2])
                fit[3].addcmul_(fit[channel], self.mean[channel] + self.centre[channel], value=-1)
            yield smoothed(fit.flatten(0, 1), self.taps).unflatten(0, (4, -1))


def smoothings(maps: Tensor) -> Iterator[Tensor]:
    """The maps as they are, and smoothed by every Gaussian of `SMOOTHINGS`."""
    yield maps
    for sigma in SMOOTHINGS:
        yield smoothed(maps, gaussian_taps(sigma, maps.device))

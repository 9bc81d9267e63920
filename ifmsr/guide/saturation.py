"""Clipped pixels of an RGB guide: their detection and restoration.

A sensor that is full, or a rendering that cut, leaves a plateau at the largest (or smallest) value of a channel. The LR
cube is not clipped, and so shows what is missing. Seen through the response it gives what each LR pixel of the whole
guide should be, t = P y + o, and around it

1. for every set of clipped channels, the affine map from the other channels to each clipped one in a Gaussian window,
   fitted to t: a prediction m with the detail of the others, and without detail where all three are clipped;
2. the clipped values z of least

       |k * z - t|^2 / sigma^2 + sum over neighbours i, j of w_ij (z_i - z_j - (m_i - m_j))^2,

   where k * z means "blur by the kernel k and decimate" and sigma is the noise of t. Unclipped neighbours are as they
   are. The weights 1 / w are mean squares of the prediction's error between neighbours, measured on unclipped pixels
   around, in proportion to the brightness, and are updated twice as for a Cauchy distribution: highlights have sharp
   edges.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.estimation import Estimate
from ifmsr.degradation.sampling import decimate, trimmed, upsample
from ifmsr.guide.windows import windowed

LEVELS = 4096  # of the histogram
NEXT = 4  # occupied levels beside the extreme one that it is compared with
LEAST_SHARE = 1e-4  # of a channel's pixels in a plateau
LEAST_PIXELS = 16
WHITES = (1.0, 255.0, 65535.0)
AT_WHITE = 3.0  # a plateau at white has so many times the pixels of its neighbours
ELSEWHERE = 12.0  # likewise at another value
SHADOW = (
    0.25  # of the largest value: a smallest value in brighter pixels is a colour out of gamut, no black level
)
COHERENT = 0.5  # of a black plateau's pixels, the share whose four neighbours belong to it too
SPREAD = 0.02  # of the largest value: what lies so near and beside a plateau joins it, for JPEG
LEAST_EXCESS = 0.01  # of the largest value, by which clipped pixels must have exceeded it in the mean
STIFFNESS = 0.5  # of the weights w
BRIGHT = 0.5  # of the largest value: unclipped pixels above it show the prediction's error
LEAST_LEVEL = 0.1  # of the largest value: the least brightness
FEW = 100  # measured differences that do not suffice
USUAL = 0.03  # standard deviation of a difference, relative to brightness, where too few were measured
LEAST_SPREAD = 1e-6  # of its square
ROUNDS = 3  # of weights
ITERATIONS = 6  # of conjugate gradients in each
LEAST_NOISE = 1e-3  # standard deviation of t, of the largest value: kernel and response are never perfect
LEAST_COVER = 1e-6
AXES = (-2, -1)
TINY = 1e-30


class Clipping(NamedTuple):
    """Clipped pixels (3, H, W) bool: `high` at the largest value of their channel, `low` at the smallest."""

    high: Tensor
    low: Tensor

    @property
    def any(self) -> Tensor:
        """(3, H, W) bool."""
        return self.high | self.low


def clipped_pixels(rgb: Tensor, valid: Tensor) -> Clipping:
    """Plateaus of a guide (3, H, W) as delivered, in any unit from 0 up, found in each channel's histogram.

    Pixels that are not `valid` (H, W) do not count, whatever their value.
    """
    white = float((rgb * valid).max())
    rgb = torch.where(valid, rgb, (rgb * valid).sum((1, 2), keepdim=True) / valid.sum().clamp_min(1))
    high = [
        _plateau(channel, AT_WHITE if float(channel.max()) == white in WHITES else ELSEWHERE)
        for channel in rgb
    ]
    dark = rgb.amax(0) < SHADOW * white
    low = [_coherent(_plateau(channel.max() - channel, ELSEWHERE) & dark) for channel in rgb]
    beside = F.max_pool2d(torch.stack(high).float(), 3, stride=1, padding=1) > 0
    joined = beside & (rgb >= (1 - SPREAD) * rgb.amax((1, 2), keepdim=True))
    return Clipping(joined & valid, torch.stack(low) & valid)


def _plateau(channel: Tensor, ratio: float) -> Tensor:
    """(H, W) bool: pixels at the largest value, if they are `ratio` times as many as those at the next values."""
    top = channel.max()
    none = torch.zeros_like(channel, dtype=torch.bool)
    if not top > 0:
        return none
    level = (channel * ((LEVELS - 1) / top)).round().long()
    counts = torch.bincount(level.flatten(), minlength=LEVELS)
    plateau, *others = counts[counts > 0].flip(0)[: NEXT + 1].tolist()
    least = max(LEAST_PIXELS, LEAST_SHARE * channel.numel(), ratio * sum(others) / max(1, len(others)))
    return level == LEVELS - 1 if others and plateau >= least else none


def _coherent(plateau: Tensor) -> Tensor:
    """The plateau, or none if it is scattered: dark pixels that noise took below zero are no clipped area."""
    inner = plateau[1:-1, 1:-1]
    whole = inner & plateau[:-2, 1:-1] & plateau[2:, 1:-1] & plateau[1:-1, :-2] & plateau[1:-1, 2:]
    return plateau & (whole.sum() > COHERENT * inner.sum())


def untouched(clipped: Tensor, scale: int, reach: int | None = None) -> Tensor:
    """(h, w) bool: LR pixels without `clipped` ones (3, H, W) in their block and `reach` (default: scale) around."""
    reach = scale if reach is None else reach
    around = F.pad(clipped.any(0).float()[None, None], (reach,) * 4)
    return F.max_pool2d(around, scale + 2 * reach, stride=scale)[0, 0] == 0


def restore(
    rgb: Tensor, clipping: Clipping, lr: Tensor, estimate: Estimate, scale: int
) -> tuple[Tensor, Tensor]:
    """A linear guide with its clipped pixels restored, and how far to trust it.

    Parameters
    ----------
    rgb : (3, H, W) linear.
    clipping : its clipped pixels.
    lr : (B, h, w).
    estimate : kernel, response and noise, estimated from LR pixels that are `untouched`.

    Returns
    -------
    restored : (3, H, W), `rgb` where it is not clipped; restored values lie beyond the level of the plateau, and so
        may exceed 1 or fall below 0.
    trust : (3, H, W) float, 1 where the guide was measured and 0 where it was restored.
    """
    wanted = estimate.to_rgb(lr)
    clipping = confirmed(clipping, rgb, wanted, estimate.kernel, scale)
    clipped, trust = clipping.any, 1 - clipping.any.float()
    if not clipped.any():
        return rgb, trust
    variance = estimate.noise**2 * float(estimate.response[:, :-1].square().sum(1).mean())
    variance = max(variance, (LEAST_NOISE * float(rgb.max())) ** 2)
    first, predicted, weights = _prediction(rgb, clipped, wanted, variance, estimate.kernel, scale)
    system = _System(estimate.kernel, scale, clipped.float(), variance)
    restored = _beyond(first, rgb, clipping)
    restored = _beyond(system.solve(restored, wanted, predicted, weights), rgb, clipping)
    for _ in range(ROUNDS - 1):
        cauchy = [
            2 * weight / (1 + weight * (restored.diff(dim=axis) - step).square())
            for axis, step, weight in zip(AXES, predicted, weights, strict=True)
        ]
        restored = _beyond(system.solve(restored, wanted, predicted, cauchy), rgb, clipping)
    return restored, trust


def confirmed(clipping: Clipping, rgb: Tensor, wanted: Tensor, kernel: Tensor, scale: int) -> Clipping:
    """The plateaus of those channels whose LR values `wanted` (3, h, w) say that something is missing there."""
    missing = wanted - decimate(rgb, kernel, scale)
    found = []
    for mask, sign in zip(clipping, (1, -1), strict=True):
        cover = decimate(mask.float(), kernel, scale)
        excess = sign * (cover * missing).sum((1, 2)) / cover.square().sum((1, 2)).clamp_min(LEAST_COVER)
        found.append(mask & (excess > LEAST_EXCESS * rgb.max())[:, None, None])
    return Clipping(*found)


def _beyond(restored: Tensor, rgb: Tensor, clipping: Clipping) -> Tensor:
    """`restored` where `rgb` is clipped, and at least as extreme."""
    restored = torch.where(clipping.high, torch.maximum(restored, rgb), restored)
    restored = torch.where(clipping.low, torch.minimum(restored, rgb), restored)
    return torch.where(clipping.any, restored, rgb)


def _prediction(
    rgb: Tensor, clipped: Tensor, wanted: Tensor, variance: float, kernel: Tensor, scale: int
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The guide with predicted values, and along both axes predicted differences and weights, 0 between unclipped."""
    first, brightest = rgb.clone(), rgb.max()
    steps = [torch.zeros_like(rgb.diff(dim=axis)) for axis in AXES]
    weights = [torch.zeros_like(step) for step in steps]
    kind = (clipped * torch.tensor([1, 2, 4]).view(3, 1, 1)).sum(0)  # (H, W) which channels are clipped
    for pattern in kind.unique().tolist():
        lost = [channel for channel in range(3) if pattern >> channel & 1]
        kept = [channel for channel in range(3) if channel not in lost]
        here = kind == pattern
        for channel in lost:
            fine = upsample(affine_map(wanted[channel], wanted[kept], variance), kernel, scale)
            guess = (fine[:-1] * rgb[kept]).sum(0) + fine[-1]
            first[channel] = torch.where(here, guess, first[channel])
            known = (kind == 0) & (rgb[channel] > BRIGHT * brightest)
            level = torch.maximum(guess, rgb[channel]).clamp_min(LEAST_LEVEL * brightest)
            for axis, step, weight in zip(AXES, steps, weights, strict=True):
                size = _mean(level, axis)
                pairs = _mean(known.float(), axis) == 1
                errors = ((rgb[channel] - guess).diff(dim=axis) / size)[pairs]
                spread = float(errors.square().mean()) if len(errors) > FEW else USUAL**2
                new = (
                    STIFFNESS * (_mean(here.float(), axis) > 0) / (max(spread, LEAST_SPREAD) * size.square())
                )
                step[channel] += new * guess.diff(dim=axis)
                weight[channel] += new
    return (
        first,
        [step / weight.clamp_min(TINY) for step, weight in zip(steps, weights, strict=True)],
        weights,
    )


def _mean(image: Tensor, axis: int) -> Tensor:
    """The mean of each pixel and the next one along an axis."""
    length = image.shape[axis] - 1
    return (image.narrow(axis, 0, length) + image.narrow(axis, 1, length)) / 2


def affine_map(target: Tensor, guides: Tensor, ridge: float) -> Tensor:
    """Slopes and offset (G + 1, h, w) of `target` (h, w) by `guides` (G, h, w), G from 0 on, in Gaussian windows."""
    if not len(guides):
        return target[None]
    mean_guides, mean = windowed(guides), windowed(target[None])[0]
    among = windowed((guides[:, None] * guides).flatten(0, 1)).unflatten(0, (len(guides), len(guides)))
    among = among - mean_guides[:, None] * mean_guides + ridge * torch.eye(len(guides))[..., None, None]
    across = windowed(guides * target) - mean_guides * mean
    slopes = torch.linalg.solve(among.permute(2, 3, 0, 1), across.permute(1, 2, 0)).permute(2, 0, 1)
    return windowed(torch.cat([slopes, (mean - (slopes * mean_guides).sum(0))[None]]))


class _System:
    """The normal equations of the module's docstring, for the pixels `clipped` (3, H, W), 1 or 0."""

    def __init__(self, kernel: Tensor, scale: int, clipped: Tensor, variance: float):
        self.kernel = trimmed(kernel, scale)
        self.scale, self.clipped, self.variance = scale, clipped, variance

    def solve(self, image: Tensor, wanted: Tensor, steps: list[Tensor], weights: list[Tensor]) -> Tensor:
        """`image` (3, H, W) after some conjugate gradients, each channel by itself."""
        bends = [
            weight * (step - image.diff(dim=axis))
            for axis, step, weight in zip(AXES, steps, weights, strict=True)
        ]
        residual = self.gathered(wanted - decimate(image, self.kernel, self.scale), bends)
        own = float(self.kernel.square().sum()) / self.scale**2 / self.variance
        diagonal = own + sum(2 * _mean(_padded(w, axis), axis) for axis, w in zip(AXES, weights, strict=True))
        direction = towards = residual / diagonal
        energy = (residual * towards).sum((1, 2), keepdim=True)
        for _ in range(ITERATIONS):
            bends = [weight * direction.diff(dim=axis) for axis, weight in zip(AXES, weights, strict=True)]
            applied = self.gathered(decimate(direction, self.kernel, self.scale), bends)
            length = energy / (direction * applied).sum((1, 2), keepdim=True).clamp_min(TINY)
            image, residual = image + length * direction, residual - length * applied
            towards, before = residual / diagonal, energy
            energy = (residual * towards).sum((1, 2), keepdim=True)
            direction = towards + energy / before.clamp_min(TINY) * direction
        return image

    def gathered(self, seen: Tensor, bends: list[Tensor]) -> Tensor:
        """Gradient with respect to the clipped pixels, from LR differences (3, h, w) and those between neighbours."""
        margin = (len(self.kernel) - self.scale) // 2
        total = F.conv_transpose2d(seen[:, None], self.kernel[None, None], stride=self.scale, padding=margin)[
            :, 0
        ]
        total = total / self.variance
        for axis, bend in zip(AXES, bends, strict=True):
            total = total - _padded(bend, axis).diff(dim=axis)
        return self.clipped * total


def _padded(steps: Tensor, axis: int) -> Tensor:
    """A zero before and after, along an axis."""
    return F.pad(steps, (1, 1) if axis == -1 else (0, 0, 1, 1))

"""Defective pixels of an LR cube: hot or dead in some bands or in all of them, dead columns and rows, no data.

A value of one band is a defect if it lies outside its two neighbours along a row or column by most of the band's range,
if these do not begin to rise or fall with it, as optics would make them, and if the bands beside it do not show
the same. A line of a band is one if it is constant and its neighbours are not. A group of pixels without any spectrum,
exactly the cube's smallest or largest value in every band, is one if the pixels around it are unlike it, or if it is
black where the guide or the cube's noise says otherwise.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

STANDS_OUT = 12.0  # in units of a band's usual texture and noise
LARGE = 0.7  # of a band's range
STEEP = 5.0  # times the step from its neighbours to theirs
ALONE = 4.0  # times what the bands beside it show
BESIDE = 2  # bands on either side
UNLIKE = 0.2  # of the bands' range, in the mean over a group and its bands
SHOWN, MOST = 0.05, 0.5  # of the guide's largest value, in most pixels of a group: brighter than black
LINE = 0.03  # of a band's range, in the mean over a line
FEWEST_BANDS = 4  # fewer cannot tell a defect from a small object
SURE_BANDS = 16  # that noise does not leave at 0 all together
SHORTEST = 8  # pixels of a line


def defective(lr: Tensor, rgb: Tensor) -> Tensor:
    """(B, h, w) bool: the values of a cube (B, h, w) that are no measurements; `rgb` (3, h, w) is the guide there."""
    if len(lr) < FEWEST_BANDS or lr[0].numel() < 2:
        return torch.zeros_like(lr, dtype=torch.bool)
    low, high = np.quantile(lr.flatten(1).numpy(), (0.03, 0.97), axis=1)
    span = torch.from_numpy(high - low).float()[:, None, None].clamp_min(torch.finfo(torch.float).tiny)
    lines = dead_columns(lr, span) | dead_columns(lr.mT, span).mT
    return lines | sticking_out(lr, span) | without_spectrum(lr, span, rgb)


def sticking_out(lr: Tensor, span: Tensor) -> Tensor:
    """(B, h, w) bool: single values of single bands; `span` (B, 1, 1) is a band's range."""
    out = torch.maximum(outside(lr, 2), outside(lr, 1))
    found = out > LARGE * span
    bands, rows, columns = found.nonzero(as_tuple=True)
    if not len(bands):
        return found
    values = out[bands, rows, columns]
    along = outside(lr, 2)[bands, rows, columns] > outside(lr, 1)[bands, rows, columns]
    step = torch.where(
        along, step_beside(lr, 2, bands, rows, columns), step_beside(lr, 1, bands, rows, columns)
    )
    usual = out.new_zeros(len(lr))
    for band in bands.unique():
        usual[band] = max(usual_texture(lr[band], 0), usual_texture(lr[band], 1))
    beside = F.pad(out[:, rows, columns].T[None], (BESIDE,) * 2, mode="reflect")[0]  # (n, B + 4)
    beside = beside[torch.arange(len(bands))[:, None], bands[:, None] + torch.arange(2 * BESIDE + 1)]
    beside = beside.sort(1).values[:, -3]  # the value itself may be the largest, and a defect beside it
    sure = (values > STANDS_OUT * usual[bands]) & (values > STEEP * step) & (values > ALONE * beside)
    found[bands, rows, columns] = sure
    return found


def outside(lr: Tensor, axis: int) -> Tensor:
    """(B, h, w) how far values lie outside their two neighbours along an axis."""
    reach = (1, 1, 0, 0) if axis == 2 else (0, 0, 1, 1)
    padded = F.pad(lr[None], reach, mode="replicate")[0]
    before, after = padded.narrow(axis, 0, lr.shape[axis]), padded.narrow(axis, 2, lr.shape[axis])
    above = lr - torch.maximum(before, after)
    return torch.maximum(above, torch.minimum(before, after).sub_(lr)).clamp_min_(0)


def step_beside(lr: Tensor, axis: int, bands: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(n,) the larger step from the neighbours of values along an axis to the neighbours' neighbours."""

    def at(offset: int) -> Tensor:
        if axis == 1:
            return lr[bands, (rows + offset).clamp(0, lr.shape[1] - 1), columns]
        return lr[bands, rows, (columns + offset).clamp(0, lr.shape[2] - 1)]

    return torch.maximum((at(-1) - at(-2)).abs(), (at(1) - at(2)).abs())


def usual_texture(band: Tensor, axis: int) -> float:
    """The median difference of a band's values (h, w) from the mean of their neighbours along an axis."""
    padded = F.pad(band[None, None], (0, 0, 1, 1) if axis == 0 else (1, 1, 0, 0), mode="replicate")[0, 0]
    before, after = padded.narrow(axis, 0, band.shape[axis]), padded.narrow(axis, 2, band.shape[axis])
    return float((band - (before + after) / 2).abs().median())


def dead_columns(lr: Tensor, span: Tensor) -> Tensor:
    """(B, h, w) bool: columns of a band that are constant beside one that is not and differs from it."""
    if lr.shape[1] < SHORTEST:
        return torch.zeros_like(lr, dtype=torch.bool)
    constant = (lr == lr[:, :1]).all(1)  # (B, w)
    if not constant.any():
        return torch.zeros_like(lr, dtype=torch.bool)
    padded = F.pad(lr[None], (1, 1, 0, 0), mode="replicate")[0]
    unlike = torch.stack([(lr - other).abs().mean(1) for other in (padded[:, :, :-2], padded[:, :, 2:])])
    alive = ~F.pad(constant, (1, 1), value=True)
    differs = (unlike > LINE * span[:, 0]) & torch.stack([alive[:, :-2], alive[:, 2:]])
    return (constant & differs.any(0))[:, None].expand_as(lr)


def without_spectrum(lr: Tensor, span: Tensor, rgb: Tensor) -> Tensor:
    """(h, w) bool: groups of pixels that are exactly the cube's extreme in every band, and should not be.

    Those around them are unlike, or the cube is 0 where the guide is bright, or in many other pixels noise has left
    some bands at 0 and not all.
    """
    flat = (lr == lr.amin()).all(0) | (lr == lr.amax()).all(0)
    if not flat.any() or flat.all():
        return torch.zeros_like(flat)
    unlike = ((inpainted(lr, ~flat) - lr).abs() / span).mean(0)
    some = (lr == 0).any(0) & ~flat
    if len(lr) >= SURE_BANDS and some.sum() > flat.sum():
        return (lr == 0).all(0)
    bright = (rgb.mean(0) > SHOWN * rgb.amax()) & (lr == 0).all(0)
    from scipy import ndimage  # takes a while to import, and few cubes get here

    groups, count = ndimage.label(flat.numpy())
    means, shares = (
        ndimage.mean(evidence.numpy(), groups, np.arange(count + 1)) for evidence in (unlike, bright.float())
    )
    return flat & torch.from_numpy((means > UNLIKE) | (shares > MOST))[torch.from_numpy(groups).long()]


def repaired(lr: Tensor, bad: Tensor) -> Tensor:
    """`lr` (B, h, w) with `bad` values (B, h, w) replaced by what their pixel's other bands suggest.

    The mean of a Gaussian distribution given the other bands, with the mean and covariance of pixels without defects.
    Pixels without a good band get the mean.
    """
    affected = bad.any(0)
    if not affected.any() or affected.all():
        return lr
    clean = lr[:, ~affected].double()
    mean = clean.mean(1, keepdim=True)
    values, axes = torch.linalg.eigh(torch.cov(clean, correction=0).view(len(lr), len(lr)))
    floor = values[: max(1, len(lr) // 2)].mean().clamp_min(values[-1] * 1e-6)
    scaled = axes * (values - floor).clamp_min(0).sqrt()  # covariance = scaled scaled^T + floor I
    good, found = ~bad[:, affected], lr[:, affected].double() - mean
    seen = scaled.T[None] * good.T[:, None].double()  # (pixels, B, B)
    gram = seen @ scaled / floor + torch.eye(len(lr), dtype=torch.double)
    evidence = (seen @ torch.where(good, found, 0).T[..., None]) / floor
    expected = mean + scaled @ torch.linalg.solve(gram, evidence)[..., 0].T
    result = lr.clone()
    result[:, affected] = torch.where(good, lr[:, affected], expected.float())
    return result


def inpainted(image: Tensor, valid: Tensor) -> Tensor:
    """`image` (C, h, w) with smooth values where `valid` (h, w) is False; zeros if nothing is valid.

    Means over 2 x 2, 4 x 4, ... valid pixels, from the smallest squares that have any.
    """
    if valid.all() or not valid.any():
        return image * valid
    weight = valid.to(image.dtype)[None]
    _, h, w = image.shape
    odd = (0, w % 2, 0, h % 2)
    low, share = (F.avg_pool2d(F.pad(part, odd), 2) for part in (image * weight, weight))
    low = inpainted(low / share.clamp_min(1e-6), share[0] > 0)
    smooth = F.interpolate(low[None], scale_factor=2, mode="bilinear")[0, :, :h, :w]
    return torch.where(valid, image, smooth)

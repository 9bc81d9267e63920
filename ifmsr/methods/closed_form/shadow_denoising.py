"""Denoising of dark pixels: where the signal is below the LR noise, a guided-filter estimate is blended in.

About half of a mean spectral angle comes from pixels below the noise of the LR cube. Noise is most of an estimate's
error there, while the RGB guide shows where surfaces begin and end. So the result is fitted by affine maps from its own
RGB values, as in `ifmsr.methods.closed_form.local_regression`, in windows wide enough to average the noise. In a pixel
of brightness m that fit has the weight

    n / (n + m) * v / (v + E),    n = noise + 1.5 g,    v = noise^2 / 10 + (g / 2)^2,

E the mean square of the change in the surroundings: remaining noise is small, and larger changes would remove signal.
g is the noise that the guide had before it was denoised. What is left of it is smooth and looks like signal, so the
fits have the ridge (0.4 g)^2. Without g, RGB values stay as they are; without noise nothing changes.
"""

from collections import deque

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.sampling import bilinear, interpolate, strips
from ifmsr.degradation.smoothing import gaussian_taps, smoothed
from ifmsr.methods.closed_form.local_regression import LEAST_RIDGE, MAPS_AT_ONCE, Window

CELL = 4  # side of the blocks of pixels that are fitted as one
WINDOW = 2.0  # standard deviation in LR pixels
REMAINING = 0.1  # of the noise's energy: a change of that size has half the weight
GUIDE_RIDGE = 0.4  # standard deviations of the guide's noise: root of the fits' ridge
GUIDE_SHARE = 1.5  # of them count as noise of the LR cube does, in the weight of dark pixels
GUIDE_REMAINING = 0.5  # of them: a change of that size, as a standard deviation, has half the weight


def denoise_shadows_(sr: Tensor, rgb: Tensor, noise: float, scale: int, rgb_noise: float = 0.0) -> Tensor:
    """A result (B, H, W) of RGB values `rgb` (3, H, W), denoised in place.

    The LR cube, `scale` times coarser, has `noise`; the guide had `rgb_noise` before it was denoised. Strips of rows
    wait until the change is known as far around them as the window reaches.
    """
    if noise == 0:
        return sr
    window = WINDOW * scale / CELL
    ridge = max(LEAST_RIDGE, (GUIDE_RIDGE * rgb_noise) ** 2)
    allowed, both = REMAINING * noise**2 + (GUIDE_REMAINING * rgb_noise) ** 2, noise + GUIDE_SHARE * rgb_noise
    maps, taps = affine_maps(pooled(sr), pooled(rgb), window, ridge), gaussian_taps(window, sr.device)
    reach = len(taps) // 2 + 1  # cells: of the window and the interpolation
    energy, waiting = maps.new_zeros(1, *maps.shape[2:]), deque[tuple[slice, Tensor]]()
    for rows in strips(sr, CELL):
        change = predicted(maps, rgb, rows) - sr[:, rows]
        mean = pooled(change.square().mean(0, keepdim=True))
        energy[:, rows.start // CELL : rows.start // CELL + mean.shape[1]] = mean
        waiting.append((rows, change))
        while waiting and (rows.stop == sr.shape[1] or waiting[0][0].stop + reach * CELL <= rows.stop):
            inner, change = waiting.popleft()
            first = max(0, inner.start // CELL - reach)
            around = smoothed(energy[:, first : -(-inner.stop // CELL) + reach], taps)
            around = upsampled(
                around, slice(inner.start - first * CELL, inner.stop - first * CELL), sr.shape[2]
            )
            share = both / (both + rgb[:, inner].mean(0)) / (1 + around[0] / allowed)
            sr[:, inner].addcmul_(share, change)
    return sr


def affine_maps(sr: Tensor, rgb: Tensor, window: float, ridge: float) -> Tensor:
    """Slopes (3) and offsets of cells' spectra (B, h, w) by their RGB values (3, h, w), (4, B, h, w)."""
    fits, count = Window(rgb, window, [ridge]), max(1, MAPS_AT_ONCE // rgb[0].numel())
    return torch.cat([next(fits.fits(bands)) for bands in sr.split(count)], dim=1)


def predicted(maps: Tensor, rgb: Tensor, rows: slice) -> Tensor:
    """Rows of a cube (B, ., W) from the maps (4, B, h, w) of cells."""
    *slopes, result = upsampled(maps.flatten(0, 1), rows, rgb.shape[2]).unflatten(0, (4, -1))
    for slope, channel in zip(slopes, rgb[:, rows], strict=True):
        result = torch.addcmul(result, slope, channel)
    return result


def pooled(image: Tensor) -> Tensor:
    """(C, H, W) -> (C, H / 4, W / 4), rounded up, the border replicated."""
    parts = []
    for rows in strips(image, CELL):
        part = image[:, rows]
        missing = (0, -part.shape[2] % CELL, 0, -part.shape[1] % CELL)
        parts.append(F.avg_pool2d(F.pad(part[None], missing, mode="replicate"), CELL)[0])
    return torch.cat(parts, dim=1)


def upsampled(cells: Tensor, rows: slice, width: int) -> Tensor:
    """Cells' values (C, h, w) at the pixels of some rows, bilinear: (C, ., width)."""
    return interpolate(cells, CELL, (0.0, 0.0), bilinear, rows)[:, :, :width]

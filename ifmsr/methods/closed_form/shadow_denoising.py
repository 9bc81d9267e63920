"""Denoising of dark pixels: where the signal is below the LR noise, a guided-filter estimate is blended in.

About half of a mean spectral angle comes from pixels below the noise of the LR cube. Noise is most of an estimate's
error there, while the RGB guide shows where surfaces begin and end. So the result is fitted by affine maps from its own
RGB values, as in `ifmsr.methods.closed_form.local_regression`, in windows wide enough to average the noise. In a pixel
of brightness m that fit has the weight

    noise / (noise + m) * noise^2 / (noise^2 + 10 E),

E the mean square of the change in the surroundings: remaining noise is small, and larger changes would remove signal.
RGB values stay as they are, and without noise nothing changes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.smoothing import gaussian_taps, smoothed
from ifmsr.methods.closed_form.local_regression import LEAST_RIDGE, affine_fit

CELL = 4  # side of the blocks of pixels that are fitted as one
WINDOW = 2.0  # standard deviation in LR pixels
REMAINING = 0.1  # of the noise's energy: a change of that size has half the weight


def denoise_shadows(sr: Tensor, rgb: Tensor, noise: float, scale: int) -> Tensor:
    """A result (B, H, W) of RGB values `rgb` (3, H, W), denoised; the LR cube, `scale` times coarser, has `noise`."""
    if noise == 0:
        return sr
    window = WINDOW * scale / CELL
    slopes, offsets = next(affine_fit(pooled(sr), pooled(rgb), window, [LEAST_RIDGE]))
    change = torch.stack([predicted(*maps, rgb) for maps in zip(slopes.unbind(1), offsets, strict=True)]) - sr
    around = smoothed(pooled(change.square().mean(0, keepdim=True)), gaussian_taps(window, sr.device))
    share = noise / (noise + rgb.mean(0)) / (1 + upsampled(around, sr)[0] / (REMAINING * noise**2))
    return sr + share * change


def predicted(slopes: Tensor, offset: Tensor, rgb: Tensor) -> Tensor:
    """A band (H, W) from slopes (3, h, w) and an offset (h, w) of cells."""
    *fine, band = upsampled(torch.cat([slopes, offset[None]]), rgb)
    for slope, colour in zip(fine, rgb, strict=True):
        band = torch.addcmul(band, slope, colour)
    return band


def pooled(image: Tensor) -> Tensor:
    """(C, H, W) -> (C, H / 4, W / 4), rounded up, the border replicated."""
    missing = (0, -image.shape[2] % CELL, 0, -image.shape[1] % CELL)
    return F.avg_pool2d(F.pad(image[None], missing, mode="replicate"), CELL)[0]


def upsampled(cells: Tensor, like: Tensor) -> Tensor:
    """Cells' values (C, h, w) at the pixels of `like` (B, H, W), bilinear: (C, H, W)."""
    height, width = like.shape[1:]
    return F.interpolate(cells[None], scale_factor=CELL, mode="bilinear")[0, :, :height, :width]

"""Shadows calmed: what is darker than the LR noise, drawn from the colours by maps over wide windows.

About half of a mean spectral angle comes from pixels below the noise of the LR cube. There that noise is most of what
is wrong with an estimate, while the RGB image tells where the surfaces lie. So the result is explained by affine maps
from its own colours, as in `ifmsr.methods.closed_form.local_regression`, in windows wide enough to average noise
away. A pixel of brightness m takes the share

    noise / (noise + m) * noise^2 / (noise^2 + 10 E)

of that, E the mean square of what it changes in the surroundings: what is left of the noise is small, and larger
changes take away signal. Colours stay, and without noise everything does.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.smoothing import gaussian_taps, smoothed
from ifmsr.methods.closed_form.local_regression import LEAST_RIDGE, affine_fit

CELL = 4  # pixels a side that count as one
WINDOW = 2.0  # standard deviation in LR pixels
LEFT = 0.1  # of the noise's energy: changes that count half


def denoise_shadows(sr: Tensor, rgb: Tensor, noise: float, scale: int) -> Tensor:
    """A result (B, H, W) and its colours `rgb` (3, H, W), from an LR cube with `noise`, `scale` times coarser."""
    if noise == 0:
        return sr
    window = WINDOW * scale / CELL
    slopes, offsets = next(affine_fit(pooled(sr), pooled(rgb), window, [LEAST_RIDGE]))
    change = torch.stack([drawn(*maps, rgb) for maps in zip(slopes.unbind(1), offsets, strict=True)]) - sr
    around = smoothed(pooled(change.square().mean(0, keepdim=True)), gaussian_taps(window, sr.device))
    share = noise / (noise + rgb.mean(0)) / (1 + upsampled(around, sr)[0] / (LEFT * noise**2))
    return sr + share * change


def drawn(slopes: Tensor, offset: Tensor, rgb: Tensor) -> Tensor:
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

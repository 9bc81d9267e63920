"""Per-band detail gains, calibrated at reduced resolution (Wald's protocol).

Predicted detail can be wrong in ways that the LR cube does not show: a band that the camera hardly sees (400 nm) gets
detail that only the guide has. At reduced resolution the LR cube is the reference and its 2 x 2 mean the input. Where
the detail predicted there is larger than that of the reference, its least-squares gain is applied at full resolution,
shrunk towards 1 where it is uncertain.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.sampling import decimate, strips, upsample
from ifmsr.devices import here

BOX = torch.full((2, 2), 0.25, dtype=torch.float32)  # the kernel at reduced resolution
SURE = 1600.0  # energy of the detail over the residual's mean square at which a gain counts half
LEAST_ENERGY = 1e-12


def reduced_pair(lr: Tensor, rgb: Tensor, kernel: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """The pooled LR cube (B, h // 2, w // 2) and the RGB values of the LR pixels, without an odd last row or column."""
    _, h, w = lr.shape
    return F.avg_pool2d(lr[None], 2)[0], decimate(rgb, kernel, scale)[:, : h - h % 2, : w - w % 2]


def apply_detail_gains_(drawn: Tensor, reduced: Tensor, lr: Tensor, kernel: Tensor, scale: int) -> Tensor:
    """`drawn` (B, H, W), in place, the detail of each band multiplied by its gain.

    Parameters
    ----------
    reduced : (B, h, w), the method's result at reduced resolution; h and w even.
    lr : (B, h, w), or one row or column larger.
    """
    _, h, w = reduced.shape
    return scale_detail_(drawn, detail_gains(reduced, lr[:, :h, :w]), kernel, scale)


def scale_detail_(drawn: Tensor, gains: Tensor, kernel: Tensor, scale: int) -> Tensor:
    """`drawn` (B, H, W), in place, the detail of each band times its gain (B,)."""
    low = decimate(drawn, kernel, scale)
    for rows in strips(drawn, scale):
        drawn[:, rows].lerp_(upsample(low, kernel, scale, rows), 1 - gains[:, None, None])
    return drawn


def detail_gains(reduced: Tensor, wanted: Tensor) -> Tensor:
    """(B,) in [0, 1]: the gain that brings the detail of `reduced` nearest to that of `wanted`."""
    box = here(BOX)
    detail, target = split(reduced, box, 2)[1], split(wanted, box, 2)[1]
    energy = detail.square().sum((1, 2))
    gains = (detail * target).sum((1, 2)) / energy.clamp_min(LEAST_ENERGY)
    left = (target - gains[:, None, None] * detail).square().mean((1, 2))
    certainty = energy / left.clamp_min(LEAST_ENERGY)
    return ((gains * certainty + SURE) / (certainty + SURE)).clamp(0, 1)


def split(image: Tensor, kernel: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """(B, H, W) -> its low-pass part, which an LR image shows, and the residual, its detail."""
    smooth = upsample(decimate(image, kernel, scale), kernel, scale)
    return smooth, image - smooth

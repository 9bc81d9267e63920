"""How much of the detail that a method draws into each band to keep.

What is drawn at high resolution can be wrong in ways that the LR image does not show: a band that the camera hardly
sees (400 nm) gets detail that is there in the colours only. A rehearsal one scale down tells (Wald's protocol: the LR
image stands for the truth, its pooled copy is observed): where the drawn detail is larger there than the one that was
wanted, the gain that would have been right is taken over, the more the surer it is.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.sampling import decimate, upsample

BOX = torch.full((2, 2), 0.25)  # the rehearsal's kernel
SURE = 1600.0  # detail's energy against what a gain leaves unexplained, summed, that makes it count half
LEAST_ENERGY = 1e-12


def reduced_pair(lr: Tensor, rgb: Tensor, kernel: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """The pooled LR image (B, h // 2, w // 2), and the colours of the LR pixels, without an odd last row or column."""
    _, h, w = lr.shape
    return F.avg_pool2d(lr[None], 2)[0], decimate(rgb, kernel, scale)[:, : h - h % 2, : w - w % 2]


def apply_detail_gains(drawn: Tensor, rehearsed: Tensor, lr: Tensor, kernel: Tensor, scale: int) -> Tensor:
    """`drawn` (B, H, W) with less detail in the bands that have too much.

    Parameters
    ----------
    rehearsed : (B, h, w), what the method makes of the pooled `lr` and the colours of its pixels; h and w even.
    lr : (B, h, w), or one row or column larger.
    """
    _, h, w = rehearsed.shape
    smooth, detail = split(drawn, kernel, scale)
    return smooth + detail_gains(rehearsed, lr[:, :h, :w])[:, None, None] * detail


def detail_gains(rehearsed: Tensor, wanted: Tensor) -> Tensor:
    """(B,) in [0, 1]: what to multiply the detail of `rehearsed` by to come nearest to that of `wanted`."""
    detail, target = split(rehearsed, BOX, 2)[1], split(wanted, BOX, 2)[1]
    energy = detail.square().sum((1, 2))
    gains = (detail * target).sum((1, 2)) / energy.clamp_min(LEAST_ENERGY)
    left = (target - gains[:, None, None] * detail).square().mean((1, 2))
    certainty = energy / left.clamp_min(LEAST_ENERGY)
    return ((gains * certainty + SURE) / (certainty + SURE)).clamp(0, 1)


def split(image: Tensor, kernel: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """(B, H, W) -> what an LR image tells of it, and the rest."""
    smooth = upsample(decimate(image, kernel, scale), kernel, scale)
    return smooth, image - smooth

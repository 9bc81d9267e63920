"""How much of the detail that a method draws into each band to keep.

What is drawn at high resolution can be wrong in ways that the LR image does not show: a band that the camera hardly
sees (400 nm) gets detail that is there in the colours only. Two signs tell before the truth is known:

- In a rehearsal one scale down (Wald's protocol: the LR image stands for the truth, its pooled copy is observed) the
  drawn detail is larger than the one that was wanted. The gain that would have been right there is taken over, the more
  the surer it is.
- From the LR image to the result a band's gradients grow more than those of the colours do.
"""

import torch
from torch import Tensor

from ifmsr.sampling import decimate, enlarge

BOX = torch.full((2, 2), 0.25)  # the rehearsal's kernel
SURE = 1600.0  # detail's energy against what a gain leaves unexplained, summed, that makes it count half
LEAST_ENERGY = 1e-12


def keep(drawn: Tensor, rehearsed: Tensor, lr: Tensor, rgb: Tensor, kernel: Tensor, scale: int) -> Tensor:
    """`drawn` (B, H, W) with less detail in the bands that have too much.

    Parameters
    ----------
    rehearsed : (B, h, w), what the method makes of the pooled `lr` and the colours of its pixels; h and w even.
    lr, rgb : (B, h, w) and (3, H, W).
    """
    _, h, w = rehearsed.shape
    gains = rehearsed_gains(rehearsed, lr[:, :h, :w]) * growth_limits(drawn, rgb, kernel, scale)
    smooth, detail = split(drawn, kernel, scale)
    return smooth + gains[:, None, None] * detail


def rehearsed_gains(rehearsed: Tensor, wanted: Tensor) -> Tensor:
    """(B,) in [0, 1]: what to multiply the detail of `rehearsed` by to come nearest to that of `wanted`."""
    detail, target = split(rehearsed, BOX, 2)[1], split(wanted, BOX, 2)[1]
    energy = detail.square().sum((1, 2))
    gains = (detail * target).sum((1, 2)) / energy.clamp_min(LEAST_ENERGY)
    left = (target - gains[:, None, None] * detail).square().mean((1, 2))
    certainty = energy / left.clamp_min(LEAST_ENERGY)
    return ((gains * certainty + SURE) / (certainty + SURE)).clamp(0, 1)


def growth_limits(drawn: Tensor, rgb: Tensor, kernel: Tensor, scale: int) -> Tensor:
    """(B,) in (0, 1]: what brings each band's growth down to that of the colours."""
    growth = gradients(drawn) / gradients(decimate(drawn, kernel, scale)).clamp_min(LEAST_ENERGY)
    of_colours = gradients(rgb).sum() / gradients(decimate(rgb, kernel, scale)).sum().clamp_min(LEAST_ENERGY)
    return (of_colours / growth.clamp_min(LEAST_ENERGY)).clamp(LEAST_ENERGY, 1).sqrt()


def split(image: Tensor, kernel: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """(B, H, W) -> what an LR image tells of it, and the rest."""
    smooth = enlarge(decimate(image, kernel, scale), kernel, scale)
    return smooth, image - smooth


def gradients(image: Tensor) -> Tensor:
    """(B,) mean square difference of neighbouring pixels."""
    across, down = image[:, :, 1:] - image[:, :, :-1], image[:, 1:] - image[:, :-1]
    return sum(
        (step.square().sum((1, 2)) / max(1, step[0].numel()) for step in (across, down)), start=torch.zeros(1)
    )

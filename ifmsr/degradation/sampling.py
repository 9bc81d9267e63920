"""Decimation by a sampling kernel, and bicubic upsampling to the positions that it sampled."""

import torch
import torch.nn.functional as F
from torch import Tensor


def decimate(image: Tensor, kernel: Tensor, scale: int) -> Tensor:
    """D_k: (C, H, W) -> (C, H / scale, W / scale), the kernel about the middle of each scale x scale block."""
    margin = (kernel.shape[0] - scale) // 2
    padded = F.pad(image[:, None], (margin,) * 4, mode="replicate")
    return F.conv2d(padded, kernel[None, None], stride=scale)[:, 0]


def centroid(kernel: Tensor) -> tuple[float, float]:
    """Centroid of a sampling kernel, (down, right) of each block's middle, in HR pixels."""
    taps = torch.arange(kernel.shape[0]) - (kernel.shape[0] - 1) / 2
    return float(kernel.sum(1) @ taps), float(kernel.sum(0) @ taps)


def upsample(image: Tensor, kernel: Tensor, scale: int) -> Tensor:
    """(C, h, w) -> (C, H, W), bicubic, with each LR pixel at the centroid of `kernel`."""
    _, h, w = image.shape
    down, right = centroid(kernel)
    y = (2 * (torch.arange(h * scale) + 0.5 - down) / scale) / h - 1
    x = (2 * (torch.arange(w * scale) + 0.5 - right) / scale) / w - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=2)
    return F.grid_sample(image[None], grid[None], "bicubic", "border", align_corners=False)[0]

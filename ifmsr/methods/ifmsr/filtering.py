"""The dynamic filter of RDE, which has a 3x3 kernel of its own for every pixel and channel, and its gradient."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

TAPS = 9  # of a 3x3 kernel, row by row


def filter_dynamically(x: Tensor, kernels: Tensor, dilation: int) -> Tensor:
    """Filter each pixel of each channel with its own 3x3 kernel (paper, section III-C, RDE).

    Outside the image `x` is zero. All taps have one gradient together, because PyTorch's own makes and adds an image
    for each of them; a compiler joins the taps by itself.

    Parameters
    ----------
    x : (M, C, H, W) features.
    kernels : (M, C, 9, H, W), the nine taps row by row.
    dilation : distance between neighbouring taps in pixels.

    Returns
    -------
    (M, C, H, W).
    """
    if torch.compiler.is_compiling():
        return weighted_sum(F.pad(x, (dilation,) * 4), kernels, dilation)
    filtered: Tensor = _Filtering.apply(x, kernels, dilation)
    return filtered


def weighted_sum(padded: Tensor, kernels: Tensor, dilation: int) -> Tensor:
    """The sum over the taps of kernel times shifted features; `padded` has `dilation` more pixels on all sides."""
    result = torch.zeros_like(kernels[:, :, 0])
    for tap in range(TAPS):
        result.addcmul_(kernels[:, :, tap], shifted(padded, tap, dilation))
    return result


def shifted(padded: Tensor, tap: int, dilation: int) -> Tensor:
    """The view of `padded` that a tap multiplies."""
    top, left = tap // 3 * dilation, tap % 3 * dilation
    height, width = (side - 2 * dilation for side in padded.shape[-2:])
    return padded[..., top : top + height, left : left + width]


class _Filtering(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, kernels: Tensor, dilation: int) -> Tensor:
        padded = F.pad(x, (dilation,) * 4)
        context.save_for_backward(padded, kernels)
        context.dilation = dilation
        return weighted_sum(padded, kernels, dilation)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        padded, kernels = context.saved_tensors
        dilation = context.dilation
        of_padded, of_kernels = torch.zeros_like(padded), torch.empty_like(kernels)
        for tap in range(TAPS):
            torch.mul(gradient, shifted(padded, tap, dilation), out=of_kernels[:, :, tap])
            shifted(of_padded, tap, dilation).addcmul_(gradient, kernels[:, :, tap])
        return shifted(of_padded, TAPS // 2, dilation), of_kernels, None

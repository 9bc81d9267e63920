"""Sampling kernels, blur and down-sampler in one, and their least-squares estimate."""

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTHNESS = 1e-2  # weight of the kernel's gradient, relative to the data term's mean diagonal
SUPPORT = 0.2  # share of the largest tap from which a tap and its neighbours are solved for again
NARROWINGS = 3  # how often
LEAST_ENERGY = 1e-12  # of an image that is black


def kernel_side(scale: int) -> int:
    """Taps a side of the estimated kernel: room for a blur of 13 to 16 pixels, a shift, and the grid."""
    return max(20, 2 * scale + 4) + scale % 2


def estimate_kernel(rgb_values: Tensor, rgb: Tensor, scale: int, usable: Tensor | None = None) -> Tensor:
    """The kernel that turns the RGB image into the LR image's RGB values, the least-squares one.

    Parameters
    ----------
    rgb_values : (3, h, w) the LR cube seen through the response.
    rgb : (3, H, W).
    usable : (h, w) bool, the LR pixels that count; default: all.

    Returns
    -------
    (k, k) as in `Estimate`.
    """
    columns, wanted = kernel_columns(rgb, scale), rgb_values.flatten(1)
    if usable is not None:
        columns, wanted = columns[:, :, usable.flatten()], wanted[:, usable.flatten()]
    target = (columns @ wanted[..., None]).sum(0)[:, 0].double()
    return as_kernel(solve_taps(smooth_gram(columns), target), scale)


def kernel_columns(rgb: Tensor, scale: int) -> Tensor:
    """(3, k^2, h w) the guide's value under each tap of a kernel, for each LR pixel."""
    side = kernel_side(scale)
    padded = F.pad(rgb[:, None], ((side - scale) // 2,) * 4, mode="replicate")
    return F.unfold(padded, side, stride=scale)


def smooth_gram(columns: Tensor) -> Tensor:
    """(k^2, k^2) float64: the columns' Gram matrix and the penalty on the kernel's gradient."""
    gram = torch.zeros((), dtype=torch.double)
    for channel in columns:
        gram = gram + (channel @ channel.T).double()
    side = round(len(gram) ** 0.5)
    difference = torch.eye(side + 1, side, dtype=torch.double)
    difference[1:] -= torch.eye(side, dtype=torch.double)
    smooth, identity = difference.T @ difference, torch.eye(side, dtype=torch.double)
    penalty = torch.kron(smooth, identity) + torch.kron(identity, smooth)
    return gram + SMOOTHNESS * gram.diagonal().mean().clamp_min(LEAST_ENERGY) * penalty


def solve_taps(gram: Tensor, target: Tensor) -> Tensor:
    """(k^2,) the taps that `gram` (k^2, k^2) and `target` ask for, all others 0.

    Noise in the hundreds of taps where the kernel is 0 would widen it and pull its centroid to the middle. So it is
    solved for again among the large taps and their neighbours, until the support has settled.
    """
    side = round(len(gram) ** 0.5)
    taps = torch.linalg.solve(gram, target)
    for _ in range(NARROWINGS):
        large = (taps >= SUPPORT * taps.max()).view(1, 1, side, side)
        support = F.max_pool2d(large.double(), 3, stride=1, padding=1).flatten().nonzero()[:, 0]
        taps = torch.zeros_like(target)
        taps[support] = torch.linalg.solve(gram[support][:, support], target[support])
    return taps


def as_kernel(taps: Tensor, scale: int) -> Tensor:
    """(k^2,) -> (k, k), non-negative, sum 1; the mean of the block of a black image."""
    side = kernel_side(scale)
    if not taps.clamp_min(0).sum() > 0:
        return block_mean(scale)
    kernel = taps.clamp_min(0).view(side, side)
    return (kernel / kernel.sum()).float()


def block_mean(scale: int) -> Tensor:
    """(k, k) the kernel of a sensor that averages each block."""
    reach = (kernel_side(scale) - scale) // 2
    return F.pad(torch.full((scale, scale), 1 / scale**2), (reach,) * 4)


def gaussians(forms: Tensor, side: int) -> Tensor:
    """(m, side, side) kernels of sum 1 from (m, 5): shift down and right, logarithms of both widths, angle."""
    taps = torch.arange(side) - (side - 1) / 2
    down, right = taps[:, None] - forms[:, 0, None, None], taps - forms[:, 1, None, None]
    cos, sin = forms[:, 4].cos()[:, None, None], forms[:, 4].sin()[:, None, None]
    widths = forms[:, 2:4].exp()[:, :, None, None]
    along, across = (cos * down + sin * right) / widths[:, 0], (cos * right - sin * down) / widths[:, 1]
    kernels = torch.exp(-0.5 * (along.square() + across.square()))
    return kernels / kernels.sum((1, 2), keepdim=True)

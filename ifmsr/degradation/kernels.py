"""Sampling kernels, blur and down-sampler in one, and their least-squares estimate."""

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTHNESS = 1e-2  # weight of the kernel's gradient, relative to the data term's mean diagonal
SUPPORT = 0.2  # share of the largest tap from which a tap and its neighbours are solved for again
NARROWINGS = 3  # how often
LEAST_ENERGY = 1e-12  # of an image that is black
PIXELS_AT_ONCE = 1024  # LR pixels whose columns are in memory
TAPS_AT_ONCE = 64  # rows of a Gram matrix that are computed together


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
    gram, products = kernel_gram(rgb, scale, rgb_values[:, None], usable)
    return as_kernel(solve_taps(smooth_gram(gram), products.sum(0)[:, 0]), scale)


def kernel_gram(
    rgb: Tensor, scale: int, values: Tensor, usable: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Gram matrix of the guide's values under the taps of a kernel, and their products with LR images.

    Parameters
    ----------
    rgb : (3, H, W).
    values : (3, T, h, w), T images for each channel.
    usable : (h, w) bool, the LR pixels that count; default: all.

    Returns
    -------
    gram : (k^2, k^2) float64, the sum over channels.
    products : (3, k^2, T) float64.
    """
    taps = under_taps(rgb, scale)
    h, w, side = taps.shape[1:4]
    gram = torch.zeros(side**2, side**2, dtype=torch.double)
    products = torch.zeros(3, side**2, values.shape[1], dtype=torch.double)
    step = max(1, PIXELS_AT_ONCE // w)
    for top in range(0, h, step):
        rows = slice(top, top + step)
        count = slice(None) if usable is None else usable[rows].flatten()
        for channel in range(3):
            columns = taps[channel, rows].reshape(-1, side**2)[count]  # (n, k^2)
            for first in range(
                0, side**2, TAPS_AT_ONCE
            ):  # a Gram matrix is symmetric: its upper part suffices
                some = columns[:, first : first + TAPS_AT_ONCE]
                gram[first : first + TAPS_AT_ONCE, first:] += some.T @ columns[:, first:]
            products[channel] += columns.T @ values[channel, :, rows].flatten(1).T[count]
    return gram.triu() + gram.triu(1).T, products


def kernel_columns(rgb: Tensor, scale: int, pixels: Tensor) -> Tensor:
    """(3, k^2, n) the guide's value under each tap of a kernel, for LR pixels of these numbers (n,)."""
    taps = under_taps(rgb, scale)
    width = taps.shape[2]
    return taps[:, pixels // width, pixels % width].flatten(2).mT


def under_taps(rgb: Tensor, scale: int) -> Tensor:
    """(3, h, w, k, k) the guide's value under each tap of a kernel, for each LR pixel: a view that takes no memory."""
    side = kernel_side(scale)
    padded = F.pad(rgb[None], ((side - scale) // 2,) * 4, mode="replicate")[0]
    return padded.unfold(1, side, scale).unfold(2, side, scale)


def smooth_gram(gram: Tensor) -> Tensor:
    """(k^2, k^2) float64: the Gram matrix of a kernel's columns and the penalty on the kernel's gradient."""
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

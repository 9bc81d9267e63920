"""Denoising of the RGB guide, against noise that maps from RGB to spectrum would amplify.

Such a map is fitted at low resolution, where noise and misaligned channels are averaged away, and applied at high
resolution, where they are not. It depends on small differences of the channels, which noise changes most. From octave
to octave the energy of an image falls towards fine scales and that of white noise grows. So the noise is the energy
that the guide's finest octave has beyond half of that of the last octave that an LR image sees, in each direction of
RGB space,

    N = (C_finest - C_seen / 2)+,

C the covariances (3, 3) of the octaves. In the other unseen octaves the noise is smaller by the ratio for white noise,
and each octave is filtered by Wiener's I - N C^-1. A guide without such noise is not changed.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.sampling import strips
from ifmsr.degradation.smoothing import gaussian_taps, smoothed
from ifmsr.methods.closed_form.findings import Findings

FINEST = 0.6  # pixels: standard deviation of the Gaussian that removes the finest octave
MOST = 0.5  # of the seen octave's energy that the finest one can have
LEAST_SHARE = 1e-6  # of a covariance's trace, added to it


def denoise_guide(rgb: Tensor, scale: int, found: Findings | None = None) -> Tensor:
    """A guide (3, H, W), Wiener-filtered in the octaves that an image `scale` times coarser does not see."""
    found = Findings() if found is None else found
    finer = [FINEST * 2**octave for octave in range((scale - 1).bit_length())]
    sigmas = [2 * FINEST * scale, FINEST * scale, *reversed(finer)]
    windows = [gaussian_taps(sigma, rgb.device) for sigma in sigmas]
    levels = [smoothed(rgb, taps) for taps in windows] + [rgb]
    filters = found.once("octave filters", lambda: octave_filters(levels, windows))
    lowest, highest = found.once("range of the guide", lambda: (float(rgb.min()), float(rgb.max())))
    denoised = rgb.clone()
    for (coarse, fine), lost in zip(pairwise(levels[1:]), filters, strict=True):
        for rows in strips(rgb, 1):
            denoised[:, rows] -= torch.tensordot(lost, fine[:, rows] - coarse[:, rows], dims=1)
    return denoised.clamp_(lowest, highest)


def octave_filters(levels: Sequence[Tensor], windows: Sequence[Tensor]) -> list[Tensor]:
    """The share (3, 3) of each unseen octave that is noise, coarse to fine; the octaves lie between `levels`."""
    seen, *unseen = [covariance(coarse, fine) for coarse, fine in pairwise(levels)]
    _, *white = [energy_between(*pair) for pair in pairwise([*windows, levels[-1].new_ones(1)])]
    noise = excess(unseen[-1], MOST * seen)
    return [
        share(noise * energy / white[-1], whole).float() for whole, energy in zip(unseen, white, strict=True)
    ]


def energy_between(wide: Tensor, narrow: Tensor) -> Tensor:
    """The variance that white noise of variance 1 has between two windows of odd numbers of taps, the first longer."""
    padded = F.pad(narrow, ((len(wide) - len(narrow)) // 2,) * 2)
    return (padded @ padded) ** 2 - 2 * (padded @ wide) ** 2 + (wide @ wide) ** 2


def covariance(coarse: Tensor, fine: Tensor) -> Tensor:
    """(3, 3) mean products of the octave between two levels (3, H, W), whose mean is about zero, float64."""
    products = torch.zeros(3, 3, dtype=torch.double, device=fine.device)
    for rows in strips(fine, 1):
        pixels = (fine[:, rows] - coarse[:, rows]).flatten(1).double()
        products += pixels @ pixels.T / fine[0].numel()
    least = LEAST_SHARE * products.trace() + torch.finfo(torch.double).tiny
    return products + least * torch.eye(3, dtype=torch.double, device=fine.device)


def excess(found: Tensor, most: Tensor) -> Tensor:
    """(found - most)+ for covariances (3, 3): the excess along their joint eigenvectors."""
    root, ratios, axes = compared(found, most)
    return root @ axes @ torch.diag((ratios - 1).clamp_min(0)) @ axes.T @ root.T


def share(noise: Tensor, whole: Tensor) -> Tensor:
    """N C^-1 (3, 3), at most the identity."""
    root, ratios, axes = compared(noise, whole)
    return root @ axes @ torch.diag(ratios.clamp(0, 1)) @ axes.T @ torch.linalg.inv(root)


def compared(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L, ratios and U with b = L L^T and a = L U diag(ratios) U^T L^T; U orthogonal."""
    root = torch.linalg.cholesky(b)
    inverse = torch.linalg.inv(root)
    ratios, axes = torch.linalg.eigh(inverse @ a @ inverse.T)
    return root, ratios, axes

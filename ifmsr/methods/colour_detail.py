"""Colours calmed: no more detail in a mixture of colours than it can have.

A map from colour to spectrum is learned at low resolution, where noise and misaligned bands are averaged away, and used
at high resolution, where they are not. From octave to octave an image's energy does not grow towards the fine ones;
that of noise does. So the octaves that an LR image cannot see are compared with the last one that it sees, direction by
direction in colour space, and filtered by

    S = L U min(1, 1 / growth) U^T L^-1,   C_seen = L L^T,   L^-1 C L^-T = U growth U^T

with C the covariance of the colours in the fine octave. That is Wiener's filter if all that grew is noise. First come
differences of nearly equal bands, on which spectra depend most strongly; where nothing grows nothing changes.
"""

from itertools import pairwise
from math import log2

import torch
from torch import Tensor

from ifmsr.methods.smoothing import gaussian_taps, smoothed

FINEST = 0.6  # pixels: the standard deviation of the Gaussian that takes an image's finest octave away
LEAST_SHARE = 1e-6  # of the seen octave's energy, for every direction


def calm(rgb: Tensor, scale: int) -> Tensor:
    """The colours (3, H, W) without what cannot be detail in the octaves that an LR image does not see."""
    sigmas = [2 * FINEST * scale / 2**octave for octave in range(int(log2(scale)) + 2)]
    levels = [smoothed(rgb, gaussian_taps(sigma, rgb.device)) for sigma in sigmas] + [rgb]
    seen, *unseen = [fine - coarse for coarse, fine in pairwise(levels)]
    calmed = rgb
    for octave in unseen:
        calmed = calmed - torch.tensordot(excess(octave, seen), octave, dims=1)
    return calmed.clamp(0, 1)


def excess(octave: Tensor, seen: Tensor) -> Tensor:
    """I - S of the module's docstring, (3, 3), for two octaves (3, H, W)."""
    allowed = covariance(seen)
    least = LEAST_SHARE * allowed.trace() + torch.finfo(torch.double).tiny
    root = torch.linalg.cholesky(allowed + least * torch.eye(3, dtype=torch.double, device=seen.device))
    inverse = torch.linalg.inv(root)
    growth, axes = torch.linalg.eigh(inverse @ covariance(octave) @ inverse.T)
    return (root @ axes @ torch.diag(1 - 1 / growth.clamp_min(1)) @ axes.T @ inverse).float()


def covariance(octave: Tensor) -> Tensor:
    """(3, 3) mean products of an octave (3, H, W), whose mean is about zero, float64."""
    pixels = octave.flatten(1).double()
    return pixels @ pixels.T / pixels.shape[1]

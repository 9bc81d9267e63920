"""Gaussian windows over images, replicated at the border."""

import numpy as np
import torch
from torch import Tensor

STRETCH = 32  # pixels filtered at once


def gaussian_taps(sigma: float, device: torch.device) -> Tensor:
    """A normalised 1-D Gaussian that reaches to three standard deviations."""
    reach = int(np.ceil(3 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=device) / sigma) ** 2)
    return taps / taps.sum()


def smoothed(image: Tensor, taps: Tensor) -> Tensor:
    """(C, h, w) filtered by the odd number of `taps` along both axes, replicated border.

    Along each axis as banded matrices times stretches of pixels with what the taps reach beyond.
    """
    channels, height, width = image.shape
    tall, result = (image.new_empty(image.shape) for _ in range(2))
    for start in range(0, height, STRETCH):
        band, seen = _banded(start, height, taps)
        rows = slice(start, start + STRETCH)
        torch.bmm(band.expand(channels, -1, -1), image[:, seen], out=tall[:, rows])
    for start in range(0, width, STRETCH):
        band, seen = _banded(start, width, taps)
        columns = slice(start, start + STRETCH)
        torch.bmm(tall[:, :, seen], band.T.expand(channels, -1, -1), out=result[:, :, columns])
    return result


def _banded(start: int, length: int, taps: Tensor) -> tuple[Tensor, slice]:
    """The filter's matrix for the stretch of an axis at `start`, and the pixels that it multiplies."""
    reach, end = len(taps) // 2, min(start + STRETCH, length)
    first, last = max(0, start - reach), min(length, end + reach)
    middle = torch.arange(start, end, device=taps.device)[:, None]
    places = (middle + torch.arange(-reach, reach + 1, device=taps.device)).clamp(0, length - 1) - first
    matrix = taps.new_zeros(end - start, last - first)
    return matrix.scatter_add_(1, places, taps.expand(end - start, -1)), slice(first, last)

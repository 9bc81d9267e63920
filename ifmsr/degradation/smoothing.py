"""Gaussian windows over images, replicated at the border."""

from collections.abc import Iterator

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
    for rows, band, seen in _bands(height, taps):
        torch.bmm(band.expand(channels, -1, -1), image[:, seen], out=tall[:, rows])
    for columns, band, seen in _bands(width, taps):
        torch.bmm(tall[:, :, seen], band.T.expand(channels, -1, -1), out=result[:, :, columns])
    return result


def _bands(length: int, taps: Tensor) -> Iterator[tuple[slice, Tensor, slice]]:
    """Along an axis: each stretch, the filter's matrix for it, and the pixels that it multiplies.

    All stretches that the border does not reach have the same matrix.
    """
    reach, inner = len(taps) // 2, None
    for start in range(0, length, STRETCH):
        end = min(start + STRETCH, length)
        seen = slice(max(0, start - reach), min(length, end + reach))
        if seen.stop - seen.start < STRETCH + 2 * reach:
            band = _band(start, end, seen, length, taps)
        else:
            band = inner = _band(start, end, seen, length, taps) if inner is None else inner
        yield slice(start, end), band, seen


def _band(start: int, end: int, seen: slice, length: int, taps: Tensor) -> Tensor:
    """(end - start, pixels seen) the filter's matrix for a stretch, border replicated."""
    reach = len(taps) // 2
    middle = torch.arange(start, end, device=taps.device)[:, None]
    places = (middle + torch.arange(-reach, reach + 1, device=taps.device)).clamp(0, length - 1) - seen.start
    matrix = taps.new_zeros(end - start, seen.stop - seen.start)
    return matrix.scatter_add_(1, places, taps.expand(end - start, -1))

"""Gaussian windows over images, replicated at the border."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

STRETCH = 32  # pixels filtered at once


def gaussian_taps(sigma: float, device: torch.device) -> Tensor:
    """A normalised 1-D Gaussian that reaches to three standard deviations."""
    reach = int(np.ceil(3 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=device) / sigma) ** 2)
    return taps / taps.sum()


def smoothed(image: Tensor, taps: Tensor) -> Tensor:
    """(C, h, w) filtered by the odd number of `taps` along both axes, replicated border."""
    return _down_columns(_down_columns(image, taps).mT, taps).mT


def _down_columns(image: Tensor, taps: Tensor) -> Tensor:
    """Along the second axis, as banded matrices times stretches of rows with what the taps reach beyond."""
    height, reach = image.shape[1], len(taps) - 1
    padded = F.pad(image, (0, 0, reach // 2, reach // 2), mode="replicate")
    band = taps.new_zeros(STRETCH, STRETCH + reach)
    for row in range(STRETCH):
        band[row, row : row + reach + 1] = taps
    pieces = []
    for start in range(0, height, STRETCH):
        rows = min(STRETCH, height - start)
        pieces.append(band[:rows, : rows + reach] @ padded[:, start : start + rows + reach])
    return torch.cat(pieces, dim=1)

"""One map from colour to spectrum for a whole image, W: spectrum ~ W phi(colour).

W is fitted at low resolution and used at high resolution. How strongly it must be held back is read from the LR
cube, for each of its spectral axes apart: a ridge is good if the map, fitted to pooled images, predicts the cube's own
details.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.estimation import ridge, spectral_axes
from ifmsr.degradation.sampling import decimate

RIDGES = tuple(10 ** (power / 2) for power in range(-12, 0))  # relative to the data term's mean diagonal


class Explained(NamedTuple):
    """What colours explain of the HR cube (B, H, W), of the LR cube (B, h, w), and the LR pixels' colours (3, h, w)."""

    fine: Tensor
    coarse: Tensor
    seen: Tensor


def regress_globally(
    lr: Tensor, rgb: Tensor, kernel: Tensor, scale: int, usable: Tensor | None = None
) -> Explained:
    """Fit the map to `lr` (B, h, w) and the blurred features of `rgb` (3, H, W), and apply it to both.

    Features are blurred and decimated, not blurred colours made into features. Only `usable` (h, w) pixels are fitted,
    by default all.
    """
    fine = root_polynomial(rgb)
    coarse = decimate(fine, kernel, scale)
    axes = spectral_axes(lr)[1].float()
    maps = torch.tensordot(axes.T, lr, dims=1)
    pixels = (coarse.flatten(1), maps.flatten(1)) if usable is None else (coarse[:, usable], maps[:, usable])
    candidates = torch.stack([fitted(*pixels, weight) for weight in RIDGES])  # (n, B, features)
    weights = axes @ candidates[detail_error(coarse, maps).argmin(0), torch.arange(len(lr))]
    return Explained(
        torch.tensordot(weights, fine, dims=1), torch.tensordot(weights, coarse, dims=1), coarse[:3]
    )


def root_polynomial(rgb: Tensor) -> Tensor:
    """(3, H, W) -> (13, H, W): the colours, 1, their products and the roots of the mixed products."""
    r, g, b = rgb
    products = [r * r, g * g, b * b, r * g, g * b, r * b]
    roots = [(r * g).sqrt(), (g * b).sqrt(), (r * b).sqrt()]
    return torch.stack([r, g, b, torch.ones_like(r), *products, *roots])


def fitted(features: Tensor, maps: Tensor, weight: float) -> Tensor:
    """(B, features) least squares with a ridge."""
    return ridge(features.flatten(1).double(), maps.flatten(1).double(), weight).float()


def detail_error(features: Tensor, maps: Tensor) -> Tensor:
    """(n, B) how far each ridge's map, fitted to images pooled 2 x 2, misses what the pooling takes away."""
    (low, detail), (low_maps, wanted) = split(features), split(maps)
    errors = [
        (wanted - torch.tensordot(fitted(low, low_maps, weight), detail, dims=1)).square().sum((1, 2))
        for weight in RIDGES
    ]
    return torch.stack(errors)


def split(image: Tensor) -> tuple[Tensor, Tensor]:
    """(C, h, w) -> pooled 2 x 2, and the image less its pooled one enlarged."""
    _, h, w = image.shape
    low = F.avg_pool2d(image[None], 2, ceil_mode=True, count_include_pad=False)
    smooth = F.interpolate(low, scale_factor=2, mode="bicubic", align_corners=False)
    return low[0], image - smooth[0, :, :h, :w]

"""One map from colour to spectrum for a whole image, W: spectrum ~ W phi(colour).

W is fitted at low resolution and used at high resolution. How strongly it must be held back there is read from the
two images, for each spectral axis c of the LR cube apart:

- a ridge is good if the map, fitted to pooled images, predicts the LR cube's own details;
- a ridge is too weak if the map sharpens more than the colours themselves do: from the LR image to the RGB image the
  energy of the maps' gradients may not grow faster than that of the colours (by more than `GROWTH`). Where bands are
  not aligned, or differ by more than colours can tell, weakly coloured directions break this rule first.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.estimation import ridge, spectral_axes
from ifmsr.sampling import decimate

RIDGES = tuple(10 ** (power / 2) for power in range(-12, 0))  # relative to the data term's mean diagonal
GROWTH = 1.1


class Explained(NamedTuple):
    """What colours explain of the HR cube (B, H, W), of the LR cube (B, h, w), and the LR pixels' colours (3, h, w)."""

    fine: Tensor
    coarse: Tensor
    seen: Tensor


def regress(lr: Tensor, rgb: Tensor, kernel: Tensor, scale: int) -> Explained:
    """Fit the map to `lr` (B, h, w) and the blurred features of `rgb` (3, H, W), and apply it to both.

    Features are blurred and decimated, not blurred colours made into features.
    """
    fine = root_polynomial(rgb)
    coarse = decimate(fine, kernel, scale)
    axes = spectral_axes(lr)[1].float()
    maps = torch.tensordot(axes.T, lr, dims=1)
    candidates = torch.stack([fitted(coarse, maps, weight) for weight in RIDGES])  # (n, B, features)
    risk = detail_error(coarse, maps).masked_fill(sharpens(candidates, fine, coarse)[:, None], torch.inf)
    weights = axes @ candidates[risk.argmin(0), torch.arange(len(lr))]
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


def sharpens(candidates: Tensor, fine: Tensor, coarse: Tensor) -> Tensor:
    """(n,) which candidates' gradients grow too much from `coarse` to `fine`; the strongest ridge never does."""
    high, low = gradient_gram(fine), gradient_gram(coarse)

    def energies(gram: Tensor) -> Tensor:
        return torch.einsum("nbi,ij,nbj->n", candidates.double(), gram, candidates.double())

    colours = high.diagonal()[:3].sum() * energies(low)
    too_much = energies(high) * low.diagonal()[:3].sum() > GROWTH * colours
    too_much[-1] = False
    return too_much


def gradient_gram(image: Tensor) -> Tensor:
    """(C, C) mean products of the channels' differences between neighbouring pixels, float64."""
    steps = (image[:, :, 1:] - image[:, :, :-1], image[:, 1:] - image[:, :-1])
    return torch.stack(
        [(step.flatten(1) @ step.flatten(1).T / max(1, step[0].numel())).double() for step in steps]
    ).sum(0)

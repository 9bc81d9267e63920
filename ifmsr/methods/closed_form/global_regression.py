"""One linear map W from RGB features to spectra for the whole image: spectrum ~ W phi(RGB).

W is fitted at low resolution and applied at high resolution. Its ridge is chosen for each spectral axis of the LR cube
separately, by validation one octave down: fit on 2 x 2-pooled images, score on the high-pass residual that pooling
removed.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.estimation import ridge, spectral_axes
from ifmsr.degradation.sampling import decimate
from ifmsr.methods.closed_form.findings import Findings

RIDGES = tuple(10 ** (power / 2) for power in range(-12, 0))  # relative to the data term's mean diagonal


class Explained(NamedTuple):
    """The map (B, features), its prediction of the LR cube (B, h, w), and the RGB values (3, h, w) of LR pixels."""

    weights: Tensor
    coarse: Tensor
    seen: Tensor

    def fine(self, rgb: Tensor) -> Tensor:
        """The prediction of the HR cube (B, H, W) for RGB values (3, H, W)."""
        return torch.tensordot(self.weights, root_polynomial(rgb), dims=1)


def regress_globally(
    lr: Tensor,
    rgb: Tensor,
    kernel: Tensor,
    scale: int,
    usable: Tensor | None = None,
    found: Findings | None = None,
) -> Explained:
    """Fit the map to `lr` (B, h, w) and the blurred features of `rgb` (3, H, W), and apply it to these.

    Features of the sharp guide are blurred and decimated. Only `usable` (h, w) pixels are fitted, by default all.
    """
    found = Findings() if found is None else found
    coarse = decimate(rgb, kernel, scale, root_polynomial)
    weights = found.once("global map", lambda: global_map(lr, coarse, usable))
    return Explained(weights, torch.tensordot(weights, coarse, dims=1), coarse[:3])


def global_map(lr: Tensor, coarse: Tensor, usable: Tensor | None) -> Tensor:
    """(B, features) the map from `coarse` (features, h, w) to `lr` (B, h, w), each axis with the best ridge."""
    axes = spectral_axes(lr)[1].float()
    maps = torch.tensordot(axes.T, lr, dims=1)
    pixels = (coarse.flatten(1), maps.flatten(1)) if usable is None else (coarse[:, usable], maps[:, usable])
    candidates = torch.stack([fitted(*pixels, weight) for weight in RIDGES])  # (n, B, features)
    return axes @ candidates[detail_error(coarse, maps).argmin(0), torch.arange(len(lr))]


def root_polynomial(rgb: Tensor) -> Tensor:
    """(3, H, W) -> (13, H, W): the RGB values, 1, their products and the roots of the mixed products."""
    r, g, b = rgb
    products = [r * r, g * g, b * b, r * g, g * b, r * b]
    roots = [(r * g).sqrt(), (g * b).sqrt(), (r * b).sqrt()]
    return torch.stack([r, g, b, torch.ones_like(r), *products, *roots])


def fitted(features: Tensor, maps: Tensor, weight: float) -> Tensor:
    """(B, features) least squares with a ridge."""
    return ridge(features.flatten(1).double(), maps.flatten(1).double(), weight).float()


def detail_error(features: Tensor, maps: Tensor) -> Tensor:
    """(n, B) validation error per ridge weight: fitted on 2 x 2-pooled images, scored on their high-pass residual."""
    (low, detail), (low_maps, wanted) = split(features), split(maps)
    errors = [
        (wanted - torch.tensordot(fitted(low, low_maps, weight), detail, dims=1)).square().sum((1, 2))
        for weight in RIDGES
    ]
    return torch.stack(errors)


def split(image: Tensor) -> tuple[Tensor, Tensor]:
    """(C, h, w) -> pooled 2 x 2, and the high-pass residual: the image minus its pooled version, upsampled."""
    _, h, w = image.shape
    low = F.avg_pool2d(image[None], 2, ceil_mode=True, count_include_pad=False)
    smooth = F.interpolate(low, scale_factor=2, mode="bicubic", align_corners=False)
    return low[0], image - smooth[0, :, :h, :w]

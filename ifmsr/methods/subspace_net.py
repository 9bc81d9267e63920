"""SubspaceNet: what a small network adds to the closed-form result, inside the image's own spectral subspace.

Beyond the paper. `ifmsr.methods.closed_form` is right about most of an image and blind to its content; the network
sees its result, the LR cube's misfit to that result, and the RGB image, and corrects the result:

    x = x0 + (I - P^+ P) V d(inputs),    d = 0 before training

Three choices make one set of weights fit every sensor and scale:

- V (B, 12), the leading spectral directions of the LR cube, turned within their span as near as they come to smooth
  cosines over the bands. Unlike principal components they keep their meaning, sign and order from image to image.
- All images are brought to high resolution and unshuffled by 4 whatever the scale, so layers work on (H / 4, W / 4).
- The noise level, the scale and the kernel's size, estimated from the image, enter as constant maps.

(I - P^+ P) keeps the colours as the closed form left them, P the response, given or estimated. A second head, which
does not influence the first, tells the expected absolute error of every pixel (mean over bands).

Shapes: B bands, (H, W) = scale * (h, w), N crops.
"""

from dataclasses import dataclass
from math import cos, log2, sin
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifmsr.estimation import Estimate, spectral_axes
from ifmsr.methods.base import Network
from ifmsr.methods.closed_form import solve
from ifmsr.sampling import decimate, enlarge
from ifmsr.scenes.scene import Observation

RANK = 12
GRID = 4  # layers work on every 4 x 4 pixels at once
IMAGES = 2 * RANK + 3
CONDITIONS = 6
MISFIT_GAIN, OUTPUT_GAIN = 10.0, 0.1  # bring misfits (noise, mostly) and corrections to the order of 1
LEAST_ERROR, TYPICAL_ERROR = 2e-4, 0.005  # what the error head can tell, and before training about tells
ANGLE_WEIGHT = 3.0  # of the angle in radians against the absolute error in units of the closed form's
ERROR_WEIGHT = 0.1  # of the error head; only that head learns from it


@dataclass(frozen=True)
class SubspaceConfig:
    """Fixes the network's shape: channels of its layers, and how many residual blocks."""

    features: int = 96
    blocks: int = 8


class Prepared(NamedTuple):
    """One observation as the network wants it.

    Attributes
    ----------
    images : (27, H, W) coefficients of the closed-form result, of the misfit, and the RGB image.
    conditions : (6,) noise, scale, kernel.
    lift : (B, 12) from corrections to bands, (I - P^+ P) V.
    closed : (B, H, W) the closed-form result.
    """

    images: Tensor
    conditions: Tensor
    lift: Tensor
    closed: Tensor


def prepare(observation: Observation) -> Prepared:
    """The closed form, and what it leaves."""
    closed, estimate = solve(observation)
    lr, rgb, scale = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb), observation.scale
    axes = smooth_axes(lr)
    misfit = torch.tensordot(axes.T, lr - decimate(closed, estimate.kernel, scale), dims=1)  # (12, h, w)
    images = torch.cat(
        [
            torch.tensordot(axes.T, closed, dims=1) / len(lr) ** 0.5,
            MISFIT_GAIN * enlarge(misfit, estimate.kernel, scale),
            rgb,
        ]
    )
    lift = axes - estimate.lift @ (estimate.response[:, :-1] @ axes)
    return Prepared(images, conditions_of(estimate, scale), lift, closed)


def smooth_axes(lr: Tensor) -> Tensor:
    """The span of the 12 leading directions of (B, h, w), by the axes nearest to cosines over the bands: (B, 12).

    Orthonormal columns; with fewer than 12 bands the others are zero.
    """
    bands, rank = len(lr), min(RANK, len(lr))
    leading = spectral_axes(lr)[1][:, -rank:]
    middle = (torch.arange(bands, dtype=torch.double) + 0.5)[:, None] * torch.pi / bands
    cosines = torch.cos(middle * torch.arange(rank))  # (B, rank), the DCT-II's
    left, _, right = torch.linalg.svd(leading.T @ (cosines / cosines.norm(dim=0)))
    return F.pad(leading @ left @ right, (0, RANK - rank)).float()


def conditions_of(estimate: Estimate, scale: int) -> Tensor:
    """(6,), each of the order of 1: noise, scale, the kernel's two widths, and which way it is long."""
    long, short, angle = estimate.widths
    stretch = (long - short) / scale
    kernel = (long / scale, short / scale, stretch * cos(2 * angle), stretch * sin(2 * angle))
    return torch.tensor([100 * estimate.noise, log2(scale) / 4, *kernel])


class Block(nn.Module):
    """(N, C, h, w) -> same: two 3 x 3 convolutions beside the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


class SubspaceNet(Network):
    """The network of the module's docstring, for any number of bands and any scale.

    Examples
    --------
    >>> net = SubspaceNet()
    >>> correction, error = net(torch.rand(1, 27, 16, 24), torch.rand(1, 6))
    >>> correction.shape, error.shape
    (torch.Size([1, 12, 16, 24]), torch.Size([1, 1, 16, 24]))
    >>> bool((correction == 0).all())
    True
    """

    title = "SubspaceNet"
    scale_free = True

    def __init__(self, features: int = 96, blocks: int = 8):
        super().__init__()
        self.config = SubspaceConfig(features, blocks)
        self.head = nn.Conv2d(IMAGES * GRID**2 + CONDITIONS, features, 3, padding=1)
        self.body = nn.Sequential(*[Block(features) for _ in range(blocks)])
        self.correction = nn.Conv2d(features, RANK * GRID**2, 3, padding=1)
        self.error = nn.Conv2d(features, GRID**2, 3, padding=1)
        for parameter in (*self.correction.parameters(), *self.error.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Corrections (N, 12, H, W) and expected error (N, 1, H, W) from images (N, 27, H, W) and conditions (N, 6).

        H and W are multiples of 4.
        """
        x = F.pixel_unshuffle(images, GRID)  # (N, 27 * 16, H / 4, W / 4)
        constants = conditions[:, :, None, None].expand(-1, -1, *x.shape[-2:])
        x = self.head(torch.cat([x, constants], dim=1))
        x = x + self.body(x)
        correction = OUTPUT_GAIN * F.pixel_shuffle(self.correction(x), GRID)
        error = F.softplus(F.pixel_shuffle(self.error(x.detach()), GRID).float())
        return correction, LEAST_ERROR + TYPICAL_ERROR * error

    def loss(self, *batch: Tensor, bands: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Absolute error and spectral angle; the error head has its own likelihood, a Laplace distribution's.

        A batch is (images, conditions, lift, closed, level, truth): stacked fields of `Prepared`, the closed form's
        mean absolute error on the whole scene (N,), and the true cube. Errors count relative to `level`, so that
        easy scenes and mild degradations count as much as hard ones, as they do in a mean PSNR.
        """
        images, conditions, lift, closed, level, truth = batch
        correction, expected = self(images, conditions)
        sr = closed + torch.einsum("nbr,nrhw->nbhw", lift, correction.float())
        present = (lift != 0).any(2).sum(1).view(-1, 1, 1, 1)  # the others are padding
        error = (sr - truth).abs().sum(1, keepdim=True) / present
        likelihood = (error.detach() / expected + expected.log()).mean()
        relative = (error.mean((1, 2, 3)) / level).mean()
        return relative + ANGLE_WEIGHT * angle(sr, truth) + ERROR_WEIGHT * likelihood


def angle(sr: Tensor, truth: Tensor) -> Tensor:
    """Mean angle between spectra (N, B, H, W), for small ones: the distance of their directions."""
    chord = F.normalize(sr, dim=1, eps=1e-4) - F.normalize(truth, dim=1, eps=1e-4)
    return (chord.square().sum(1) + 1e-8).sqrt().mean()


class Refined(NamedTuple):
    """`sr` (B, H, W) in [0, 1] and `error` (H, W), the expected absolute error of each pixel, mean over bands."""

    sr: Tensor
    error: Tensor


def refine(net: SubspaceNet, observation: Observation, device: torch.device, dtype: torch.dtype) -> Refined:
    """One observation through closed form and network."""
    images, conditions, lift, closed = prepare(observation)
    height, width = closed.shape[1:]
    padded = F.pad(images[None], (0, -width % GRID, 0, -height % GRID), mode="replicate")
    with torch.autocast(device.type, dtype, dtype != torch.float32):
        correction, error = net(padded.to(device), conditions[None].to(device))
    correction = correction[0, :, :height, :width].float().cpu()
    sr = (closed + torch.tensordot(lift, correction, dims=1)).clamp(0, 1)
    return Refined(sr, error[0, 0, :height, :width].cpu())

"""SubspaceNet: a small network that corrects the closed-form result inside the image's own spectral subspace.

Beyond the paper. `ifmsr.methods.closed_form` is right about most of an image and blind to its content; the network
sees its result x0, the LR cube's misfit to that result, and the RGB guide, and corrects x0:

    x = x0 + (I - P^+ P) V (S e + d),    S = 0 and d = 0 before training

e is the high-pass part of x0's 12 coefficients and of the RGB guide (15 channels). For each 4 x 4 cell the network
predicts a 12 x 15 matrix S that maps it to a correction, and for each pixel an offset d. Most of the closed form's
error is detail with the wrong spectrum: a product of existing detail with a slope that depends on the surroundings.
Convolutions alone learn such products slowly (see chapter 11).

Three choices make one set of weights fit every sensor and scale:

- V (B, 12), the leading spectral directions of the LR cube, rotated within their span to be as near as possible to
  smooth cosines over the bands. Unlike principal components they keep their meaning, sign and order between images.
- Whatever the scale, layers work on (H / 4, W / 4) cells: the inputs of a cell are the details of its 4 x 4 pixels and
  the mean of its low-pass part.
- The noise level, the scale and the kernel's size, estimated from the image, enter as constant maps.

(I - P^+ P) keeps the RGB values of the closed form, P the spectral response, given or estimated. At inference a
correction has less weight where neighbouring bands are not consistent (see `band_consistency`), none where the LR cube
contradicts it (see `correction_share`) or the guide is invalid, and shadows are denoised as in the closed form (see
`denoise_shadows`). A second head, without influence on the first, predicts the expected absolute error of every pixel
(mean over bands).

Shapes: B bands, (H, W) = scale * (h, w), N crops.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, log2, sin
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifmsr.degradation.estimation import Estimate, spectral_axes
from ifmsr.degradation.sampling import decimate, upsample
from ifmsr.devices import computing_on
from ifmsr.errors import InputWarning, whole
from ifmsr.fields import check_fields
from ifmsr.methods.base import Method, Network, Samples
from ifmsr.methods.closed_form.chain import Solution, finish, solve
from ifmsr.methods.closed_form.findings import findings_of
from ifmsr.methods.subspace_net.band_consistency import band_consistency
from ifmsr.methods.subspace_net.evidence import correction_share
from ifmsr.precision import Precision
from ifmsr.registry import resolve
from ifmsr.scenes.scene import Array, Observation, Scene

RANK = 12
GRID = 4  # layers work on every 4 x 4 pixels at once
SMOOTH = 2 * RANK + 3
DETAILS = RANK + 3
CONDITIONS = 6
MISFIT_GAIN, DETAIL_GAIN = 10.0, 10.0  # bring misfits (noise, mostly) and details to the order of 1
SLOPE_GAIN, OFFSET_GAIN = 0.2, 0.02  # likewise corrections
LEAST_ERROR, TYPICAL_ERROR = (
    2e-4,
    0.005,
)  # of the error head: the least value, and about the one before training
ANGLE_WEIGHT = 15.0  # of the angle in radians against the absolute error in units of the closed form's
ERROR_WEIGHT = 0.1  # of the error head; only that head learns from it


@dataclass(frozen=True)
class SubspaceConfig:
    """Fixes the network's shape: channels of its layers, and how many residual blocks."""

    features: int = 96
    blocks: int = 8

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("features", "blocks"):
            whole(name, getattr(self, name), least=1)


class Prepared(NamedTuple):
    """One observation as the network's inputs.

    Attributes
    ----------
    smooth : (27, H, W) low-pass part of the closed-form result's coefficients (12), of the misfit's (12) and of the
        RGB guide (3): decimated and upsampled.
    detail : (15, H, W) high-pass residual of the first and the last.
    conditions : (6,) noise, scale, kernel.
    to_bands : (B, 12) from corrections to bands, sqrt(B) (I - P^+ P) V: corrections are of the same order for any B.
    closed : (B, H, W) the result of the closed form's first six steps.
    noise : standard deviation of the LR cube's noise.
    solution : the closed form's, with the pair of images in the unit of all of these.
    """

    smooth: Tensor
    detail: Tensor
    conditions: Tensor
    to_bands: Tensor
    closed: Tensor
    noise: float
    solution: Solution


def prepare(observation: Observation) -> Prepared:
    """The closed-form result and the network's inputs that follow from it."""
    solution = solve(observation)
    closed, estimate, pair = solution.sr, solution.estimate, solution.pair
    lr, scale = pair.lr, pair.scale
    axes = findings_of(observation).once("smooth axes", lambda: smooth_axes(lr))
    kernel, size = estimate.kernel, len(lr) ** 0.5
    fine = torch.cat([torch.tensordot(axes.T, closed, dims=1) / size, solution.guide])
    coarse = decimate(fine, kernel, scale)
    misfit = torch.tensordot(axes.T, lr, dims=1) - size * coarse[:RANK]
    known = torch.cat([coarse[:RANK], MISFIT_GAIN * misfit, coarse[RANK:]])
    smooth = upsample(known, kernel, scale)
    detail = fine - torch.cat([smooth[:RANK], smooth[-3:]])
    to_bands = size * (axes - estimate.right_inverse @ (estimate.response[:, :-1] @ axes))
    return Prepared(
        smooth, detail, conditions_of(estimate, scale), to_bands, closed, estimate.noise, solution
    )


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
    >>> correction, error = net(torch.rand(1, 27, 16, 24), torch.rand(1, 15, 16, 24), torch.rand(1, 6))
    >>> correction.shape, error.shape
    (torch.Size([1, 12, 16, 24]), torch.Size([1, 1, 16, 24]))
    >>> bool((correction == 0).all())
    True
    """

    title = "SubspaceNet"
    scale_free = True
    blockwise = True
    config: SubspaceConfig

    def __init__(self, features: int = 96, blocks: int = 8):
        super().__init__()
        self.config = SubspaceConfig(features, blocks)
        self.head = nn.Conv2d(SMOOTH + DETAILS * GRID**2 + CONDITIONS, features, 3, padding=1)
        self.body = nn.Sequential(*[Block(features) for _ in range(blocks)])
        self.slopes = nn.Conv2d(features, RANK * DETAILS, 3, padding=1)
        self.offsets = nn.Conv2d(features, RANK * GRID**2, 3, padding=1)
        self.error = nn.Conv2d(features, GRID**2, 3, padding=1)
        for last in (self.slopes, self.offsets, self.error):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, smooth: Tensor, detail: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Corrections (N, 12, H, W) and expected error (N, 1, H, W).

        From `smooth` (N, 27, H, W), `detail` (N, 15, H, W), H and W multiples of 4, and `conditions` (N, 6).
        """
        details = F.pixel_unshuffle(detail, GRID)  # (N, 15 * 16, H / 4, W / 4)
        constants = conditions[:, :, None, None].expand(-1, -1, *details.shape[-2:])
        inputs = torch.cat([F.avg_pool2d(smooth, GRID), DETAIL_GAIN * details, constants], dim=1)
        x = self.head(inputs.contiguous(memory_format=torch.channels_last))
        x = x + self.body(x)
        corrected = SLOPE_GAIN * multiplied(self.slopes(x), details) + OFFSET_GAIN * self.offsets(x)
        correction = F.pixel_shuffle(corrected, GRID)
        error = F.softplus(F.pixel_shuffle(self.error(x.detach()), GRID).float())
        return correction, LEAST_ERROR + TYPICAL_ERROR * error

    def loss(self, *batch: Tensor, bands: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Absolute error and spectral angle; the error head has its own likelihood, a Laplace distribution's.

        A batch is (smooth, detail, conditions, to_bands, closed, level, truth): stacked fields of `Prepared`, the
        closed form's mean absolute error on the whole scene (N,), and the true cube. Errors count relative to `level`,
        so that easy scenes and mild degradations count as much as hard ones, as they do in a mean PSNR.
        """
        smooth, detail, conditions, to_bands, closed, level, truth = batch
        correction, expected = self(smooth, detail, conditions)
        sr = closed + torch.einsum("nbr,nrhw->nbhw", to_bands, correction.float())
        present = (to_bands != 0).any(2).sum(1).view(-1, 1, 1, 1)  # the others are padding
        error = (sr - truth).abs().sum(1, keepdim=True) / present
        likelihood = (error.detach() / expected + expected.log()).mean()
        relative = (error.mean((1, 2, 3)) / level).mean()
        return relative + ANGLE_WEIGHT * angle(sr, truth) + ERROR_WEIGHT * likelihood

    @classmethod
    def samples(cls, scenes: Sequence[Scene], config: Any) -> Samples:
        """Crops of scenes that the closed form has solved."""
        return resolve("ifmsr.training.solved:SolvedPatches")(scenes, config)

    def run(
        self,
        observation: Observation,
        device: torch.device,
        precision: Precision = "float32",
        memory: int | None = None,
    ) -> Array:
        """The closed form's result with the network's correction, (B, H, W) in [0, 1]."""
        with computing_on(device):
            return refine(self, observation, getattr(torch, precision)).sr.numpy(force=True)

    @classmethod
    def method_title(cls, variant: str) -> str:
        return "Auto" if variant == "auto" else cls.title

    def as_method(self, trained: Method, variant: str, device: str | None, precision: Precision) -> Method:
        """The variant ``"auto"`` assesses and prepares every pair of images first."""
        if variant != "auto":
            return trained
        method: Method = resolve("ifmsr.inference.assessed:Assessed")(trained)
        return method

    def with_error(
        self, observation: Observation, device: torch.device, precision: Precision = "float32"
    ) -> tuple[Array, Array]:
        """As `run`, and the expected absolute error of each pixel (H, W), mean over bands.

        Where the LR cube contradicts the network's correction, its error map has no meaning: it is NaN, with an
        `InputWarning`.
        """
        with computing_on(device):
            sr, error, share = refine(self, observation, getattr(torch, precision))
        if share < 1:
            warnings.warn(
                "no error map: the LR cube contradicts the network's correction, so these images are unlike those "
                "that it was trained on",
                InputWarning,
                stacklevel=2,
            )
            error = torch.full_like(error, torch.nan)
        return sr.numpy(force=True), error.numpy(force=True)


def multiplied(slopes: Tensor, details: Tensor) -> Tensor:
    """A cell's matrix times its pixels' details: (N, 12 * 15, h, w), (N, 15 * 16, h, w) -> (N, 12 * 16, h, w)."""
    matrices = slopes.permute(0, 2, 3, 1).unflatten(3, (RANK, DETAILS))  # (N, h, w, 12, 15)
    pixels = details.permute(0, 2, 3, 1).unflatten(3, (DETAILS, GRID**2))
    return (matrices @ pixels).flatten(3).permute(0, 3, 1, 2)


def angle(sr: Tensor, truth: Tensor) -> Tensor:
    """Mean angle between spectra (N, B, H, W), for small ones: the distance of their directions."""
    chord = F.normalize(sr, dim=1, eps=1e-4) - F.normalize(truth, dim=1, eps=1e-4)
    return (chord.square().sum(1) + 1e-8).sqrt().mean()


class Refined(NamedTuple):
    """A refined cube.

    Attributes
    ----------
    sr : (B, H, W) in [0, 1].
    error : (H, W) the expected absolute error of each pixel, mean over bands.
    share : how much of the network's correction the LR cube supports, 0 to 1; see `correction_share`.
    """

    sr: Tensor
    error: Tensor
    share: float


def refine(net: SubspaceNet, observation: Observation, dtype: torch.dtype) -> Refined:
    """One observation through closed form and network, on PyTorch's default device, which is the network's."""
    smooth, detail, conditions, to_bands, closed, noise, solution = prepare(observation)
    lr, scale, kernel = solution.pair.lr, observation.scale, solution.estimate.kernel
    height, width = closed.shape[1:]
    missing = (0, -width % GRID, 0, -height % GRID)
    images = [F.pad(image[None], missing, mode="replicate") for image in (smooth, detail)]
    with torch.autocast(closed.device.type, dtype, dtype != torch.float32):
        correction, error = net(*images, conditions[None])
    correction = correction[0, :, :height, :width].float()
    found = findings_of(observation)
    consistency = band_consistency(lr, noise, found)[None, None]
    consistency = F.interpolate(consistency, scale_factor=scale, mode="bilinear")
    correction = solution.guided * consistency[0] * correction

    def supported() -> float:
        coarse, change = (decimate(image, kernel, scale) for image in (closed, correction.detach()))
        return correction_share(coarse, coarse + torch.tensordot(to_bands, change, dims=1), lr)

    share = found.once("share of the correction", supported)
    sr = finish(solution, torch.tensordot(share * to_bands, correction, dims=1).add_(closed))
    return Refined(sr, solution.pair.lr_unit * error[0, 0, :height, :width], share)

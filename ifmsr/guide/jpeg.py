"""JPEG in an RGB guide: its traces, and the repair of what it did to the colours.

*Traces.* JPEG cuts the brightness Y (ITU-R BT.601) into blocks of 8 x 8 pixels and rounds the coefficients of their
discrete cosine transform (DCT), each to its own step q. In the decoded picture they still lie near multiples of q. A
coefficient rounded to n q, n != 0, has an error of variance q^2 / 12; one rounded to 0 is lost whole, and how large
it was follows from a Laplace distribution that has as many values within q / 2.

*Colours.* The two colour differences are stored at half the resolution, as a rule, and rounded more coarsely. Where
they follow the brightness in a small window, its detail says what theirs was:

    C' = C + s a (Y - Y'),    a the local slope of C over Y',    Y' = Y at half the resolution,

with s from 1, if C lacks all the detail that a (Y - Y') predicts, down to 0, if it has it. Brightness and colour
differences are then denoised together, as if the latter had more noise (`COLOURS`), so that they follow the former.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.guide.noise import denoise
from ifmsr.guide.windows import windowed

SIDE = 8  # of blocks
TO_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
LEVELS = 255
STEPS = torch.arange(
    2.0, 65.0
)  # that are looked for; 1 cannot be told from the decoded picture's own rounding
ROUNDING = 0.35  # standard deviation of coefficients by rounding on decoding
AGREEMENT = 0.7  # of the agreement with multiples of q that is left after this rounding
CERTAIN = 5.0  # standard deviations between an agreement and chance
FEWEST = 16  # coefficients that are not rounded to 0
BANDS = 12  # of the 63, with a step found, make a picture a JPEG
MOST, FEW = 4096, 256  # blocks that are looked at, and while the blocks' place is unknown
TELLING = (slice(1, 4), slice(1, 4))  # bands whose steps are neither 1 nor too large at any usual quality

TINY = 1e-12
RIDGE = 2 / LEVELS  # brightness that varies less says nothing about colours
COLOURS = 3.0  # noise of the colour differences, times that of the brightness
STRENGTH = 1.4  # noise that is removed, times the estimated error of the brightness


def jpeg_error(rgb: Tensor) -> float:
    """Standard deviation of what JPEG did to the brightness of a picture (3, H, W) in [0, 1]; 0 without its traces."""
    brightness = LEVELS * to_ycc(rgb)[0]
    if min(brightness.shape) < 2 * SIDE:
        return 0.0
    down, right = _place(brightness)
    steps, errors = _rounding(_coefficients(brightness[down:, right:], MOST))
    if (steps > 0).sum() < BANDS:
        return 0.0
    return float(errors.sum() / SIDE**2) ** 0.5 / LEVELS


def _place(brightness: Tensor) -> tuple[int, int]:
    """Row and column at which the first whole block begins: not (0, 0) in a picture that was cut out of another."""

    def found(place: tuple[int, int]) -> int:
        coefficients = _coefficients(brightness[place[0] :, place[1] :], FEW)
        return int((_rounding(coefficients[(..., *TELLING)])[0] > 0).sum())

    return max(((down, right) for down in range(SIDE) for right in range(SIDE)), key=found)


def _coefficients(brightness: Tensor, most: int) -> Tensor:
    """(n, SIDE, SIDE) DCT coefficients of at most so many blocks of an image (H, W)."""
    blocks = brightness.unfold(0, SIDE, SIDE).unfold(1, SIDE, SIDE).flatten(0, 1)
    some = blocks[:: math.ceil(len(blocks) / most)]
    place, frequency = torch.arange(SIDE) + 0.5, torch.arange(SIDE)[:, None]
    cosines = torch.cos(math.pi / SIDE * frequency * place) * (2 / SIDE) ** 0.5
    cosines[0] /= 2**0.5
    return cosines @ some @ cosines.T


def _rounding(coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """Steps and mean squared errors (k,) of coefficients (n, ...) of k bands; 0 where no step is found."""
    bands = coefficients.abs().flatten(1).T
    steps = torch.stack([_step(band) for band in bands])
    errors = [_squared_error(band, float(step)) for band, step in zip(bands, steps, strict=True)]
    return steps, torch.tensor(errors)


def _step(size: Tensor) -> Tensor:
    """The largest step near whose multiples lie the sizes (n,) of a band's coefficients, or 0."""
    kept = size[:, None] > STEPS / 2
    count = kept.sum(0)
    agreement = (torch.cos(2 * math.pi * size[:, None] / STEPS) * kept).sum(0) / count.clamp_min(1)
    left = torch.exp(-2 * (math.pi * ROUNDING / STEPS) ** 2)
    certain = (count >= FEWEST) & (agreement > AGREEMENT * left) & (agreement * count.sqrt() > CERTAIN)
    return (STEPS * certain).max()


def _squared_error(size: Tensor, step: float) -> float:
    """Mean squared error of a band's coefficients of these sizes (n,) that were rounded to multiples of `step`."""
    if not step:
        return 0.0
    rounded, lost = step**2 / 12, float((size < step / 2).float().mean())
    if not 0 < lost < 1:
        return rounded
    reach = -math.log(1 - lost)  # half a step, in units of the Laplace distribution's mean size
    within = math.exp(-reach)
    mean = (2 - within * (reach**2 + 2 * reach + 2)) / (1 - within) * (step / 2 / reach) ** 2
    return lost * mean + (1 - lost) * rounded


def without_artefacts(rgb: Tensor, error: float, missing: float) -> Tensor:
    """A picture (3, H, W) in [0, 1] after JPEG had changed its brightness by `error`, repaired.

    Its colours get back a share `missing` of the predicted detail.
    """
    brightness, *differences = to_ycc(rgb)
    detailed = [colour + missing * predicted_detail(colour, brightness) for colour in differences]
    noise = torch.tensor([1, COLOURS, COLOURS]).view(3, 1, 1)
    clean = noise * denoise(torch.stack([brightness, *detailed]) / noise, STRENGTH * error)
    return torch.tensordot(torch.linalg.inv(TO_YCC), clean, 1)


def missing_detail(rgb: Tensor) -> float:
    """The share s of the detail that the colours (3, H, W) lack, between 0 and 1."""
    brightness, *differences = to_ycc(rgb)
    predicted = torch.stack([predicted_detail(colour, brightness) for colour in differences])
    present = torch.stack([colour - halved(colour) for colour in differences])
    shared = (predicted * present).sum() / predicted.square().sum().clamp_min(TINY)
    return 1 - float(shared.clamp(0, 1))


def predicted_detail(colour: Tensor, brightness: Tensor) -> Tensor:
    """The detail of a colour difference (H, W) by its relation to the brightness: a (Y - Y')."""
    coarse = halved(brightness)
    first, second, square, product = windowed(torch.stack([coarse, colour, coarse * coarse, coarse * colour]))
    return (product - first * second) / (square - first**2 + RIDGE**2) * (brightness - coarse)


def to_ycc(rgb: Tensor) -> Tensor:
    """(3, H, W) RGB to brightness in [0, 1] and two colour differences in [-0.5, 0.5] (ITU-R BT.601)."""
    return torch.tensordot(TO_YCC, rgb, 1)


def halved(image: Tensor) -> Tensor:
    """(H, W) at half the resolution, on the same grid."""
    coarse = F.avg_pool2d(image[None, None], 2, ceil_mode=True, count_include_pad=False)
    fine = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    return fine[0, 0, : image.shape[0], : image.shape[1]]

"""Where an RGB guide lies on a cube: shift, rotation and scale, found from the two images and undone by re-sampling.

Coordinates are (row, column), pixel centres are whole numbers. The full grid of the cube has `scale` x `scale` pixels
per LR pixel, so that LR pixel (i, j) is the block of rows scale i ... scale i + scale - 1. A registration's matrix maps
a pixel of the guide to the full grid of the cube; it is the identity for a registered pair.

Shifts that the estimated sampling kernel can take are left to it: `estimate_degradation` finds them more precisely, and
nothing has to be re-sampled.

What a method makes of the re-sampled guide is brought back to the guide's own pixels (`OnCubeGrid.back`).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.kernels import kernel_side
from ifmsr.errors import InputError
from ifmsr.guide.coarse_alignment import search, translation
from ifmsr.guide.fine_alignment import Fit, Level, Matrix, build_level, enough, explained, refine

Verdict = Literal["in place", "warped", "unrelated", "no detail", "too small"]

COMPONENTS = 6  # spectral ones of the LR cube, at most
GROUPS = 3  # of bands, whose means' roots stand for a tone curve
FINE_CELLS, COARSE_CELLS = 160, 48  # about as many per side
LEAST_DETAIL = 1e-4  # of an image's root mean square
LINEAR = 0.9  # share explained from which the guide is taken to be linear
BETTER = 1.1  # ratio of what is left unexplained, for a tone curve to be assumed
GOOD = 0.7  # share explained from which no search is made
LEAST_EXPLAINED = 0.3  # share from which images in place are taken to show the same
LEAST_OF_WARP = 0.65  # likewise for images that have to be warped
LEAST_LEAD = 2.0  # likewise, relative to what the guide explains when moved elsewhere
LARGEST_STRETCH = 1.05  # of a warp: one direction relative to another
CERTAIN = 8.0  # standard deviations
TOLERANCE = 0.25, 0.06  # pixels, cells by which corners may move relative to the middle in a registered pair
BLUR_REACH = 13  # pixels of the kernel's side that a blur takes; the rest is room for a shift
EDGE = 1e-3  # pixels that rounding may add
LEAST_SHOWN = 0.999  # of a re-sampled mask
MOVES = ((0, 6), (0, -6), (6, 0), (-6, 0), (9, 9), (9, -9), (-9, 9), (-9, -9))  # cells

SENTENCES: dict[Verdict, str] = {
    "in place": "The guide lies in place; the cube explains {after:.0%} of its detail",
    "warped": "The guide is {described}; re-sampled, the cube explains {after:.0%} of its detail, before {before:.0%}",
    "unrelated": "The guide cannot be registered with the cube, which explains {after:.0%} of its detail at best",
    "no detail": "The guide cannot be registered: one of the images has no detail",
    "too small": "The images are too small to tell whether the guide lies in place",
}


@dataclass(frozen=True)
class Registration:
    """How an RGB guide lies on a cube; `str` says it in a sentence.

    Attributes
    ----------
    matrix : (3, 3) float64, affine, from a pixel of the guide to the cube's full grid, see the module's docstring; the
        identity unless the verdict is "warped".
    size : (H, W) of the guide.
    before, after : share of the guide's detail that the cube explains by a linear map, in [0, 1]: as the images are,
        and with the best warp (in place: the best small shift). Unrelated images have less than 0.1 in place.
    verdict : "in place"; "warped": the guide has to be re-sampled; "unrelated": it cannot be registered; "no detail",
        "too small": no decision is possible.
    """

    matrix: Matrix
    size: tuple[int, int]
    before: float
    after: float
    verdict: Verdict

    @property
    def trusted(self) -> bool:
        """Whether the images were found to show the same place."""
        return self.verdict in ("in place", "warped")

    @property
    def needed(self) -> bool:
        """Whether the guide has to be re-sampled."""
        return self.verdict == "warped"

    @property
    def shift(self) -> tuple[float, float]:
        """How far (down, right) the guide shows its middle from where the cube has it, in pixels."""
        middle = np.array([(side - 1) / 2 for side in self.size])
        down, right = middle - (self.matrix @ [*middle, 1])[:2]
        return float(down), float(right)

    @property
    def magnification(self) -> float:
        """Size of objects in the guide, relative to their size on the cube's full grid."""
        return float(abs(np.linalg.det(self.matrix[:2, :2])) ** -0.5)

    @property
    def rotation(self) -> float:
        """Degrees by which the guide is turned relative to the cube, counter-clockwise as displayed."""
        (a, b), (c, d) = self.matrix[:2, :2]
        return float(np.degrees(np.arctan2(b - c, a + d)))

    @property
    def described(self) -> str:
        """The warp in words."""
        down, right = self.shift
        return (
            f"shifted by {down:+.1f} px down and {right:+.1f} px right, turned by {self.rotation:+.2f} degrees and "
            f"{100 * (self.magnification - 1):+.2f} % larger"
        )

    def __str__(self) -> str:
        return SENTENCES[self.verdict].format(described=self.described, before=self.before, after=self.after)


def register(
    lr: Tensor,
    rgb: Tensor,
    scale: int,
    lr_valid: Tensor | None = None,
    rgb_valid: Tensor | None = None,
) -> Registration:
    """Find how the RGB guide lies on the cube; see the module's docstring.

    Shifts of any size that leave a quarter of the cube, rotations up to 15 degrees and scales of 0.8 to 1.25 are found,
    whatever the guide's tone curve and the cube's bands. A guide that was linearised is registered more precisely.

    Parameters
    ----------
    lr : (B, h, w) the cube; finite, of any unit.
    rgb : (3, H, W) the guide; likewise, H and W about `scale` times h and w.
    lr_valid, rgb_valid : (h, w) and (H, W) bool, the pixels that count; all by default.

    Raises
    ------
    InputError : the images have no such shapes.
    """
    if lr.ndim != 3 or rgb.ndim != 3 or len(rgb) != 3:
        raise InputError(
            "lr and rgb",
            f"their shapes are {tuple(lr.shape)} and {tuple(rgb.shape)}",
            "Give a cube (B, h, w) and an RGB image (3, H, W)",
        )
    masks = [
        torch.ones(image.shape[1:]) if mask is None else mask.float()
        for image, mask in ((lr, lr_valid), (rgb, rgb_valid))
    ]
    lr, rgb = (image.float() / root_mean_square(image.float()) for image in (lr, rgb))
    plain, curved = (
        Levels(features, masks[0], rgb, masks[1], scale) for features in spectral_features(lr, masks[0])
    )
    identity, size = np.eye(3), (rgb.shape[1], rgb.shape[2])
    if not enough(plain.fine, plain.fine.usable):
        return Registration(identity, size, 0.0, 0.0, "too small")
    if min(detail(plain.fine.features), detail(plain.fine.guide[:3])) < LEAST_DETAIL:
        return Registration(identity, size, 0.0, 0.0, "no detail")
    fit, level = best_fit(plain, curved)
    before, matrix = explained(level, identity), simplified(fit, scale, level, size)
    in_place = np.array_equal(matrix, identity)
    if not (related(level, fit) if in_place else warp_is_sure(level, fit)):
        return Registration(identity, size, before, fit.explained, "unrelated")
    verdict: Verdict = "in place" if in_place else "warped"
    return Registration(np.linalg.inv(matrix), size, before, fit.explained, verdict)


def related(level: Level, fit: Fit) -> bool:
    """Whether two images in place show the same."""
    return fit.explained >= GOOD or (
        fit.explained > LEAST_EXPLAINED and fit.explained > LEAST_LEAD * elsewhere(level, fit)
    )


def warp_is_sure(level: Level, fit: Fit) -> bool:
    """Whether a warp brings together what belongs together: edges that match by chance are few and need to be bent."""
    longest, shortest = np.linalg.svd(fit.matrix[:2, :2], compute_uv=False)
    return bool(
        fit.explained >= LEAST_OF_WARP
        and longest < LARGEST_STRETCH * shortest
        and fit.explained > LEAST_LEAD * elsewhere(level, fit)
    )


def elsewhere(level: Level, fit: Fit) -> float:
    """The most that the cube explains of a guide that is moved by some cells."""
    shifts = [(down * level.cell, right * level.cell) for down, right in MOVES]
    return max(explained(level, fit.matrix @ translation(*shift)) for shift in shifts)


class Levels:
    """One pair of images at two resolutions, each made when it is asked for."""

    def __init__(self, features: Tensor, lr_valid: Tensor, rgb: Tensor, rgb_valid: Tensor, scale: int):
        self._images = features, lr_valid, rgb, rgb_valid, scale
        self._side = min(features.shape[1:])

    def _of(self, cells: int) -> Level:
        return build_level(*self._images, max(1, round(self._side / cells)))

    @cached_property
    def fine(self) -> Level:
        """About `FINE_CELLS` cells per side."""
        return self._of(FINE_CELLS)

    @cached_property
    def coarse(self) -> Level:
        """About `COARSE_CELLS` cells per side."""
        return self._of(COARSE_CELLS)


def best_fit(plain: Levels, curved: Levels) -> tuple[Fit, Level]:
    """The best warp from the cube's full grid to the guide, and the images that it was fitted to.

    A search is made if there is no good one near the identity. The features for a tone curve, `curved`, are less
    precise where there is none.
    """
    fit = refine(plain.fine, np.eye(3))
    if fit.explained >= LINEAR:
        return fit, plain.fine
    fit_curved = refine(curved.fine, fit.matrix)
    if fit_curved.explained < GOOD:
        found = [refine(curved.coarse, start) for start in search(curved.coarse)]
        start = max(found, key=lambda candidate: candidate.explained)
        far = refine(curved.fine, start.matrix)
        fit_curved = max(fit_curved, far, key=lambda candidate: candidate.explained)
    fit = refine(plain.fine, fit_curved.matrix)
    if 1 - fit.explained < BETTER * (1 - fit_curved.explained):
        return fit, plain.fine
    return fit_curved, curved.fine


def root_mean_square(image: Tensor) -> float:
    """1 for a black image."""
    return float(image.square().mean().sqrt()) or 1.0


def detail(image: Tensor) -> float:
    """Root mean square of a high-pass filtered image's strongest channel."""
    return float(image.square().mean((1, 2)).amax().sqrt())


def spectral_features(lr: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The leading spectral components (R, h, w), and these with the roots of three broad bands: tone curves bend."""
    pixels = lr[:, valid > 0].double()
    _, axes = torch.linalg.eigh(torch.cov(pixels, correction=0).view(len(lr), len(lr)))
    plain = torch.tensordot(axes[:, -COMPONENTS:].T.float(), lr, dims=1)
    groups = [group.mean(0) for group in torch.tensor_split(lr, min(GROUPS, len(lr)))]
    return plain, torch.cat([plain, torch.stack(groups).clamp_min(0).sqrt()])


def simplified(fit: Fit, scale: int, level: Level, size: tuple[int, int]) -> Matrix:
    """A fitted warp without what the evidence does not ask for: a translation by whole pixels, or the identity."""
    middle, inner = level.middle.numpy(), [(side - 1) / 2 for side in size]
    linear = fit.matrix[:2, :2] - np.eye(2)
    shift = (fit.matrix @ [*middle, 1])[:2] - middle
    least = max(TOLERANCE[0], TOLERANCE[1] * level.cell)
    turned = False
    for axis in (0, 1):
        for y, x in ((inner[0], inner[1]), (inner[0], -inner[1])):
            moved = abs(linear[axis] @ [y, x])
            weights = np.zeros(6)
            weights[3 * axis + 1 : 3 * axis + 3] = y, x
            deviation = float(np.sqrt(weights @ fit.covariance @ weights))
            turned |= bool(moved > max(least, CERTAIN * deviation))
    if turned:
        return fit.matrix
    if np.abs(shift).max() <= (kernel_side(scale) - BLUR_REACH) / 2:
        return np.eye(3)
    return translation(*np.round(shift))


class OnCubeGrid(NamedTuple):
    """A pair whose guide was re-sampled to the cube's full grid, on the part of the grid that the guide covers.

    Attributes
    ----------
    lr : (B, h', w') the cube's pixels there; beyond the cube its border is continued.
    rgb : (3, scale h', scale w') the guide; likewise.
    lr_valid, rgb_valid : (h', w') and (scale h', scale w') bool, what was measured.
    place : (3, 3) from a pixel of the guide to a pixel of the `rgb` here.
    size : (H, W) of the guide.
    """

    lr: Tensor
    rgb: Tensor
    lr_valid: Tensor
    rgb_valid: Tensor
    place: Matrix
    size: tuple[int, int]

    def back(self, image: Tensor) -> Tensor:
        """An image (C, scale h', scale w') at the guide's pixels, (C, H, W)."""
        return warp(image, self.place, self.size)[0]

    def measured(self) -> Tensor:
        """(H, W) bool: the pixels of the guide that lie on valid pixels of the cube."""
        scale = self.rgb.shape[1] // self.lr.shape[1]
        fine = F.interpolate(self.lr_valid[None, None].float(), scale_factor=scale)[0]
        return warp(fine, self.place, self.size, "nearest")[0][0] > 0.5


def onto_cube_grid(
    lr: Tensor,
    rgb: Tensor,
    scale: int,
    registration: Registration,
    lr_valid: Tensor | None = None,
    rgb_valid: Tensor | None = None,
) -> OnCubeGrid:
    """Re-sample the guide by its registration; arguments as in `register`."""
    _, h, w = lr.shape
    bottom, right = (side - 0.5 for side in registration.size)
    corners = np.array([[-0.5, -0.5, bottom, bottom], [-0.5, right, -0.5, right], [1, 1, 1, 1]])
    reached = ((registration.matrix @ corners)[:2] + 0.5) / scale  # in LR pixels, from the outer border
    first = np.floor(reached.min(axis=1) + EDGE).astype(int)
    last = np.ceil(reached.max(axis=1) - EDGE).astype(int)
    rows, columns = (torch.arange(first[axis], last[axis]) for axis in (0, 1))
    valid = torch.ones(h, w, dtype=torch.bool) if lr_valid is None else lr_valid
    inside = ((rows >= 0) & (rows < h))[:, None] & ((columns >= 0) & (columns < w))
    rows, columns = rows.clamp(0, h - 1), columns.clamp(0, w - 1)
    place = translation(*(-scale * first)) @ registration.matrix
    fine, seen = warp(rgb, np.linalg.inv(place), (scale * len(rows), scale * len(columns)))
    if rgb_valid is not None:
        shown = warp(rgb_valid[None].float(), np.linalg.inv(place), (seen.shape[0], seen.shape[1]))[0][0]
        seen = seen & (shown > LEAST_SHOWN)
    low, high = float(rgb.min()), float(rgb.max())
    return OnCubeGrid(
        lr[:, rows][:, :, columns],
        fine.clamp(low, high),
        inside & valid[rows][:, columns],
        seen,
        place,
        registration.size,
    )


def warp(
    image: Tensor, matrix: Matrix, size: tuple[int, int], mode: str = "bicubic"
) -> tuple[Tensor, Tensor]:
    """An image (C, h, w) re-sampled: pixel p of the result is read at `matrix` p.

    Returns
    -------
    warped : (C, H, W) of that `size`, the border continued where it leaves the image.
    valid : (H, W) bool, where it does not.
    """
    rows, columns = image.shape[1:]
    down, right = (torch.arange(length, dtype=torch.double) for length in size)
    m = torch.from_numpy(matrix)
    y = m[0, 0] * down[:, None] + (m[0, 1] * right + m[0, 2])
    x = m[1, 0] * down[:, None] + (m[1, 1] * right + m[1, 2])
    grid = torch.stack([(2 * x + 1) / columns - 1, (2 * y + 1) / rows - 1], dim=2).float()
    warped = F.grid_sample(image[None], grid[None], mode, "border", align_corners=False)[0]
    edge = 0.5 + EDGE
    valid = (y > -edge) & (y < rows - 1 + edge) & (x > -edge) & (x < columns - 1 + edge)
    return warped, valid

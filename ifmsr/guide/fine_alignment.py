"""Gauss-Newton refinement of an affine warp at the cube's resolution.

u(p) are spectral features of the LR cube at the cell p, a pixel or a block of pixels, and g(p) the RGB guide blurred to
the cells' size and read at the warped position B p. Both are high-pass filtered, so that neither illumination nor
offsets count. B minimises, with a 3 x R matrix M and second derivatives of g that adapt the blur,

    sum over p of |g(B p) + c1 g_yy(B p) + c2 g_xx(B p) + c3 g_xy(B p) - M u(p)|^2 / (residual variance per channel)

M is eliminated (variable projection): residuals and Jacobian are projected onto the complement of u. Without the second
derivatives an unknown point spread function moves the corners of some images by a pixel.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ifmsr.degradation.smoothing import gaussian_taps, smoothed

Matrix = NDArray[np.floating]

BLUR = 0.5  # cells: standard deviation of the Gaussian that brings the guide to the cube's resolution
HIGH_PASS = 3.0  # cells: standard deviation of the local mean that is subtracted
MARGIN = 1.0  # cells from the guide's border that are left out
ITERATIONS = 8
CONVERGED = 0.003  # cells
LEAST_VALID = 0.999  # of a mask's local mean
LEAST_ENERGY = 1e-12
CELLS_PER_UNKNOWN = 8
WITHOUT_DERIVATIVES = [0, 1, 2, -1]  # maps of `Level.guide`
BLOCKS = 6  # per axis: groups of cells whose residuals may be correlated


class Level(NamedTuple):
    """A pair of images at one cell size.

    Attributes
    ----------
    features : (R, m, n) high-pass filtered features of the LR cube.
    usable : (m, n) the cells that count.
    guide : (19, H / pitch, W / pitch) high-pass filtered guide g, g_y, g_x, g_yy, g_xx, g_xy (3 channels each,
        derivatives per pixel of the full grid), and its mask.
    cell, pitch : pixels of the full grid per cell, and per sample of `guide`.
    """

    features: Tensor
    usable: Tensor
    guide: Tensor
    cell: int
    pitch: int

    @property
    def middle(self) -> Tensor:
        """(2,) the middle of the cells, (row, column) on the full grid."""
        return torch.tensor([(side * self.cell - 1) / 2 for side in self.usable.shape], dtype=torch.double)

    def centres(self, beyond: int = 0) -> Tensor:
        """(2, m, n) the cells' centres, (row, column) on the full grid, and of so many cells beyond each border."""
        rows, columns = (
            (torch.arange(-beyond, side + beyond, dtype=torch.double) + 0.5) * self.cell - 0.5
            for side in self.usable.shape
        )
        return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def build_level(
    features: Tensor, lr_valid: Tensor, rgb: Tensor, rgb_valid: Tensor, scale: int, pool: int
) -> Level:
    """The level whose cells are `pool` x `pool` LR pixels.

    Takes features (R, h, w), RGB guide (3, H, W) and their masks (h, w), (H, W), 1 where valid.
    """
    cell = scale * pool
    pitch = max(1, cell // 2)
    coarse, usable = filtered(pooled(features, pool), pooled(lr_valid[None], pool), 0.0, HIGH_PASS)
    per_sample = cell / pitch
    fine, seen = filtered(
        pooled(rgb, pitch), pooled(rgb_valid[None], pitch), BLUR * per_sample, HIGH_PASS * per_sample
    )
    down, right = derivatives(fine, pitch)
    (twice_down, _), (mixed, twice_right) = derivatives(down, pitch), derivatives(right, pitch)
    maps = torch.cat([fine, down, right, twice_down, twice_right, mixed, seen[None].float()])
    return Level(coarse, usable, maps, cell, pitch)


def pooled(image: Tensor, side: int) -> Tensor:
    """Means of side x side blocks, without incomplete ones."""
    return F.avg_pool2d(image[None], side)[0] if side > 1 else image


def filtered(image: Tensor, mask: Tensor, blur: float, high_pass: float) -> tuple[Tensor, Tensor]:
    """Band-pass filtered image (C, m, n), and where its mask (1, m, n) is valid nearby."""
    narrow = blurred(image, mask, blur) if blur else image
    valid = (smoothed(mask, gaussian_taps(max(blur, 0.5), mask.device)) > LEAST_VALID)[0]
    return (narrow - blurred(image, mask, high_pass)) * valid, valid


def blurred(image: Tensor, mask: Tensor, sigma: float) -> Tensor:
    """Gaussian mean over the valid pixels."""
    taps = gaussian_taps(sigma, image.device)
    if bool(mask.all()):
        return smoothed(image, taps)
    return smoothed(image * mask, taps) / smoothed(mask, taps).clamp_min(1e-6)


def derivatives(image: Tensor, pitch: int) -> tuple[Tensor, Tensor]:
    """Central differences down and right, per pixel of the full grid."""
    padded = F.pad(image[None], (1, 1, 1, 1), mode="replicate")[0]
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / (2 * pitch)
    right = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / (2 * pitch)
    return down, right


def read(guide: Tensor, level: Level, matrix: Matrix, beyond: int = 0) -> tuple[Tensor, Tensor]:
    """Maps of the guide (C, ., .) at the cells' positions by `matrix` (cube to guide): (C, m, n), and what is inside.

    The last map is the guide's mask. Of `beyond` see `Level.centres`.
    """
    position = torch.tensordot(torch.from_numpy(matrix[:2, :2]), level.centres(beyond), dims=1)
    y, x = (position + torch.from_numpy(matrix[:2, 2])[:, None, None] + 0.5) / level.pitch
    rows, columns = guide.shape[1:]
    grid = torch.stack([2 * x / columns - 1, 2 * y / rows - 1], dim=2).float()[None]
    values = F.grid_sample(guide[None], grid, "bicubic", "zeros", align_corners=False)[0]
    margin = MARGIN * level.cell / level.pitch
    inside = (y > margin) & (y < rows - margin) & (x > margin) & (x < columns - margin)
    return values, inside & (values[-1] > LEAST_VALID)


class Fit(NamedTuple):
    """A warp, cube to guide, and how well it fits.

    Attributes
    ----------
    matrix : (3, 3) of (row, column, 1).
    explained : share of the guide's high-pass energy that the cube explains, mean over channels.
    covariance : (6, 6) of the displacement a + b y + c x, (y, x) from the middle in pixels; down, then right.
    """

    matrix: Matrix
    explained: float
    covariance: Matrix


NO_FIT = Fit(np.eye(3), 0.0, np.full((6, 6), np.inf))


class Linearised(NamedTuple):
    """The least-squares problem at one warp: projected residual (3, n) and Jacobian (9, 3, n), and the cells (m, n)."""

    residual: Tensor
    jacobian: Tensor
    valid: Tensor


def linearise(level: Level, matrix: Matrix) -> Linearised | None:
    """The problem at `matrix`, or None if too few cells overlap."""
    values, inside = read(level.guide, level, matrix)
    valid = inside & level.usable
    if not enough(level, valid):
        return None
    guide, down, right, *second = values[:-1, valid].double().unflatten(0, (6, 3))
    y, x = (level.centres() - level.middle[:, None, None])[:, valid]
    columns = [guide, down, y * down, x * down, right, y * right, x * right, *second]
    residual, *jacobian = unexplained(level, valid, torch.cat(columns)).unflatten(0, (10, 3))
    return Linearised(residual, torch.stack(jacobian), valid)


def enough(level: Level, valid: Tensor) -> bool:
    """Whether there are enough valid cells (m, n) for a warp."""
    return int(valid.sum()) >= CELLS_PER_UNKNOWN * (len(level.features) + 10)


def unexplained(level: Level, valid: Tensor, rows: Tensor) -> Tensor:
    """Residual of `rows` (K, cells), float64, regressed on the features of the valid cells and a constant."""
    features = level.features[:, valid].double()
    features = features - features.mean(1, keepdim=True)
    rows = rows - rows.mean(1, keepdim=True)
    gram = features @ features.T
    gram.diagonal().add_(1e-9 * gram.diagonal().mean() + LEAST_ENERGY)
    return rows - torch.linalg.solve(gram, features @ rows.T).T @ features


def refine(level: Level, start: Matrix) -> Fit:
    """The affine warp that fits best, near `start`; NO_FIT if the images cease to overlap."""
    matrix, problem = start.copy(), linearise(level, start)
    for _ in range(ITERATIONS):
        if problem is None:
            return NO_FIT
        step, _, _ = solve(problem)
        displacement = step[:6].view(2, 3).numpy()  # rows: down, right; columns: constant, per y, per x
        middle = level.middle.numpy()
        matrix[:2, :2] += displacement[:, 1:]
        matrix[:2, 2] += displacement[:, 0] - displacement[:, 1:] @ middle
        problem = linearise(level, matrix)
        reach = np.abs(displacement) @ np.array([1, *middle])
        if reach.max() < CONVERGED * level.cell:
            break
    if problem is None or not np.isfinite(matrix).all():
        return NO_FIT
    _, left, inverse = solve(problem)
    return Fit(matrix, explained(level, matrix), covariance(problem, left, inverse, level))


def explained(level: Level, matrix: Matrix) -> float:
    """The share of the guide's high-pass energy that the cube explains, mean over channels; 0 without overlap."""
    values, inside = read(level.guide[WITHOUT_DERIVATIVES], level, matrix)
    valid = inside & level.usable
    if not enough(level, valid):
        return 0.0
    guide = values[:3, valid].double()
    guide = guide - guide.mean(1, keepdim=True)
    shares = unexplained(level, valid, guide).square().sum(1) / guide.square().sum(1).clamp_min(LEAST_ENERGY)
    return float((1 - shares).mean().clamp_min(0))


def solve(problem: Linearised) -> tuple[Tensor, Tensor, Tensor]:
    """The Gauss-Newton step (9,), the residual after it (3, n), and the inverse Gram matrix (9, 9)."""
    residual, jacobian, _ = problem
    left, columns = residual, jacobian.flatten(1)
    for _ in range(2):  # the second time with the channels' own residual variances
        weighted = (jacobian / channel_variance(left)).flatten(1)  # (9, 3 n)
        gram, target = weighted @ columns.T, weighted @ residual.flatten()
        unit = gram.diagonal().sqrt().clamp_min(LEAST_ENERGY)
        scaled = gram / unit / unit[:, None] + 1e-6 * torch.eye(len(gram), dtype=torch.double)
        inverse = torch.linalg.inv(scaled) / unit / unit[:, None]
        step = -inverse @ target
        left = residual + (step @ columns).view_as(residual)
    return step, left, inverse


def channel_variance(left: Tensor) -> Tensor:
    """(3, 1) of residuals (3, n)."""
    return left.square().mean(1, keepdim=True).clamp_min(LEAST_ENERGY)


def covariance(problem: Linearised, left: Tensor, inverse: Tensor, level: Level) -> Matrix:
    """(6, 6) sandwich covariance of the warp's parameters, residuals being correlated within blocks of cells."""
    scores = (problem.jacobian * (left / channel_variance(left))).sum(1)  # (9, n)
    rows, columns = problem.valid.shape
    block = (torch.arange(rows) * BLOCKS // rows)[:, None] * BLOCKS + torch.arange(
        columns
    ) * BLOCKS // columns
    sums = scores.new_zeros(len(scores), BLOCKS**2).index_add_(1, block[problem.valid], scores)
    return (inverse @ sums @ sums.T @ inverse)[:6, :6].numpy()

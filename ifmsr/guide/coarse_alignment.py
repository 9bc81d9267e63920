"""Search for an unknown shift, rotation and scale between a cube and its RGB guide.

For a grid of rotations and scales the guide is warped to the cube's cells, and for all shifts at once (by Fourier
transforms) it is found how much of the guide's high-pass energy the cube's features explain where the two overlap.
"""

import numpy as np
import torch
from torch import Tensor

from ifmsr.guide.fine_alignment import LEAST_ENERGY, WITHOUT_DERIVATIVES, Level, Matrix, read

LARGEST_ANGLE = 15.0  # degrees
LARGEST_SCALE = 1.25
STEP = 1.0  # cells: displacement at the border half-way between two rotations or scales
LEAST_OVERLAP = 0.25  # of the cube's cells
CANDIDATES = 3


def search(level: Level) -> list[Matrix]:
    """Warps (cube to guide) that are worth refining, the best first."""
    spectra = whitened(level)
    found = []
    for warp in warps(level):
        score, shift = best_shift(level, spectra, warp)
        found.append((score, warp @ translation(*shift)))
    found.sort(key=lambda pair: -pair[0])
    return [matrix for _, matrix in found[:CANDIDATES]]


def warps(level: Level) -> list[Matrix]:
    """Rotations and scalings about the middle, (3, 3) each."""
    radius = min(level.usable.shape) / 2
    step = 2 * STEP / radius
    turns = round(np.deg2rad(LARGEST_ANGLE) / step)
    sizes = round(np.log(LARGEST_SCALE) / step)
    to_middle = translation(*level.middle.tolist())
    grid = []
    for turn in range(-turns, turns + 1):
        for size in range(-sizes, sizes + 1):
            sine, cosine = np.sin(turn * step), np.cos(turn * step)
            linear = np.exp(size * step) * np.array([[cosine, -sine, 0], [sine, cosine, 0]])
            grid.append(to_middle @ np.vstack([linear, [0, 0, 1]]) @ np.linalg.inv(to_middle))
    return grid


def translation(down: float, right: float) -> Matrix:
    """(3, 3)."""
    return np.array([[1, 0, down], [0, 1, right], [0, 0, 1]], dtype=np.float64)


def whitened(level: Level) -> Tensor:
    """(R, m, n) uncorrelated features of energy 1, 0 where a cell is not usable."""
    pixels = (level.features * level.usable).flatten(1).double()
    values, axes = torch.linalg.eigh(pixels @ pixels.T)
    kept = values > 1e-6 * values.max()
    white = (axes[:, kept] / values[kept].sqrt()).T @ pixels
    return white.view(-1, *level.usable.shape).float()


def best_shift(level: Level, spectra: Tensor, warp: Matrix) -> tuple[float, tuple[float, float]]:
    """The best score of one warp, and the shift (down, right) in pixels to go with it."""
    beyond = min(level.usable.shape) // 2
    maps, inside = read(level.guide[WITHOUT_DERIVATIVES], level, warp, beyond)
    guide = maps[:3] * inside
    size = tuple(guide.shape[1:])
    seen = torch.cat([guide, guide.square().sum(0)[None], inside[None].float()])
    in_cube = torch.cat([spectra, level.usable[None].float(), spectra.square().mean(0)[None]])
    guide_spectrum, cube_spectrum = torch.fft.rfft2(seen), torch.fft.rfft2(in_cube, s=size).conj()

    def correlation(a: Tensor, b: Tensor) -> Tensor:
        return torch.fft.irfft2(a * b, s=size)[..., : 2 * beyond + 1, : 2 * beyond + 1]

    products = correlation(cube_spectrum[:-2, None], guide_spectrum[:3])  # (R, 3, shifts, shifts)
    guide_energy = correlation(cube_spectrum[-2], guide_spectrum[3])
    overlap = correlation(cube_spectrum[-2], guide_spectrum[4]) / level.usable.sum().clamp_min(1)
    cube_energy = correlation(cube_spectrum[-1], guide_spectrum[4])
    explained = products.square().sum((0, 1)) / (guide_energy * cube_energy).clamp_min(LEAST_ENERGY)
    score = torch.where(overlap >= LEAST_OVERLAP, explained * overlap, 0.0)
    best = int(score.argmax())
    down, right = divmod(best, score.shape[1])
    return float(score.flatten()[best]), ((down - beyond) * level.cell, (right - beyond) * level.cell)

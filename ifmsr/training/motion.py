"""Subjects that move between the bands.

A camera that takes its bands one after the other sees whoever moves in another place in every band: the man of CAVE's
photo_and_face, whose shirt is up to three pixels away from where its middle band has it
(``python -m benchmarks band_shifts``). Detail of one band then says little about that of the next.
"""

import numpy as np
import torch
import torch.nn.functional as F

from ifmsr.scenes.scene import Array

DRIFT = 0.3  # pixels: the largest standard deviation of a step from one band to the next
JITTER = 0.8  # pixels: the largest of a band by itself
PLACES = 5  # cells of a random map a side; about half of them move
STEEPNESS = 4.0  # how sharply what moves ends


def moving(cube: Array, rng: np.random.Generator) -> Array:
    """`cube` (B, H, W), about half of the image displaced from band to band: a random walk, and a jump in each band."""
    bands, height, width = cube.shape
    places = torch.from_numpy(rng.normal(size=(1, 1, PLACES, PLACES)))
    smooth = F.interpolate(places, (height, width), mode="bicubic", align_corners=False)[0, 0]
    share = torch.sigmoid(STEEPNESS * smooth)
    drift, jumps = rng.uniform(0, (DRIFT, JITTER))[:, None, None] * rng.normal(size=(2, bands, 2))
    pixels = torch.from_numpy(drift.cumsum(0) + jumps)  # (across, down)
    still = F.affine_grid(torch.eye(2, 3)[None], [1, 1, height, width], align_corners=False)
    grid = still + share[..., None] * pixels[:, None, None] * 2 / torch.tensor([width, height])
    images = torch.from_numpy(cube)[:, None]
    moved = F.grid_sample(images, grid.float(), mode="bicubic", padding_mode="border", align_corners=False)
    return np.asarray(moved[:, 0].clamp(0, 1))

"""Motion augmentation: subjects that move between the bands.

A camera that captures its bands one after the other shows a moving subject at another position in every band. In CAVE's
photo_and_face the man's shirt is displaced by up to three pixels from its position in the middle band
(``python -m benchmarks band_shifts``). The detail of one band then predicts little of that of the next.
"""

import numpy as np
import torch
import torch.nn.functional as F

from ifmsr.scenes.scene import Array

DRIFT = 0.3  # pixels: largest standard deviation of a random walk's step from one band to the next
JITTER = 0.8  # pixels: largest standard deviation of each band's own displacement
CELLS = 5  # side of the random grid that selects the moving regions, about half of the image
STEEPNESS = 4.0  # sharpness of the moving regions' edges


def moving(cube: Array, rng: np.random.Generator) -> Array:
    """Displace about half of the image of `cube` (B, H, W) from band to band, by a random walk and a jump per band."""
    bands, height, width = cube.shape
    cells = torch.from_numpy(rng.normal(size=(1, 1, CELLS, CELLS)))
    smooth = F.interpolate(cells, (height, width), mode="bicubic", align_corners=False)[0, 0]
    share = torch.sigmoid(STEEPNESS * smooth)
    drift, jumps = rng.uniform(0, (DRIFT, JITTER))[:, None, None] * rng.normal(size=(2, bands, 2))
    pixels = torch.from_numpy(drift.cumsum(0) + jumps)  # (across, down)
    still = F.affine_grid(torch.eye(2, 3)[None], [1, 1, height, width], align_corners=False)
    grid = still + share[..., None] * pixels[:, None, None] * 2 / torch.tensor([width, height])
    images = torch.from_numpy(cube)[:, None]
    moved = F.grid_sample(images, grid.float(), mode="bicubic", padding_mode="border", align_corners=False)
    return np.asarray(moved[:, 0].clamp(0, 1))

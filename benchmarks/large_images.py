"""The training-free method behind its assessment, on images of 0.26 megapixels and more: CPU time and peak memory.

Large pairs are tiles of one CAVE pair. One thread is measured; `beyond_mb` is the peak of memory beyond the two images
and the result.
"""

import time
import warnings

import numpy as np
import psutil
import torch

from benchmarks.common import alone, write_rows
from benchmarks.inference import scene
from ifmsr.errors import InputWarning
from ifmsr.inference.api import super_resolve
from ifmsr.scenes.scene import Array

SIDES = (512, 1024, 2048)
MEGABYTE = 1e6


def one(side: int, pair: tuple[Array, Array]) -> dict[str, float]:
    """One image of side x side pixels, tiles of a `pair` of images."""
    tiles = (1, side // pair[1].shape[1], side // pair[1].shape[2])
    lr, rgb, few = np.tile(pair[0], tiles), np.tile(pair[1], tiles), slice(0, 128)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        super_resolve(lr[:, :32, :32], rgb[:, few, few], 4, "closed-form")  # loads what is imported late
        before, started = psutil.Process().memory_info(), time.process_time()
        sr = super_resolve(lr, rgb, 4, "closed-form")
    taken, megapixels = time.process_time() - started, side**2 / 1e6
    return {
        "megapixels": megapixels,
        "cpu_seconds": taken,
        "cpu_seconds_per_megapixel": taken / megapixels,
        "before_mb": (before.rss - before.shared + sr.nbytes) / MEGABYTE,
    }


def main() -> None:
    """Measure each size in its own process."""
    torch.set_num_threads(1)
    _, observation = scene()
    rows = []
    for side in SIDES:
        row = {"side": side, **alone(one, side, (observation.lr, observation.rgb))}
        rows.append({**row, "beyond_mb": row["peak_mb"] - row.pop("before_mb")})
    write_rows("large_images", rows)

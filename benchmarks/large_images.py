"""The training-free method on images of 0.26 megapixels and more: CPU time and peak memory, files to file.

Large pairs are mirrored copies of one CAVE scene, blurred as one image: both repeat every 1024 pixels without a seam.
They are memory maps, and so is the result. One thread is measured; `peak_mb` is the whole process with PyTorch.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import alone, write_rows
from benchmarks.inference import SCENE
from ifmsr.assessment import assess_observation
from ifmsr.degradation.protocol import TEST_NOISE, blur_downsample, gaussian_kernel
from ifmsr.inference.api import load_method
from ifmsr.inference.arrays import observation_of
from ifmsr.inference.assessed import Assessed, run_assessed
from ifmsr.inference.blocks import LARGE, Blocks
from ifmsr.scenes import open_dataset
from ifmsr.scenes.scene import Array

SIDES = (512, 1024, 2048, 4096, 8192)
SCALE = 4
AROUND = 32  # pixels beyond the tile that a blur sees
MEGABYTE = 1e6


def tile() -> tuple[Array, Array]:
    """An LR cube and its guide, the periods of a seamless pair: the scene and its mirror images."""
    scene = open_dataset("cave").load(SCENE)
    cube = np.concatenate([scene.cube, scene.cube[:, ::-1]], axis=1)
    cube = np.concatenate([cube, cube[:, :, ::-1]], axis=2)
    kernel = gaussian_kernel(13, SCALE, lambda1=3.0, lambda2=7.0, theta=0.8)
    around = np.pad(cube, ((0, 0), (AROUND,) * 2, (AROUND,) * 2), mode="wrap")
    inner = slice(AROUND // SCALE, -AROUND // SCALE)
    lr = blur_downsample(around, kernel, SCALE)[:, inner, inner]
    noise = TEST_NOISE * np.random.default_rng(0).standard_normal(lr.shape, np.float32)
    assert scene.srf is not None
    return (lr + noise).clip(0, 1).astype(np.float32), np.tensordot(scene.srf, cube, axes=1).clip(0, 1)


def repeated(period: Array, side: int, path: Path) -> Array:
    """A memory map (C, side, side) of repetitions."""
    image = np.lib.format.open_memmap(path, "w+", np.float32, (len(period), side, side))
    step = period.shape[1]
    for top in range(0, side, step):
        rows = np.tile(period[:, : side - top], (1, 1, -(-side // step)))
        image[:, top : top + step] = rows[:, :, :side]
    image.flush()
    return np.load(path, mmap_mode="r")


def one(side: int, pair: tuple[Array, Array]) -> dict[str, float]:
    """One image of side x side pixels."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        lr = repeated(pair[0], side // SCALE, Path(folder) / "lr.npy")
        rgb = repeated(pair[1], side, Path(folder) / "rgb.npy")
        result = np.lib.format.open_memmap(Path(folder) / "sr.npy", "w+", np.float32, (len(lr), side, side))
        method = load_method("closed-form", SCALE)
        started = time.process_time()
        if side**2 > LARGE:
            Blocks(lr, rgb, SCALE, method).into(result)
        else:
            assessment = assess_observation(observation_of(lr, rgb, SCALE, None))
            result[:] = run_assessed(Assessed.of(method), assessment)[0]
        taken = time.process_time() - started
    megapixels = side**2 / 1e6
    return {
        "megapixels": megapixels,
        "cpu_seconds": taken,
        "cpu_seconds_per_megapixel": taken / megapixels,
    }


def main() -> None:
    """Measure each size in its own process."""
    pair = tile()
    write_rows("large_images", [{"side": side, **alone(one, side, pair)} for side in SIDES])

"""Harvard, Chikusei and the Roman Colosseum at full size: stand-ins of the published layout, from data check to table.

The files hold mirrored copies of Indian Pines, because the real ones have to be asked for. Their numbers mean nothing;
what counts is that every step runs, its seconds and its memory. IFMSR is narrow and trained for a few steps.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import savemat

from benchmarks.common import alone, write_rows
from ifmsr.cli import main as ifmsr
from ifmsr.scenes import open_dataset
from ifmsr.scenes.chikusei import BANDS, HEIGHT, WIDTH
from ifmsr.scenes.harvard import Harvard
from ifmsr.scenes.scene import Array
from ifmsr.scenes.worldview2 import ELEVEN_BITS, RED_GREEN_BLUE

FULL_SCALE = 10_000  # of Chikusei's integers
ROWS = 64  # of the image written at once
HARVARD_SIZE = (1040, 1392)
COLOSSEUM_SIZE = (419, 658)
WORLDVIEW_BANDS = (7, 15, 22, 29, 34, 41, 53, 61)  # eight of Indian Pines
FEW = ("epochs=1", "crops_per_scene=1", "batch=4")  # of the preset `smoke`
METHODS = ("bicubic", "closed-form", "ifmsr")


def mirrored(bands: int, height: int, width: int) -> Array:
    """(bands, height, width) of mirrored copies of Indian Pines."""
    cube = open_dataset("indian-pines").load("full").cube[:bands]
    reach = ((0, 0), (0, max(0, height - cube.shape[1])), (0, max(0, width - cube.shape[2])))
    return np.pad(cube, reach, mode="symmetric")[:, :height, :width]


def write_chikusei(root: Path) -> None:
    """The published MATLAB 7.3 file: axes reversed, 16-bit integers, in chunks."""
    strip = mirrored(BANDS, ROWS, WIDTH)
    with h5py.File(root / "HyperspecVNIR_Chikusei_20140729.mat", "w", userblock_size=512) as file:
        shape = (BANDS, WIDTH, HEIGHT)
        image = file.create_dataset("chikusei", shape, np.int16, chunks=(1, 256, 256), compression="gzip")
        image.attrs["MATLAB_class"] = np.bytes_("int16")
        for top in range(0, HEIGHT, ROWS):
            rows = strip[:, : HEIGHT - top].transpose(0, 2, 1)
            image[:, :, top : top + ROWS] = (FULL_SCALE * rows).astype(np.int16)


def write_harvard(root: Path) -> None:
    """Fifty files of one scene, by hard links: their contents are the same, their number and size as published."""
    cube = mirrored(Harvard.bands, *HARVARD_SIZE).transpose(1, 2, 0).astype(np.float64)
    first = root / "scene00.mat"
    savemat(first, {"ref": cube, "lbl": np.ones(HARVARD_SIZE, np.uint8)})
    for number in range(1, Harvard.published):
        os.link(first, root / f"scene{number:02}.mat")


def write_colosseum(root: Path) -> None:
    """One file with the multispectral image and the RGB image of four times its size, 11-bit integers."""
    ms = ELEVEN_BITS * mirrored(WORLDVIEW_BANDS[-1] + 1, *COLOSSEUM_SIZE)[list(WORLDVIEW_BANDS)]
    ms = ms.transpose(1, 2, 0).astype(np.uint16)
    rgb = ms[..., RED_GREEN_BLUE].repeat(4, axis=0).repeat(4, axis=1)
    savemat(root / "roman-colosseum.mat", {"MS": ms, "RGB": rgb})


def command(*words: str) -> dict[str, Any]:
    """One command of the package, its seconds and those of all threads."""
    started, before = time.perf_counter(), time.process_time()
    if code := ifmsr(list(words)):
        raise SystemExit(code)
    return {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - before}


def measured(name: str, split: str, write: Callable[[Path], None]) -> list[dict[str, Any]]:
    """Data check, training, evaluation and table of one data set, each command in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / name
        root.mkdir()
        write(root)
        size = sum({file.stat().st_ino: file.stat().st_size for file in root.iterdir()}.values())
        data = ("--data", name, "--split", split, "--scale", "4", "--root", str(root))
        settings = [word for setting in FEW for word in ("--set", setting)]
        methods = [word for method in METHODS for word in ("--method", method)]
        steps = {
            "data check": ("data", "check", name, "--root", str(root)),
            "train": ("train", "--preset", "smoke", *data, *settings, "--out", f"{folder}/training"),
            "evaluate": (
                *("evaluate", *data, *methods, "--out", f"{folder}/results"),
                *("--weights", f"{folder}/training/weights.safetensors"),
            ),
            "tables": ("tables", f"{folder}/results", "--out", f"{folder}/table"),
        }
        return [
            {"data": name, "gigabytes": size / 1e9, "step": step, **alone(command, *words)}
            for step, words in steps.items()
        ]


def main() -> None:
    """Measure the three data sets, in half an hour."""
    write_rows(
        "full_size",
        [
            *measured("worldview2", "roman-colosseum", write_colosseum),
            *measured("chikusei", "spatial", write_chikusei),
            *measured("harvard", "seed-0", write_harvard),
        ],
    )

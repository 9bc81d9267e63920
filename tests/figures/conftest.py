"""A real test image, a coarse view of it, and an evaluation of two stand-ins."""

import numpy as np
import pytest

from ifmsr.figures.panels import repeat_pixels
from ifmsr.runs import Run
from ifmsr.scenes import open_dataset
from ifmsr.scenes.scene import Observation

METHODS = ["bicubic", "ifmsr"]


@pytest.fixture(scope="module")
def scene():
    return open_dataset("indian-pines").load("test")


@pytest.fixture(scope="module")
def seen(scene):
    """Every fourth pixel: enough of an observation to draw."""
    return Observation(scene.cube[:, 2::4, 2::4].copy(), scene.rgb(), 4)


@pytest.fixture
def folder(tmp_path, scene, seen):
    """An evaluation of two stand-ins: repeated LR pixels, and the truth with a known error of 0.02."""
    config = {
        "dataset": "indian-pines", "root": None, "split": "spatial", "scale": 4, "alignment": "released",
        "preset": "test", "seeds": [0], "methods": METHODS, "scenes": ["test"],
    }  # fmt: skip
    cubes = {"bicubic": repeat_pixels(seen.lr, 4), "ifmsr": np.clip(scene.cube - 0.02, 0, 1)}
    with Run(tmp_path / "evaluation", config=config, seeds=[0]) as run:
        for method, cube in cubes.items():
            path = run.folder / "cubes" / method / "test-s0.npy"
            path.parent.mkdir(parents=True)
            np.save(path, cube.astype(np.float16))
        rows = "".join(f"{method},,\n" for method in METHODS)
        run.record("rows.csv").write_text(f"method,schedule,weights\n{rows}")
        (run.folder / "observations").mkdir()
        seen.save(run.folder / "observations" / "test-s0.npz")
    return tmp_path / "evaluation"

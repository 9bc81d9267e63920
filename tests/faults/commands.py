"""Commands that write, each as a function of a folder of inputs and a folder for its results."""

import os
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image

from ifmsr.cli import main

EVALUATION = ["evaluate", "--data", "indian-pines", "--split", "spatial", "--side", "16"]
SETTINGS = (
    *("options.features=4", "start=''", "options.stages=1", "epochs=1", "crops_per_scene=2"),
    *("batch=2", "steps=batched", "bands_per_step=2", "checkpoint_every=0"),
)
TRAINING = [
    *("train", "--data", "indian-pines", "--split", "spatial", "--preset", "quick", "--device", "cpu"),
    *(word for setting in SETTINGS for word in ("--set", setting)),
]


def super_resolve(inputs: Path, result: Path) -> list[str]:
    return [
        *("super-resolve", f"{inputs}/lr.npy", f"{inputs}/rgb.png", "--method", "bicubic", "-o", str(result))
    ]


COMMANDS: dict[str, Callable[[Path, Path], list[str]]] = {
    "evaluate": lambda inputs, out: [*EVALUATION, "--method", "bicubic", "--again", "--out", f"{out}/e"],
    "train": lambda inputs, out: [*TRAINING, "--out", f"{out}/t"],
    "super-resolve": lambda inputs, out: super_resolve(inputs, out / "a.hdr"),
    "tables": lambda inputs, out: ["tables", f"{inputs}/e", "--out", f"{out}/tables"],
    "runs": lambda inputs, out: ["runs", f"{inputs}", "--csv", f"{out}/runs.csv"],
    "view": lambda inputs, out: ["view", f"{inputs}/lr.npy", "-o", f"{out}/a.html"],
}
if os.environ.get("IFMSR_SOAK") == "1":  # a kernel takes long to start
    COMMANDS["run"] = lambda inputs, out: ["run", f"{inputs}/n.ipynb", "--out", f"{out}/n"]


def make_inputs(folder: Path) -> None:
    """A pair of images, a notebook and a finished evaluation."""
    random = np.random.default_rng(0)
    np.save(folder / "lr.npy", random.random((4, 16, 16), np.float32))
    Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(folder / "rgb.png")
    cell = nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "n.ipynb")
    assert main([*EVALUATION, "--method", "bicubic", "--out", str(folder / "e")]) == 0


def again(name: str, command: list[str]) -> list[str]:
    """The command as it is given to do its work a second time: a finished training returns at once."""
    return [*command, "--restart"] if name == "train" else command


def errors_of(said: str) -> list[str]:
    """The lines of standard error with which a command fails."""
    lines = said.splitlines()
    return [line for line in lines if line.startswith("ifmsr: ") and not line.startswith("ifmsr: warning: ")]

"""Access to the files of a finished evaluation, for figures."""

import csv
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.methods import method_names
from ifmsr.paths import in_project
from ifmsr.precision import BFLOAT16_NOTE
from ifmsr.runs import read_manifest
from ifmsr.scenes import open_dataset
from ifmsr.scenes.datasets import DATASETS
from ifmsr.scenes.scene import Array, Observation, Scene
from ifmsr.study.names import dataset_label, method_label
from ifmsr.untrusted import decoding

PAPER_BANDS = {"cave": 15, "harvard": 15, "chikusei": 100}  # figure 4, counted from 1


@dataclass(frozen=True)
class Evaluated:
    """The folder of a finished evaluation.

    Attributes
    ----------
    folder : the folder, with its manifest.
    config : the configuration in the manifest: dataset, root, scale, seeds, methods, scenes and more.
    """

    folder: Path
    config: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> "Evaluated":
        """Open an evaluation folder. Raises InputError if it has no manifest, that is, if the run is unfinished."""
        return cls(Path(folder), read_manifest(Path(folder))["config"])

    @property
    def label(self) -> str:
        """The title of the data set."""
        return dataset_label(self.config["dataset"])

    @property
    def quantity(self) -> str:
        """What the values of the data set are, for axes."""
        return DATASETS[self.config["dataset"]].quantity

    @property
    def seed(self) -> int:
        """The seed of the results that figures show, which is the first one."""
        return self.config["seeds"][0]

    @property
    def root(self) -> Path | None:
        """The data set's folder, if one was given; the manifest has it relative to the project."""
        return None if self.config["root"] is None else in_project(self.config["root"])

    def scene(self, scene: str) -> Scene:
        """The reference with its wavelengths, cropped as in the evaluation."""
        dataset = open_dataset(self.config["dataset"], self.root)
        side = self.config.get("side") or None
        return dataset.load(scene).crop_to_multiple(self.config["scale"], side)

    def truth(self, scene: str) -> Array:
        """The reference cube (B, H, W) in [0, 1], cropped as in the evaluation."""
        return self.scene(scene).cube

    def observation(self, scene: str) -> Observation:
        """The scene's observation, the input of all methods. Raises InputError if it is missing or unreadable."""
        path = self.folder / "observations" / f"{scene}-s{self.seed}.npz"
        if not path.exists():
            raise InputError(path, "the observation is not there", self.again(self.config["methods"][0]))
        return Observation.load(path)

    def again(self, method: str) -> str:
        """Instructions that recreate a method's cubes and observations, which are not kept in the repository."""
        if method not in method_names():
            return f"Evaluate {method} again, with ifmsr.study.evaluate"
        config = self.config
        words = ["--data", config["dataset"], "--split", config["split"], "--scale", config["scale"]]
        words += ["--degradation", config["preset"], "--alignment", config["alignment"], "--method", method]
        words += ["--seeds", *config["seeds"], "--out", self.folder]
        if config["scenes"] != list(open_dataset(config["dataset"], self.root).split(config["split"]).test):
            words += ["--scenes", *config["scenes"]]
        if config.get("side"):
            words += ["--side", config["side"]]
        if self.root is not None:
            words += ["--root", self.root]
        row = next(row for row in self.rows if row["method"] == method)
        if BFLOAT16_NOTE in row["schedule"]:
            words += ["--precision", "bfloat16"]
        weights = f"; add --weights unless the shipped ones are {row['weights']}" if row["weights"] else ""
        command = shlex.join(["ifmsr", "evaluate", *map(str, words)])
        return f"Run: {command} (cubes and observations are not kept in the repository{weights})"

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows of the evaluation, with all values as strings."""
        with (self.folder / "rows.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def prediction(self, method: str, scene: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The result of a method, (B, H, W), clipped to [0, 1] as for the metrics.

        Raises
        ------
        InputError : it is missing, cannot be read or does not have the `shape` of the truth.
        """
        path = self.folder / "cubes" / method / f"{scene}-s{self.seed}.npy"
        if not path.exists():
            raise InputError(path, "the method's result is not there", self.again(method))
        try:
            with decoding(path, "a stored cube"):
                cube = np.load(path, allow_pickle=False)
            if cube.shape != shape:
                raise InputError(path, f"its shape is {cube.shape}, the scene's {shape}", "Delete it")
        except InputError as error:
            raise InputError(path, error.problem, f"Delete it. {self.again(method)}") from error
        return np.clip(cube.astype(np.float32), 0, 1)

    def predictions(self, methods: list[str], scene: str, shape: tuple[int, ...]) -> dict[str, Array]:
        """Title -> result of several methods."""
        return {method_label(method): self.prediction(method, scene, shape) for method in methods}

    def band(self, band: int | None, bands: int) -> int:
        """The index of the band to show: `band`, counted from 0, else the paper's, else the middle one."""
        if band is None:
            band = min(PAPER_BANDS.get(self.config["dataset"], bands // 2 + 1), bands) - 1
        if not 0 <= band < bands:
            raise InputError("band", f"{band} is not among the {bands} of {self.label}", "Count from 0")
        return band

    def choose(self, kind: str, wanted: list[str] | None) -> list[str]:
        """All "scenes" or "methods" of the evaluation, or the wanted ones. Raises InputError for unknown names."""
        known = self.config[kind]
        unknown = [name for name in wanted or [] if name not in known]
        if unknown:
            raise InputError(
                kind, f"{', '.join(unknown)} not in {self.folder}", f"Choose from {', '.join(known)}"
            )
        return list(known if wanted is None else wanted)

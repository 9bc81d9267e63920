"""A finished evaluation, read back for drawing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.paths import in_project
from ifmsr.runs import read_manifest
from ifmsr.scenes import open_dataset
from ifmsr.scenes.scene import Array, Observation
from ifmsr.study.names import dataset_label, method_label

PAPER_BANDS = {"cave": 15, "harvard": 15, "chikusei": 100}  # figure 4, counted from 1


@dataclass(frozen=True)
class Evaluated:
    """One evaluation folder.

    Attributes
    ----------
    folder : the folder, with its manifest.
    config : the manifest's configuration: dataset, root, scale, seeds, methods, scenes and more.
    """

    folder: Path
    config: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> "Evaluated":
        """Raises InputError if the folder has no manifest: its run was not finished."""
        return cls(Path(folder), read_manifest(Path(folder))["config"])

    @property
    def label(self) -> str:
        """The data set's printed name."""
        return dataset_label(self.config["dataset"])

    @property
    def seed(self) -> int:
        """The seed whose results are drawn: the first."""
        return self.config["seeds"][0]

    def truth(self, scene: str) -> Array:
        """(B, H, W) in [0, 1], as it was evaluated: in a size that the scale divides."""
        root = self.config["root"]  # kept relative to the project
        dataset = open_dataset(self.config["dataset"], None if root is None else in_project(root))
        side = self.config.get("side") or None
        return dataset.load(scene).crop_to_multiple(self.config["scale"], side).cube

    def observation(self, scene: str) -> Observation:
        """What every method saw of the scene."""
        return Observation.load(self.folder / "observations" / f"{scene}-s{self.seed}.npz")

    def prediction(self, method: str, scene: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """(B, H, W) clipped to [0, 1], as the metrics see it.

        Raises
        ------
        InputError : it is not there, cannot be read or is not of the truth's `shape`.
        """
        path = self.folder / "cubes" / method / f"{scene}-s{self.seed}.npy"
        again = "Run the evaluation again (cubes are not kept in the repository)"
        try:
            cube = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            raise InputError(path, "the method's result is not there", again) from None
        except (ValueError, EOFError, OSError) as error:
            raise InputError(path, f"not a stored cube ({error})", again) from error
        if cube.shape != shape:
            raise InputError(path, f"its shape is {cube.shape}, the scene's {shape}", again)
        return np.clip(cube.astype(np.float32), 0, 1)

    def predictions(self, methods: list[str], scene: str, shape: tuple[int, ...]) -> dict[str, Array]:
        """The predictions of several methods by their printed names."""
        return {method_label(method): self.prediction(method, scene, shape) for method in methods}

    def band(self, band: int | None, bands: int) -> int:
        """The index of the band to draw: `band`, counted from 0, else the paper's, else the middle one."""
        if band is None:
            band = min(PAPER_BANDS.get(self.config["dataset"], bands // 2 + 1), bands) - 1
        if not 0 <= band < bands:
            raise InputError("band", f"{band} is not among the {bands} of {self.label}", "Count from 0")
        return band

    def choose(self, kind: str, wanted: list[str] | None) -> list[str]:
        """All "scenes" or "methods" of the evaluation, or the wanted ones. Raises InputError on others."""
        known = self.config[kind]
        unknown = [name for name in wanted or [] if name not in known]
        if unknown:
            raise InputError(
                kind, f"{', '.join(unknown)} not in {self.folder}", f"Choose from {', '.join(known)}"
            )
        return list(known if wanted is None else wanted)

"""The stored observations of an evaluation: every method and every later call sees the same files.

They are not kept in the repository, and made again from the task where they are missing.
"""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ifmsr import metrics
from ifmsr.degradation.protocol import degrade
from ifmsr.errors import InputError
from ifmsr.files import sha256
from ifmsr.methods.bicubic import Bicubic
from ifmsr.runs import MANIFEST
from ifmsr.scenes.scene import Observation, Scene
from ifmsr.study.ledger import Rows

if TYPE_CHECKING:
    from ifmsr.study.evaluation import Task

ROUNDING = 1e-4  # dB: what the last bits of an observation move bicubic by is a thousandth of it
EARLIER = ", of earlier rows"


class Observations:
    """The observations of one evaluation's folder, ``observations/<scene>-s<seed>.npz``.

    Parameters
    ----------
    out, task : the evaluation's.
    finished : its finished rows, which its manifest's observations belong to.
    """

    def __init__(self, out: Path, task: "Task", finished: Rows):
        self.folder, self.task, self.finished = out / "observations", task, finished
        manifest = out / MANIFEST
        self.recorded: dict[str, str] = (
            json.loads(manifest.read_text(encoding="utf-8"))["data"] if manifest.exists() else {}
        )

    def path(self, scene: str, seed: int) -> Path:
        """The file of one observation."""
        return self.folder / f"{scene}-s{seed}.npz"

    def of(self, truth: Scene, seed: int) -> Observation:
        """The stored observation of a scene, made now if it is not there.

        The same seed gives the same bits on most machines. Where it does not, a warning says so if the folder's
        bicubic row comes out again.

        Raises
        ------
        InputError : it is another observation than the one that the folder's rows were measured on.
        """
        path = self.path(truth.name, seed)
        if not path.exists():
            degrade(truth, self.task.scale, self.task.preset, seed, self.task.alignment).save(path)
        observation = Observation.load(path)
        if sha256(path) != self.recorded.get(path.stem, sha256(path)):
            self._compare(path, truth, seed, observation)
        return observation

    def _compare(self, path: Path, truth: Scene, seed: int, observation: Observation) -> None:
        """Tell rounding from another observation by the row that costs least."""
        differs = "its SHA-256 is not that of the observation which the folder's rows were measured on"
        row = self.finished.get((truth.name, seed, "bicubic"))
        if row is None:
            warnings.warn(
                f"{path}: {differs}, and no row of bicubic tells by how much it differs", stacklevel=5
            )
            return
        psnr = metrics.psnr(truth.cube, Bicubic()(observation))
        if abs(psnr - row["PSNR"]) > ROUNDING:
            raise InputError(
                path,
                f"{differs}: bicubic reaches {psnr:.4f} dB on it, not {row['PSNR']:.4f}",
                "Delete it if it was changed (it is made again), or choose another folder",
            )
        warnings.warn(
            f"{path}: {differs}. Bicubic agrees to {abs(psnr - row['PSNR']):.0e} dB: it is the same but for this "
            "processor's rounding",
            stacklevel=5,
        )

    def digests(self, places: Iterable[tuple[str, int]], carried: bool) -> dict[str, str]:
        """SHA-256 of the files, for the manifest; `carried`: the earlier ones too where earlier rows are kept."""
        paths = [self.path(*place) for place in places]
        now = {path.stem: sha256(path) for path in paths}
        if not carried:
            return now
        changed = {name: digest for name, digest in self.recorded.items() if now.get(name, digest) != digest}
        return {**self.recorded, **{f"{name}{EARLIER}": digest for name, digest in changed.items()}, **now}

"""The stored observations of an evaluation, which every method and every later call share.

They are not in the repository; missing ones are made again from the task.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ifmsr import metrics
from ifmsr.degradation.protocol import degrade
from ifmsr.errors import InputError
from ifmsr.files import sha256
from ifmsr.methods.bicubic import Bicubic
from ifmsr.runs import MANIFEST, manifest_of
from ifmsr.scenes.scene import Observation, Scene
from ifmsr.study.ledger import Rows

if TYPE_CHECKING:
    from ifmsr.study.evaluation import Task

ROUNDING = 1e-4  # dB; rounding in an observation changes the PSNR of bicubic by a thousandth of it
EARLIER = ", of earlier rows"


class Observations:
    """The observations of one evaluation's folder, ``observations/<scene>-s<seed>.npz``.

    Parameters
    ----------
    out, task : the evaluation's.
    finished : its finished rows, measured on the observations in its manifest.
    """

    def __init__(self, out: Path, task: "Task", finished: Rows):
        self.folder, self.task, self.finished = out / "observations", task, finished
        manifest = out / MANIFEST
        self.recorded: dict[str, str] = manifest_of(out)["data"] if manifest.exists() else {}

    def path(self, scene: str, seed: int) -> Path:
        """The file of one observation."""
        return self.folder / f"{scene}-s{seed}.npz"

    def of(self, truth: Scene, seed: int) -> Observation:
        """The stored observation of a scene, made now if it is missing.

        The same seed gives the same bits on most machines. Where it does not, the observation is accepted with a
        warning if the PSNR of bicubic agrees with the folder's rows.

        Raises
        ------
        InputError : the observation differs from the one that the folder's rows were measured on.
        """
        path = self.path(truth.name, seed)
        if not path.exists():
            degrade(truth, self.task.scale, self.task.preset, seed, self.task.alignment).save(path)
        observation = Observation.load(path)
        if sha256(path) != self.recorded.get(path.stem, sha256(path)):
            self._compare(path, truth, seed, observation)
        return observation

    def _compare(self, path: Path, truth: Scene, seed: int, observation: Observation) -> None:
        """Distinguish rounding from another observation by the PSNR of bicubic, the cheapest method."""
        differs = "its SHA-256 is not that of the observation which the folder's rows were measured on"
        row = self.finished.get((truth.name, seed, "bicubic"))
        if row is None:
            warnings.warn(
                f"{path}: {differs}, and there is no row of bicubic to measure the difference by",
                stacklevel=5,
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
            f"{path}: {differs}. Bicubic agrees to {abs(psnr - row['PSNR']):.0e} dB: the difference is "
            "rounding",
            stacklevel=5,
        )

    def digests(self, pairs: Iterable[tuple[str, int]], carried: bool) -> dict[str, str]:
        """SHA-256 of the files of (scene, seed) `pairs`; with `carried`, those of kept rows as well."""
        paths = [self.path(*pair) for pair in pairs]
        now = {path.stem: sha256(path) for path in paths}
        if not carried:
            return now
        changed = {name: digest for name, digest in self.recorded.items() if now.get(name, digest) != digest}
        return {**self.recorded, **{f"{name}{EARLIER}": digest for name, digest in changed.items()}, **now}

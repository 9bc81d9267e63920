"""Evaluation of methods on the same stored observations: one row per scene, seed and method."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ifmsr import metrics
from ifmsr.degradation.protocol import Alignment, Preset, draw_degradation, scene_seed
from ifmsr.errors import InputError, as_path, whole
from ifmsr.fields import check_fields
from ifmsr.files import move, write_atomically, write_text
from ifmsr.methods.base import Method, Oracle
from ifmsr.runs import MANIFEST, Run
from ifmsr.scenes import open_dataset
from ifmsr.scenes.base import DataSet
from ifmsr.scenes.scene import Array, Observation, Scene
from ifmsr.study.ledger import Ledger, Row, Rows
from ifmsr.study.made_by import fingerprint, made_by
from ifmsr.study.observations import Observations
from ifmsr.untrusted import decoding, read_json

COLUMNS = (
    *("dataset", "split", "scene", "scale", "alignment", "seed", "method", "schedule", "weights", "made_by"),
    *("PSNR", "SSIM", "SAM", "ERGAS", "RMSE", "seconds"),
)


@dataclass(frozen=True)
class Task:
    """An evaluation's data and degradation, without its methods. One folder holds one Task.

    Attributes
    ----------
    dataset, split : a name of `ifmsr.scenes.DATASETS` and one of its splits; the test scenes are used.
    scale, preset, alignment : of the degradation, see `ifmsr.degradation.protocol.degrade`.
    seeds : random seeds of the degradation; one observation per scene and seed.
    scenes : a selection of the split's test scenes; empty means all.
    side : side in pixels of the central crop of every scene; 0 means whole scenes.

    Raises
    ------
    InputError : a value has the wrong type or is out of range, or there is no seed.
    """

    dataset: str
    split: str
    scale: int = 4
    preset: Preset = "test"
    alignment: Alignment = "released"
    seeds: tuple[int, ...] = (0,)
    scenes: tuple[str, ...] = ()
    side: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        whole("scale", self.scale, least=1)
        whole("side", self.side, least=0)
        for seed in self.seeds:
            whole("seeds", seed, least=0)
        if not self.seeds:
            raise InputError("seeds", "there are none", "Give at least one")


def evaluate(
    task: Task,
    methods: Mapping[str, Method],
    out: str | Path,
    root: str | Path | None = None,
    again: bool = False,
) -> pd.DataFrame:
    """Measure methods by the paper's protocol (`ifmsr.metrics.evaluate`) and store their cubes and metrics.

    The folder `out` gets ``task.json``, ``observations/<scene>-s<seed>.npz``, ``rows.csv``,
    ``cubes/<method>/<scene>-s<seed>.npy`` (float16) and, last, ``manifest.json``. Rows and cubes of incomplete methods
    are in ``partial/``, apart from finished ones. An interrupted evaluation resumes where it stopped, and several
    processes may measure different methods in one folder at once.

    Another call adds methods. Existing rows are kept if they were made with the same settings, weights and code (see
    `ifmsr.study.made_by`) and their cubes exist; other rows of `methods` are replaced, with a warning that gives the
    reason. Missing observations are made again.

    Parameters
    ----------
    methods : methods by name, as returned by `ifmsr.inference.api.load_method`.
    root : the data set's folder; default `ifmsr.paths.data_root`/<dataset>.
    again : measure all of `methods`, even if their rows exist.

    Returns
    -------
    The rows of every complete method of the folder.

    Raises
    ------
    InputError : the folder holds another task; the data, split or scenes are not available; ``rows.csv`` was changed
        after its run had finished; an observation differs from the one that the folder's rows were measured on.
    """
    out = Path(out)
    data = open_dataset(task.dataset, root)
    test = data.split(task.split).test
    scenes = task.scenes or test
    if unknown := sorted(set(scenes) - set(test)):
        raise InputError(
            "scenes", f"{', '.join(unknown)} are not test scenes of {task.split}", f"Choose from {test}"
        )
    task = replace(task, scenes=scenes)
    folder = _Folder(out, task, data)
    makers = {name: made_by(method) for name, method in methods.items()}
    rows = folder.kept(methods, makers, again)
    missing = [(*pair, name) for pair in folder.pairs for name in methods if (*pair, name) not in rows]
    if not missing and (out / MANIFEST).exists():
        folder.make_observations()
        return _frame(folder.finished)
    with Run(out, asdict(task) | {"root": root}, task.seeds) as run:
        rows |= folder.measure(missing, methods, makers)
        run.update({"measured": sorted({name for *_, name in missing})})
        return folder.finish(run, methods, rows)


class _Folder:
    """An evaluation's folder while methods are measured into it. Raises InputError if it belongs to another task."""

    def __init__(self, out: Path, task: Task, data: DataSet):
        self.out, self.task, self.data = out, task, data
        self.pairs = [(scene, seed) for scene in task.scenes for seed in task.seeds]
        self.ledger = Ledger(out, ("scene", "seed", "method"), COLUMNS)
        with self.ledger.locked():
            _claim(out, task)
        self.finished = self.ledger.finished()
        self.observations = Observations(out, task, self.finished)

    def kept(self, methods: Mapping[str, Method], makers: Mapping[str, str], again: bool) -> Rows:
        """The rows of the methods that need not be measured."""
        rows: Rows = {}
        for name, method in methods.items():
            fault = partial(_fault, self.out, method)
            rows |= self.ledger.kept(name, makers[name], len(self.pairs), again, fault)
        return rows

    def truth(self, scene: str) -> Scene:
        """The scene, cropped to the size that is measured."""
        return self.data.load(scene).crop_to_multiple(self.task.scale, self.task.side or None)

    def make_observations(self) -> None:
        """Make the missing observations."""
        for scene, seed in self.pairs:
            if not self.observations.path(scene, seed).exists():
                self.observations.of(self.truth(scene), seed)

    def measure(
        self,
        missing: Sequence[tuple[str, int, str]],
        methods: Mapping[str, Method],
        makers: Mapping[str, str],
    ) -> Rows:
        """Measure what is missing, observation by observation, and store every row and cube in ``partial/``."""
        rows: Rows = {}
        with tqdm(total=len(missing), desc=f"{self.task.dataset} x{self.task.scale}", mininterval=2) as bar:
            for (scene, seed), group in groupby(missing, key=lambda entry: entry[:2]):
                truth = self.truth(scene)
                observation = self.observations.of(truth, seed)
                for *_, name in group:
                    method = with_true_kernel(methods[name], truth, seed, self.task)
                    sr, row = _measure(truth, observation, method, self.task)
                    row |= {"scene": scene, "seed": seed, "method": name, "made_by": makers[name]}
                    rows[scene, seed, name] = row
                    with self.ledger.locked():
                        _save_cube(self.ledger.partial / _cube(row), sr)
                        self.ledger.add(row)
                    bar.update()
        return rows

    def finish(self, run: Run, methods: Collection[str], rows: Rows) -> pd.DataFrame:
        """Add the complete rows and the cubes of the methods to those of others, and end the run."""
        self.make_observations()
        with self.ledger.locked():
            others = {key: row for key, row in self.ledger.finished().items() if row["method"] not in methods}
            frame = _frame(others | rows)
            counts = frame.groupby("method")["method"].transform("size")
            frame = frame[counts == len(self.pairs)].reset_index(drop=True)
            table = run.record("rows.csv")
            for row in rows.values():
                _move(self.ledger.partial / _cube(row), self.out / _cube(row))
            write_text(table, self.ledger.csv(frame))
            self.ledger.complete(methods)
            carried = bool(others) or any(self.finished.get(key) == row for key, row in rows.items())
            run.update(
                config={"methods": list(frame["method"].unique())},
                data=self.observations.digests(self.pairs, carried),
            )
            run.finish()
        return frame


def _claim(out: Path, task: Task) -> None:
    """Write the task into the folder. Raises InputError if the folder belongs to another task."""
    path = out / "task.json"
    if not path.exists():
        write_text(path, json.dumps(asdict(task), indent=2) + "\n")
    elif read_task(out) != task:
        raise InputError(out, "it holds an evaluation of another task", "Choose another folder, or delete it")


def read_task(folder: str | Path) -> Task:
    """The Task of an evaluation's folder. Raises InputError if it has none."""
    path = as_path("folder", folder) / "task.json"
    kind, fix = "an evaluation's task", "Give the folder of an evaluation"
    content = read_json(path, kind, fix)
    try:
        with decoding(path, kind, fix):
            return Task(**content)
    except InputError as error:
        raise InputError(path, f"not {kind} ({error.where}: {error.problem})", fix) from error


def _fault(out: Path, method: Method, row: Row) -> str:
    """Why a finished row cannot be kept although its `made_by` matches; "" if it can."""
    if not (out / _cube(row)).exists():
        return "its cubes are missing"
    silent = row["made_by"] == ""
    if silent and (row["weights"], row["schedule"]) != (fingerprint(method), method.schedule):
        return "its weights or its precision have changed"
    return ""


def with_true_kernel(method: Method, truth: Scene, seed: int, task: Task) -> Method:
    """The method, given the true kernel (and nothing else) if it is an `Oracle`."""
    if not isinstance(method, Oracle):
        return method
    degradation = draw_degradation(task.scale, task.preset, scene_seed(truth, seed), task.alignment)
    return method.with_kernel(degradation.sampling_kernel(task.scale))


def _measure(
    truth: Scene, observation: Observation, method: Method, task: Task
) -> tuple[Array, dict[str, Any]]:
    started = perf_counter()
    sr = method(observation)
    seconds = perf_counter() - started
    return sr, {
        "dataset": task.dataset,
        "split": task.split,
        "scale": task.scale,
        "alignment": task.alignment,
        "schedule": method.schedule,
        "weights": fingerprint(method),
        **metrics.evaluate(truth.cube, sr, task.scale),
        "seconds": round(seconds, 2),
    }


def _cube(row: Row) -> Path:
    """The path of a row's cube, relative to the folder."""
    return Path("cubes", row["method"], f"{row['scene']}-s{row['seed']}.npy")


def _save_cube(path: Path, sr: Array) -> None:
    write_atomically(path, lambda file: np.save(file, sr.astype(np.float16)))


def _move(source: Path, target: Path) -> None:
    """Move a file if it is still at its source."""
    if source.exists():
        move(source, target)


def _frame(rows: Rows) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows.values()), columns=list(COLUMNS))
    return frame.sort_values(["dataset", "scale", "scene", "seed", "method"], ignore_index=True)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds, then over scenes, of each method's five metrics and seconds."""
    numbers: Sequence[str] = COLUMNS[-6:]
    by_scene = rows.groupby(["method", "scene"], sort=False)[list(numbers)].mean()
    return by_scene.groupby("method", sort=False).mean()

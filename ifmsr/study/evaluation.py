"""Every method on the same stored observations: one row a scene, seed and method."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ifmsr import metrics
from ifmsr.degradation.protocol import Alignment, Preset, degrade, draw_degradation, scene_seed
from ifmsr.errors import InputError, as_path, whole
from ifmsr.fields import check_fields
from ifmsr.files import sha256, write_atomically, write_text
from ifmsr.methods.base import Method, Oracle
from ifmsr.runs import Run
from ifmsr.scenes import open_dataset
from ifmsr.scenes.scene import Array, Observation, Scene
from ifmsr.study.rows import TEXT

COLUMNS = (
    *("dataset", "split", "scene", "scale", "alignment", "seed", "method", "schedule", "weights"),
    *("PSNR", "SSIM", "SAM", "ERGAS", "RMSE", "seconds"),
)


@dataclass(frozen=True)
class Task:
    """What is measured, whatever the methods. One folder holds one Task.

    Attributes
    ----------
    dataset, split : a name of `ifmsr.scenes.DATASETS` and one of its splits; the test scenes are used.
    scale, preset, alignment : of the degradation, see `ifmsr.degradation.protocol.degrade`.
    seeds : one observation a scene for each.
    scenes : some of the split's test scenes; empty means all.
    side : only the middle of every scene, this many pixels square; 0 means whole scenes.

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
    task: Task, methods: Mapping[str, Method], out: str | Path, root: str | Path | None = None
) -> pd.DataFrame:
    """Measure methods by the paper's protocol (`ifmsr.metrics.evaluate`) and keep what they made.

    The folder `out` gets ``rows.csv`` (after every row, so an interrupted evaluation goes on where it
    stopped), ``task.json``, ``observations/<scene>-s<seed>.npz``, ``cubes/<method>/<scene>-s<seed>.npy``
    (float16) and, last, ``manifest.json``. Rows that are there already are kept: another call adds methods,
    or replaces those whose weights have changed.

    Parameters
    ----------
    methods : ready methods by name, as `ifmsr.inference.api.load_method` gives them.
    root : the data set's folder; default `ifmsr.paths.data_root`/<dataset>.

    Raises
    ------
    InputError : the folder holds another task, or data, split or scenes cannot be had.
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
    places = [(scene, seed) for scene in scenes for seed in task.seeds]
    _claim(out, task)
    with Run(out, asdict(task) | {"root": root}, task.seeds) as run:
        rows = _kept(out / "rows.csv", methods)
        steps = len(places) * len(methods)
        with tqdm(total=steps, desc=f"{task.dataset} x{task.scale}", mininterval=2) as bar:
            for scene, seed in places:
                missing = [name for name in methods if (scene, seed, name) not in rows]
                bar.update(len(methods) - len(missing))
                if not missing:
                    continue
                truth = data.load(scene).crop_to_multiple(task.scale, task.side or None)
                observation = _observe(truth, seed, task, out)
                for name in missing:
                    method = _informed(methods[name], truth, seed, task)
                    sr, row = _measure(truth, observation, method, task)
                    _save_cube(out / "cubes" / name / f"{scene}-s{seed}.npy", sr)
                    rows[scene, seed, name] = {**row, "scene": scene, "seed": seed, "method": name}
                    write_text(out / "rows.csv", _frame(rows).to_csv(index=False))
                    bar.update()
        complete = {name for *_, name in rows if all((*place, name) in rows for place in places)}
        frame = _frame({key: row for key, row in rows.items() if key[2] in complete})
        write_text(run.record("rows.csv"), frame.to_csv(index=False))
        stored = {f"{scene}-s{seed}": out / "observations" / f"{scene}-s{seed}.npz" for scene, seed in places}
        run.tell(
            config={"methods": list(frame["method"].unique())},
            data={name: sha256(path) for name, path in stored.items()},
        )
    return frame


def _claim(out: Path, task: Task) -> None:
    """Write the task into the folder, or refuse a folder that belongs to another one."""
    path = out / "task.json"
    if path.exists() and read_task(out) != task:
        raise InputError(out, "it holds an evaluation of another task", "Choose another folder, or delete it")
    write_text(path, json.dumps(asdict(task), indent=2) + "\n")


def read_task(folder: str | Path) -> Task:
    """The Task of an evaluation's folder. Raises InputError if it has none."""
    path = as_path("folder", folder) / "task.json"
    try:
        return Task(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            path, f"no evaluation's task ({error})", "Give the folder of an evaluation"
        ) from error


def _kept(path: Path, methods: Mapping[str, Method]) -> dict[tuple[str, int, str], dict[str, Any]]:
    """The rows of an earlier evaluation that are still true: same weights, or a method not asked for now."""
    if not path.exists():
        return {}
    rows = pd.read_csv(path, keep_default_na=False, dtype=TEXT).to_dict("records")
    return {
        (row["scene"], row["seed"], row["method"]): {str(name): value for name, value in row.items()}
        for row in rows
        if row["method"] not in methods or row["weights"] == fingerprint(methods[row["method"]])
    }


def fingerprint(method: Method) -> str:
    """Which weights a method uses; "" for none."""
    return str(getattr(method, "fingerprint", ""))


def _observe(truth: Scene, seed: int, task: Task, out: Path) -> Observation:
    """The stored observation, so that every method and every later run sees the same file."""
    path = out / "observations" / f"{truth.name}-s{seed}.npz"
    if not path.exists():
        degrade(truth, task.scale, task.preset, seed, task.alignment).save(path)
    return Observation.load(path)


def _informed(method: Method, truth: Scene, seed: int, task: Task) -> Method:
    """The method itself; one that has to be told the true kernel is told it here, and nothing else."""
    if not isinstance(method, Oracle):
        return method
    draw = draw_degradation(task.scale, task.preset, scene_seed(truth, seed), task.alignment)
    return method.with_kernel(draw.sampling_kernel(task.scale))


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


def _save_cube(path: Path, sr: Array) -> None:
    write_atomically(path, lambda file: np.save(file, sr.astype(np.float16)))


def _frame(rows: Mapping[Any, Mapping[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows.values()), columns=list(COLUMNS))
    return frame.sort_values(["dataset", "scale", "scene", "seed", "method"], ignore_index=True)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds, then over scenes, of each method's five metrics and seconds."""
    numbers: Sequence[str] = COLUMNS[-6:]
    a_scene = rows.groupby(["method", "scene"], sort=False)[list(numbers)].mean()
    return a_scene.groupby("method", sort=False).mean()

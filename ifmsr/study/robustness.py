"""Robustness: methods under other degradations, or with other pairs of images, than the paper's test has."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import groupby, product
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ifmsr.degradation.blurs import airy_disc, motion_blur
from ifmsr.degradation.protocol import Alignment, Degradation, draw_degradation, scene_seed
from ifmsr.errors import InputError
from ifmsr.files import write_text
from ifmsr.methods.base import Method
from ifmsr.runs import MANIFEST, RERUN, Run, read_manifest
from ifmsr.scenes import open_dataset
from ifmsr.scenes.scene import Array, Observation, Scene
from ifmsr.study.ledger import Ledger, Row, Rows
from ifmsr.study.made_by import fingerprint, made_by
from ifmsr.study.names import DIGITS
from ifmsr.study.real_guides import CAMERAS, CASES, Another, Case, Delivered
from ifmsr.untrusted import read_json

SHIFT_NM = 8.0
TASK = "task.json"
OTHER = "Give another folder"
COLUMNS = ("condition", "scale", "scene", "seed", "method", *DIGITS, "seconds", "made_by")


@dataclass(frozen=True)
class Condition:
    """One point of the grid; the defaults are the paper's test degradation.

    Attributes
    ----------
    name : the printed name.
    blur : ``"test"``: a random blur of the protocol; ``"motion"``: a line of 9 pixels in random direction; ``"airy"``:
        an Airy disc whose first dark ring has a radius of `scale` pixels; both centred.
    alignment : of the test blur.
    lr_noise, rgb_noise : standard deviations in units of 1/255.
    response : the spectral response function given to the method: the camera's, none, or one shifted by +8 nm.
    """

    name: str
    scale: int = 4
    blur: Literal["test", "motion", "airy"] = "test"
    alignment: Alignment = "released"
    lr_noise: float = 3
    rgb_noise: float = 0
    response: Literal["known", "unknown", "shifted"] = "known"

    @property
    def settings(self) -> dict[str, Any]:
        """All fields, for a manifest."""
        return asdict(self)

    def deliver(self, scene: Scene, seed: int, another: Another) -> Delivered:
        """What this condition makes of a scene whose size is a multiple of its scale; it needs no other scene."""
        return Delivered(scene.cube, observe(scene, self, seed))


GRID = (
    *(Condition(f"test, x{scale}", scale=scale) for scale in (4, 8, 2, 3, 6, 16, 32)),
    *(Condition(f"LR noise {noise}/255", lr_noise=noise) for noise in (0, 1, 5)),
    *(Condition(f"RGB noise {noise}/255", rgb_noise=noise) for noise in (1, 2, 5)),
    Condition("response unknown", response="unknown"),
    Condition("response 8 nm off", response="shifted"),
    Condition("motion blur", blur="motion"),
    Condition("Airy disc", blur="airy"),
    Condition("centred", alignment="centred"),
    Condition("response unknown, x8", scale=8, response="unknown"),
    Condition("response 8 nm off, x8", scale=8, response="shifted"),
    Condition("centred, x8", scale=8, alignment="centred"),
)
GRIDS: dict[str, Sequence[Condition | Case]] = {
    "degradations": GRID,
    "guides": CASES,
    "cameras": CAMERAS,
}
"""Other degradations than the paper's, pairs of images as cameras deliver them, and guides of other cameras."""


def observe(scene: Scene, condition: Condition, seed: int = 0) -> Observation:
    """The observation of a scene under `condition`; the scene's size is a multiple of the condition's scale.

    Raises InputError if the spectral response function (SRF) is to be shifted and the scene has none or no wavelengths.
    """
    words = scene_seed(scene, seed)
    drawn = draw_degradation(condition.scale, "test", words, condition.alignment)
    rng = np.random.default_rng((*words, 2))
    kernel = drawn.kernel
    if condition.blur == "motion":
        kernel = motion_blur(9, rng.uniform(0, np.pi))
    elif condition.blur == "airy":
        kernel = airy_disc(condition.scale)
    degradation = Degradation(kernel, drawn.mode, condition.lr_noise / 255, drawn.noise_seed)
    rgb = scene.rgb()
    if condition.rgb_noise:
        rgb = rgb + condition.rgb_noise / 255 * rng.standard_normal(rgb.shape).astype(np.float32)
    srf = scene.srf if condition.response == "known" else None
    if condition.response == "shifted":
        srf = shifted_response(scene, SHIFT_NM)
    return Observation(degradation(scene.cube, condition.scale), rgb.clip(0, 1), condition.scale, srf)


def shifted_response(scene: Scene, nanometres: float) -> Array:
    """The scene's SRF (3, B) shifted towards longer wavelengths."""
    if scene.srf is None or scene.wavelengths is None:
        raise InputError(f"scene {scene.name}", "no SRF or no wavelengths", "Choose a scene with both")
    sources = scene.wavelengths - nanometres
    curves = np.stack([np.interp(sources, scene.wavelengths, curve, left=0, right=0) for curve in scene.srf])
    return (curves / curves.sum(1, keepdims=True)).astype(np.float32)


def measure(
    scenes: Sequence[Scene],
    methods: Mapping[str, Method],
    conditions: Sequence[Condition | Case] = GRID,
    seed: int = 0,
) -> pd.DataFrame:
    """Every method under every condition: one row per condition, scene and method, with the five metrics."""
    named = {scene.name: scene for scene in scenes}
    missing = list(product(conditions, named, methods))
    return pd.DataFrame(_rows(missing, list(named), named.__getitem__, methods, seed))


def _rows(
    missing: Sequence[tuple[Condition | Case, str, str]],
    scenes: Sequence[str],
    load: Callable[[str], Scene],
    methods: Mapping[str, Method],
    seed: int,
) -> Iterator[dict[str, Any]]:
    """The rows of some conditions, scenes and methods, one after the other.

    Another scene than one is the next of `scenes`, for the last one the first.
    """

    def loaded(scene: str, scale: int) -> Scene:
        return load(scene).crop_to_multiple(scale)

    following = dict(zip(scenes, (*scenes[1:], *scenes[:1]), strict=True))
    with tqdm(total=len(missing), desc="robustness", mininterval=2) as bar:
        for (condition, scene), group in groupby(missing, key=lambda entry: entry[:2]):
            another = partial(loaded, following[scene], condition.scale)
            delivered = condition.deliver(loaded(scene, condition.scale), seed, another)
            for *_, name in group:
                started = perf_counter()
                sr = methods[name](delivered.observation)
                yield {
                    "condition": condition.name,
                    "scale": condition.scale,
                    "scene": scene,
                    "seed": seed,
                    "method": name,
                    **delivered.evaluate(sr),
                    "seconds": round(perf_counter() - started, 2),
                }
                bar.update()


def measure_split(
    dataset: str,
    split: str,
    methods: Mapping[str, Method],
    conditions: Sequence[Condition | Case],
    out: str | Path,
    seed: int = 0,
    root: str | Path | None = None,
    again: bool = False,
    side: int = 0,
    add: bool = False,
) -> pd.DataFrame:
    """`measure` on a split's test scenes as a finished run: ``rows.csv`` and ``manifest.json`` in `out`.

    `side` is the side in pixels of the central crop of every scene, 0 for whole scenes.
    Rows are stored one by one in ``partial/`` until the methods are complete. So an interrupted call resumes where it
    stopped, and other processes may measure other methods in the same folder. Rows of other methods are kept. Those of
    `methods` are kept if they were made with the same settings, weights and code (see `ifmsr.study.made_by`), unless
    `again`. With `add`, a finished folder takes further conditions, for all of its methods, and those that it has are
    measured again; the rows of its other conditions stay as they are, whatever made them.
    Returns the rows of `methods`.

    Raises
    ------
    InputError : the folder's rows are of another split, other conditions or another seed, or were changed after their
        run had finished; with `add`: it is not finished, or has further methods.
    """
    out = Path(out)
    data = open_dataset(dataset, root)
    scenes = data.split(split).test
    about: dict[str, Any] = {
        "dataset": dataset,
        "split": split,
        "scenes": list(scenes),
        "conditions": [condition.settings for condition in conditions],
    }
    if side:
        about["side"] = side

    def load(scene: str) -> Scene:
        return data.load(scene).crop_to_multiple(1, side or None)

    ledger = Ledger(out, ("condition", "scene", "seed", "method"), COLUMNS, float_format="%.5g")
    with ledger.locked():
        if add:
            about["conditions"] = _with_further(out, about | {"seed": seed}, methods)
        else:
            _claim(out, about | {"seed": seed})
        earlier = _weights(out)
    own = {name: fingerprint(method) for name, method in methods.items()}
    makers = {name: made_by(method) for name, method in methods.items()}

    def fault(row: Row) -> str:
        same = row["made_by"] or earlier.get(row["method"]) == own[row["method"]]
        return "" if same else "its weights have changed"

    rows: Rows = {}
    for name in methods:
        rows |= ledger.kept(name, makers[name], len(conditions) * len(scenes), again or add, fault)
    missing = [
        (condition, scene, name)
        for condition, scene, name in product(conditions, scenes, methods)
        if (condition.name, scene, seed, name) not in rows
    ]
    if missing or add or not (out / MANIFEST).exists():
        with Run(out, about, [seed]) as run:
            for row in _rows(missing, scenes, cache(load), methods, seed):
                row["made_by"] = makers[row["method"]]
                rows[row["condition"], row["scene"], seed, row["method"]] = row
                ledger.add(row)
            with ledger.locked():
                others = {
                    key: row for key, row in ledger.finished().items() if add or row["method"] not in methods
                }
                weights = {name: mark for name, mark in _weights(out).items() if name not in methods}
                table = ledger.csv(_ordered(others | rows, _names(about["conditions"]), scenes))
                write_text(run.record("rows.csv"), table)
                ledger.complete(methods)
                run.update({"weights": weights | own})
                if add:
                    _write_task(out, about | {"seed": seed})
                run.finish()
    return _ordered(rows, _names(about["conditions"]), scenes)


def _names(conditions: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of conditions in a task."""
    return [str(condition["name"]) for condition in conditions]


def _ordered(rows: Rows, conditions: Sequence[str], scenes: Sequence[str]) -> pd.DataFrame:
    """Rows in the order of `conditions`, by name, and `scenes`."""
    order = {"condition": list(conditions), "scene": list(scenes)}
    return pd.DataFrame(list(rows.values())).sort_values(
        list(order),
        key=lambda column: column.map(order[str(column.name)].index),
        kind="stable",
        ignore_index=True,
    )


def _claim(folder: Path, task: Mapping[str, Any]) -> None:
    """Write the grid into a new folder. Raises InputError if the folder belongs to another grid."""
    path = folder / TASK
    if path.exists():
        held = _read_task(folder)
    elif (folder / MANIFEST).exists():
        manifest = read_manifest(folder)
        held = {name: manifest["config"].get(name) for name in task} | {"seed": manifest["seeds"][0]}
    else:
        held = task
        _write_task(folder, task)
    if held != task:
        raise InputError(
            folder,
            "holds a grid of another split, conditions or seed, or of other crops",
            OTHER,
        )


def _with_further(folder: Path, task: Mapping[str, Any], methods: Mapping[str, Method]) -> list[Any]:
    """The conditions of a finished grid and the further ones of `task`. Raises InputError unless both fit together."""
    if not ((folder / MANIFEST).exists() and (folder / TASK).exists()):
        raise InputError(folder, "holds no finished grid to add to", "Measure one without add first")
    held = _read_task(folder)
    further = [condition for condition in task["conditions"] if condition not in held["conditions"]]
    conditions = [*held["conditions"], *further]
    names = _names(conditions)
    if {**held, "conditions": 0} != {**task, "conditions": 0} or len(set(names)) < len(names):
        raise InputError(
            folder, "holds a grid of another split, seed or crops, or other conditions of these names", OTHER
        )
    if further and set(_weights(folder)) != set(methods):
        known = ", ".join(_weights(folder))
        raise InputError(folder, f"has rows of {known}, all of which need the conditions", "Name the same")
    return conditions


def _read_task(folder: Path) -> Mapping[str, Any]:
    held: Mapping[str, Any] = read_json(folder / TASK, "a grid's task", f"Give the folder of a grid. {OTHER}")
    return held


def _write_task(folder: Path, task: Mapping[str, Any]) -> None:
    write_text(folder / TASK, json.dumps(task, indent=2) + "\n")


def _weights(folder: Path) -> dict[str, str]:
    """The weights of the methods of a finished grid, from its manifest."""
    if not (folder / MANIFEST).exists():
        return {}
    weights = read_manifest(folder)["config"].get("weights")
    if not isinstance(weights, dict):
        raise InputError(folder / MANIFEST, "it does not name the weights of its methods", RERUN)
    return weights

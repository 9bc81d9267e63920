"""How methods fare where the degradation is not the one of the paper's test."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ifmsr import metrics
from ifmsr.degradation.blurs import airy_disc, motion_blur
from ifmsr.degradation.protocol import Alignment, Degradation, draw_degradation, scene_seed
from ifmsr.errors import InputError
from ifmsr.files import write_text
from ifmsr.methods.base import Method
from ifmsr.runs import MANIFEST, Run, read_manifest
from ifmsr.scenes import open_dataset
from ifmsr.scenes.scene import Array, Observation, Scene
from ifmsr.study.evaluation import fingerprint

SHIFT_NM = 8.0


@dataclass(frozen=True)
class Condition:
    """One point of the grid; the defaults are the paper's test degradation.

    Attributes
    ----------
    name : what tables print.
    blur : ``"test"``: the protocol's draw; ``"motion"``: a line of 9 pixels in a drawn direction; ``"airy"``: an Airy
        disc whose first dark ring has a radius of `scale` pixels; both centred.
    alignment : of the test blur.
    lr_noise, rgb_noise : standard deviations in units of 1/255.
    response : what the method is told: the camera's, nothing, or one whose curves lie 8 nm too high.
    """

    name: str
    scale: int = 4
    blur: Literal["test", "motion", "airy"] = "test"
    alignment: Alignment = "released"
    lr_noise: float = 3
    rgb_noise: float = 0
    response: Literal["known", "unknown", "shifted"] = "known"


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


def observe(scene: Scene, condition: Condition, seed: int = 0) -> Observation:
    """What `condition` makes of a scene whose size is a multiple of its scale.

    Raises InputError if the response is to be shifted and the scene has none, or no wavelengths.
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
    told = scene.srf if condition.response == "known" else None
    if condition.response == "shifted":
        told = shifted_response(scene, SHIFT_NM)
    return Observation(degradation(scene.cube, condition.scale), rgb.clip(0, 1), condition.scale, told)


def shifted_response(scene: Scene, nanometres: float) -> Array:
    """(3, B) the scene's response with its curves moved towards longer wavelengths."""
    if scene.srf is None or scene.wavelengths is None:
        raise InputError(
            f"scene {scene.name}", "no response or no wavelengths", "Shift another one's response"
        )
    places = scene.wavelengths - nanometres
    curves = np.stack([np.interp(places, scene.wavelengths, curve, left=0, right=0) for curve in scene.srf])
    return (curves / curves.sum(1, keepdims=True)).astype(np.float32)


def measure(
    scenes: Sequence[Scene],
    methods: Mapping[str, Method],
    conditions: Sequence[Condition] = GRID,
    seed: int = 0,
) -> pd.DataFrame:
    """Every method under every condition: one row a condition, scene and method, with the five metrics."""
    rows = []
    with tqdm(total=len(conditions) * len(scenes) * len(methods), desc="robustness", mininterval=2) as bar:
        for condition in conditions:
            for scene in scenes:
                truth = scene.crop_to_multiple(condition.scale)
                observation = observe(truth, condition, seed)
                for name, method in methods.items():
                    started = perf_counter()
                    sr = method(observation)
                    rows.append(
                        {
                            "condition": condition.name,
                            "scale": condition.scale,
                            "scene": scene.name,
                            "seed": seed,
                            "method": name,
                            **metrics.evaluate(truth.cube, sr, condition.scale),
                            "seconds": round(perf_counter() - started, 2),
                        }
                    )
                    bar.update()
    return pd.DataFrame(rows)


def measure_split(
    dataset: str,
    split: str,
    methods: Mapping[str, Method],
    conditions: Sequence[Condition],
    out: str | Path,
    seed: int = 0,
    root: str | Path | None = None,
) -> pd.DataFrame:
    """`measure` on a split's test scenes as a finished run: ``rows.csv`` and ``manifest.json`` in `out`.

    Rows that the folder has of other methods stay. Returns the new ones.

    Raises
    ------
    InputError : the folder's rows are of another split, other conditions or another seed.
    """
    data = open_dataset(dataset, root)
    scenes = data.split(split).test
    about: dict[str, Any] = {
        "dataset": dataset,
        "split": split,
        "scenes": list(scenes),
        "conditions": [asdict(condition) for condition in conditions],
    }
    others, weights = earlier(Path(out), about, seed, methods)
    about["weights"] = weights | {name: fingerprint(method) for name, method in methods.items()}
    rows = measure([data.load(name) for name in scenes], methods, conditions, seed)
    order = [[condition.name for condition in conditions], list(scenes)]
    together = pd.concat([others, rows]).sort_values(
        ["condition", "scene"],
        key=lambda column: column.map(order[column.name == "scene"].index),
        kind="stable",
    )
    with Run(out, about, [seed]) as run:
        write_text(run.record("rows.csv"), together.to_csv(index=False, float_format="%.5g"))
    return rows


def earlier(
    folder: Path, about: Mapping[str, Any], seed: int, methods: Collection[str]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """A finished grid's rows of other methods, and their weights; none if the folder has no such grid."""
    if not (folder / MANIFEST).exists():
        return pd.DataFrame(), {}
    manifest = read_manifest(folder)
    config = manifest["config"]
    weights = config.pop("weights", {})
    if config != about or manifest["seeds"] != [seed]:
        raise InputError(folder, "holds a grid of another split, conditions or seed", "Give another folder")
    rows = pd.read_csv(folder / "rows.csv")
    kept = {name: mark for name, mark in weights.items() if name not in methods}
    return rows[rows["method"].isin(kept)], kept

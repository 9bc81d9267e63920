"""Reproduction of a committed evaluation with shipped or newly trained weights, and the differences of its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ifmsr import figures
from ifmsr.errors import InputError
from ifmsr.experiments import cards
from ifmsr.inference.api import load_method
from ifmsr.methods.base import Method
from ifmsr.methods.registry import CLASSICAL, network_of
from ifmsr.precision import BFLOAT16_NOTE, Precision
from ifmsr.study.comparison import write_differences
from ifmsr.study.evaluation import Task, evaluate, read_task
from ifmsr.study.names import DIGITS
from ifmsr.study.rendering import write_table4
from ifmsr.study.rows import TEXT
from ifmsr.training import PRESETS, stages, train_in_stages
from ifmsr.training.config import with_settings

PROTOCOL = {
    "ifmsr": "ifmsr-wide",
    **{config.network: name for name, config in PRESETS.items() if name.startswith("common-")},
}
"""Network -> the preset that trains it by the paper's protocol; the presets of other networks have the same name."""


@dataclass(frozen=True)
class Reproduction:
    """The result of `reproduce`.

    Attributes
    ----------
    rows : rows of the new evaluation, see `ifmsr.study.evaluation.evaluate`.
    distance : per method and metric the largest absolute difference from the committed rows over scenes and seeds.
    left_out : methods of the committed evaluation that could not be run -> the reason.
    files : the tables and figures that were written.
    """

    rows: pd.DataFrame
    distance: pd.DataFrame
    left_out: Mapping[str, str]
    files: list[Path]


def reproduce(
    committed: str | Path,
    out: str | Path,
    train: bool = False,
    settings: Mapping[str, Any] | None = None,
    only: Sequence[str] = (),
    root: str | Path | None = None,
    device: str | None = None,
) -> Reproduction:
    """Run the methods of a committed evaluation again and write its rows, tables and figures 4 and 5 to `out`.

    Observations are simulated again from their seeds, so only the data, the weights and this code are needed. Finished
    parts in `out` are not repeated.

    Parameters
    ----------
    committed : a folder of `ifmsr.study.evaluation.evaluate` with ``task.json`` and ``rows.csv``.
    train : first train each network by its preset (see `PROTOCOL`) on the training scenes of the evaluation's split,
        in ``<out>/training-<network>``. Otherwise use the shipped weights with the fingerprints of the rows.
    settings : changes of those presets, see `ifmsr.training.config.with_settings`.
    only : some of the evaluation's methods; empty: all.
    root : the data set's folder; None: the default folder.
    device : None: the GPU if there is one.

    Raises
    ------
    InputError : the folder is not an evaluation, it lacks a method of `only`, no method can be run, or the data are not
        available.
    """
    committed, out = Path(committed), Path(out)
    task = read_task(committed)
    before = pd.read_csv(committed / "rows.csv", keep_default_na=False, dtype=TEXT)
    if unknown := sorted(set(only) - set(before["method"])):
        raise InputError("only", f"no {', '.join(unknown)} in {committed}", "Choose from its rows")
    before = before[before["method"].isin(only)] if only else before
    trained = {}
    if train:
        wanted = {network for name in before["method"] if (network := network_of(name))}
        trained = _train_all(sorted(wanted), task, out, settings or {}, root, device)
    methods, left_out = _ready(before, task, trained, device)
    if not methods:
        raise InputError(committed, "no weights of its methods are shipped", "Train them: --train")
    rows = evaluate(task, methods, out, root)
    files = [*write_table4(out, out), write_differences(out, out)]
    for name, plot in (("figure4", figures.figure4), ("figure5", figures.figure5)):
        files += figures.save_figure(plot(out), out / name)
    return Reproduction(rows, distance(rows, before), left_out, files)


def _train_all(
    networks: list[str],
    task: Task,
    out: Path,
    settings: Mapping[str, Any],
    root: str | Path | None,
    device: str | None,
) -> dict[str, Path]:
    trained = {}
    for name in networks:
        common = {"scale": task.scale, "alignment": task.alignment}
        configs = [with_settings(c, {**common, **settings}) for c in stages(PROTOCOL.get(name, name))]
        folder = out / f"training-{name}"
        trained[name] = train_in_stages(configs, task.dataset, task.split, folder, root=root, device=device)
    return trained


def _ready(
    rows: pd.DataFrame, task: Task, trained: Mapping[str, Path], device: str | None
) -> tuple[dict[str, Method], dict[str, str]]:
    """The methods of the rows with their weights, and the methods without weights with the reason."""
    methods: dict[str, Method] = {}
    left_out: dict[str, str] = {}
    for row in rows.drop_duplicates("method").itertuples():
        name = str(row.method)
        weights = trained.get(network_of(name) or "") or cards.find(str(row.weights).partition("+")[0])
        if name not in CLASSICAL and weights is None:
            left_out[name] = f"its weights {row.weights} are not shipped: train it with --train"
            continue
        precision: Precision = "bfloat16" if BFLOAT16_NOTE in str(row.schedule) else "float32"
        methods[name] = load_method(name, task.scale, weights, device, precision)
    return methods, left_out


def distance(rows: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """The largest absolute difference of each metric between the common rows of two evaluations, per method."""
    key = ["scene", "seed", "method"]
    both = rows.merge(before, on=key, suffixes=("", " before"))
    apart = pd.DataFrame({name: (both[name] - both[f"{name} before"]).abs() for name in DIGITS})
    return apart.groupby(both["method"], sort=False).max()

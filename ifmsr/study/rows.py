"""Reading the rows of finished evaluations, and checking that they can share a table."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from ifmsr.errors import InputError
from ifmsr.runs import read_manifest
from ifmsr.study.names import DIGITS, dataset_label, method_label
from ifmsr.untrusted import decoding, read_text

# read as text, because a hash like "444503e60302" looks like a number
TEXT = dict.fromkeys(("scene", "method", "schedule", "weights", "made_by"), str)
ROW_COLUMNS = ("dataset", "split", "scene", "scale", "alignment", "seed", "method", "schedule", *DIGITS)

Folders = str | Path | Sequence[str | Path]


def read_rows(folders: Folders) -> pd.DataFrame:
    """Every row of one or several finished evaluation folders.

    Parameters
    ----------
    folders : one evaluation folder or several.

    Returns
    -------
    The columns of their `rows.csv` and `preset`; data sets and methods by their printed names. `made_by` is empty in
    rows that do not record it.

    Raises
    ------
    InputError : a folder has no manifest (its run was not finished), is not an evaluation or has unusable rows,
        or the folders cannot share a table: see `check_comparable`.
    """
    folders = [folders] if isinstance(folders, str | Path) else list(folders)
    if not folders:
        raise InputError("folders", "no evaluation folder given", "Give at least one")
    rows = pd.concat([_read_folder(Path(folder)) for folder in folders], ignore_index=True)
    check_comparable(rows)
    return rows


def _read_folder(folder: Path) -> pd.DataFrame:
    config = read_manifest(folder)["config"]
    path = folder / "rows.csv"
    with decoding(path, "a table of rows", "Give the folder of an evaluation, or run it again"):
        rows = pd.read_csv(StringIO(read_text(path)), dtype=TEXT)
    missing = [column for column in ROW_COLUMNS if column not in rows]
    if missing or rows.empty:
        problem = f"the columns {missing} are missing" if missing else "it has no rows"
        raise InputError(path, problem, "Run the evaluation again")
    if empty := [name for name in ROW_COLUMNS if name != "schedule" and rows[name].isna().any()]:
        named = "a metric is NaN" if empty[0] in DIGITS else f"a row has no {empty[0]}"
        raise InputError(path, named, "Run that scene and method again")
    if any(rows[name].dtype.kind not in "iuf" for name in DIGITS):
        raise InputError(path, "a metric is no number", "Run that scene and method again")
    with decoding(path, "a table of rows", "Run the evaluation again"):
        return _named(rows, config)


def _named(rows: pd.DataFrame, config: dict[str, Any]) -> pd.DataFrame:
    """The rows with the settings of their run, data sets and methods by their printed names."""
    made_by = rows["made_by"].fillna("") if "made_by" in rows else ""
    return rows.assign(
        made_by=made_by,
        preset=config["preset"],
        side=config.get("side", 0),
        schedule=rows["schedule"].fillna(""),
        dataset=rows["dataset"].map({name: dataset_label(name) for name in rows["dataset"].unique()}),
        method=rows["method"].map({name: method_label(name) for name in rows["method"].unique()}),
    )


def check_comparable(rows: pd.DataFrame) -> None:
    """Raise InputError unless all rows belong in one table.

    The whole table has one alignment, preset and scene size, and each data set has one split. Within a data set and
    scale, every method has one schedule, one `made_by`, and exactly one row for each of the same scenes and seeds.
    """
    for column in ("alignment", "preset", "side"):
        _demand_one(column, rows, "the table")
    for dataset, group in rows.groupby("dataset"):
        _demand_one("split", group, str(dataset))
    for key, group in rows.groupby(["dataset", "scale"]):
        block = "{} x{}".format(*key)
        seen: dict[Any, set[tuple[Any, Any]]] = {}
        for method, own in group.groupby("method"):
            _demand_one("schedule", own, f"{block}, {method}")
            if "made_by" in own and own["made_by"].nunique() > 1:
                problem = "its rows were made with different settings or code"
                raise InputError(f"{block}, {method}", problem, "Evaluate it again in each folder")
            seen[method] = set(zip(own["scene"], own["seed"], strict=True))
            if len(seen[method]) < len(own):
                problem = f"{method} has several rows for the same scene and seed"
                raise InputError(block, problem, "Give each evaluation folder once")
        first, *others = seen
        for method in others:
            if seen[method] != seen[first]:
                problem = f"{first} and {method} were not run on the same scenes and seeds"
                raise InputError(block, problem, "Evaluate every method of the table on the same ones")


def _demand_one(column: str, rows: pd.DataFrame, where: str) -> None:
    values = sorted(rows[column].unique().tolist())
    if len(values) > 1:
        raise InputError(
            where, f"mixes the {column}s {', '.join(map(repr, values))}", "Make a table for each"
        )

"""Finished runs side by side: one table of everything below a folder, and two evaluations compared scene by scene."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from ifmsr.errors import InputError, check_choice
from ifmsr.runs import MANIFEST, manifest_of
from ifmsr.study.comparison import mean_with_interval
from ifmsr.study.names import DIGITS
from ifmsr.study.rows import TEXT, read_rows
from ifmsr.untrusted import decoding

COLUMNS = (
    *["run", "kind", "data", "split", "scale", "method", "scenes"],
    *DIGITS,
    "seconds",
    "commit",
    "finished",
)


def finished_runs(folder: str | Path = "results") -> pd.DataFrame:
    """All finished runs below a folder, one row per run and method.

    Parameters
    ----------
    folder : a folder of runs; folders in it are searched, too.

    Returns
    -------
    Columns: `run`: its folder; `kind`: evaluation, robustness, training or other; `data`, `split`, `scale`, `method`;
    `scenes`: their number; the five metrics: means over scenes, or a training's best PSNR on validation scenes;
    `seconds`: per scene, or of the whole training; `commit` and `finished`: when. What a run does not have is empty.

    Raises
    ------
    InputError : there is no such folder, or no finished run in it.

    Warns of a run whose files are damaged, and lists the others.
    """
    top = Path(folder)
    paths = sorted(top.rglob(MANIFEST))
    if not paths:
        problem = "no finished run in it" if top.is_dir() else "there is no such folder"
        raise InputError(folder, problem, "Give a folder that `ifmsr evaluate` or `ifmsr train` filled")
    rows: list[dict[str, Any]] = []
    for path in paths:
        try:
            with decoding(path.parent, "a finished run"):
                rows += _rows_of(path.parent, top)
        except InputError as error:
            warnings.warn(f"{path.parent} is not listed, its files are damaged: {error}", stacklevel=2)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def compare_runs(first: str | Path, second: str | Path, metric: str = "PSNR") -> pd.DataFrame:
    """Two evaluations on the same scenes and seeds: `second` minus `first`, scene by scene.

    Parameters
    ----------
    first, second : folders of finished evaluations. Methods of both are compared with themselves; if there are none
        and each has one method, these two are.
    metric : one of the five.

    Returns
    -------
    method, scene, `first`, `second`, `difference`; the last row of a method, "mean", has `low` and `high`, the 95 %
    bootstrap interval of the mean difference.

    Raises
    ------
    InputError : an unknown metric, a folder that is no finished evaluation, other scenes or seeds, or no methods to
        compare.
    """
    check_choice("metric", metric, tuple(DIGITS))
    tables = [_by_scene(folder, metric) for folder in (first, second)]
    if not tables[0].index.equals(tables[1].index):
        problem = f"its scenes or seeds are not those of {first}"
        raise InputError(second, problem, "Compare evaluations of the same ones")
    names = [[str(name) for name in table] for table in tables]
    methods = [(name, name) for name in names[0] if name in names[1]]
    if not methods and len(names[0]) == len(names[1]) == 1:
        methods = [(names[0][0], names[1][0])]
    if not methods:
        raise InputError(
            second, f"it has none of the methods of {first}", "Compare evaluations with a common method"
        )
    return pd.concat([_compared(tables[0][a], tables[1][b], a, b) for a, b in methods], ignore_index=True)


def _by_scene(folder: str | Path, metric: str) -> pd.DataFrame:
    """(data set, scale, scene) x method: means over seeds."""
    rows = read_rows(folder)
    return rows.pivot_table(metric, ["dataset", "scale", "scene"], "method", sort=False)


def _compared(first: pd.Series, second: pd.Series, before: str, after: str) -> pd.DataFrame:
    table = pd.DataFrame({"first": first, "second": second, "difference": second - first})
    table.insert(0, "scene", table.index.get_level_values("scene"))
    mean, low, high = mean_with_interval(table["difference"])
    last = {"scene": "mean", "first": first.mean(), "second": second.mean(), "difference": mean}
    table = pd.concat([table, pd.DataFrame([last | {"low": low, "high": high}])], ignore_index=True)
    table.insert(0, "method", before if before == after else f"{before} -> {after}")
    return table


def _rows_of(folder: Path, top: Path) -> Iterator[dict[str, Any]]:
    """The rows of one finished run."""
    manifest = manifest_of(folder)
    config, git = manifest["config"], manifest["git"] or {}
    common = {
        "run": str(folder.relative_to(top)),
        "data": config.get("dataset"),
        "split": config.get("split"),
        "commit": git.get("commit", "")[:7],
        "finished": manifest["finished"][:16].replace("T", " "),
    }
    if (folder / "log.csv").is_file() and "training" in config:
        log, training = pd.read_csv(folder / "log.csv"), config["training"]
        yield common | {
            "kind": "training",
            "scale": training["scale"],
            "method": training["network"],
            "scenes": len(config.get("scenes", [])),
            "PSNR": log["val_psnr"].max() if "val_psnr" in log else None,
            "seconds": round(manifest["seconds"]),
        }
    elif (folder / "rows.csv").is_file():
        rows = pd.read_csv(folder / "rows.csv", dtype=TEXT)
        grid = "condition" in rows
        for (scale, method), part in rows.groupby(["scale", "method"], sort=False):
            means = {} if grid else {name: part[name].mean() for name in DIGITS}
            yield (
                common
                | means
                | {
                    "kind": "robustness" if grid else "evaluation",
                    "scale": scale,
                    "method": method,
                    "scenes": part["scene"].nunique(),
                    "seconds": round(part["seconds"].mean(), 2),
                }
            )
    else:
        yield common | {"kind": "other", "seconds": round(manifest["seconds"])}

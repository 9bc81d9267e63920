"""The paper's Table IV: published values and ours, side by side."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ifmsr.published import MISPRINT, MISPRINT_NOTE, PUBLISHED
from ifmsr.study.names import DIGITS
from ifmsr.study.rows import check_comparable

DASH_NOTE = (
    "the paper has no {method} here: it needs the camera's spectral response function, unknown for {dataset}"
)


def table4(rows: pd.DataFrame, published: str | Path = PUBLISHED) -> pd.DataFrame:
    """The paper's Table IV for the data sets and scales in `rows`, one line per number.

    Parameters
    ----------
    rows : as returned by `read_rows`.
    published : the published table, one column per method.

    Returns
    -------
    dataset, scale, metric, method; `published`: the paper's value; `ours`: the mean over scenes of the mean
    over seeds; `difference`: ours - published; `spread`: standard deviation over scenes; `seed_spread`: mean over
    scenes of the standard deviation over seeds, empty for one seed; `scenes`, `seeds`: their numbers; schedule, note,
    split, alignment, preset. Missing numbers are empty.

    Raises
    ------
    InputError : the rows cannot share a table: see `check_comparable`.
    """
    check_comparable(rows)
    figures = pd.read_csv(published)
    lines = []
    for (dataset, scale), group in rows.groupby(["dataset", "scale"], sort=False):
        theirs = figures[(figures["dataset"] == dataset) & (figures["scale"] == scale)].set_index("metric")
        lines += _block(str(dataset), group, theirs.drop(columns=["dataset", "scale"]))
    return pd.DataFrame(lines).astype({"scenes": "Int64", "seeds": "Int64"})


def _block(dataset: str, rows: pd.DataFrame, theirs: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of one data set and scale; `theirs` has one row per metric, or none where the paper has no values."""
    over_scenes = rows.groupby(["method", "scene"])[[*DIGITS]].mean().groupby("method")
    mean, spread, scenes = over_scenes.mean(), over_scenes.std(), over_scenes.size()
    seed_spread = rows.groupby(["method", "scene"])[[*DIGITS]].std().groupby("method").mean()
    seeds = rows.groupby("method")["seed"].nunique()
    own = list(dict.fromkeys(rows["method"]))
    unpublished = [method for method in own if method not in theirs.columns]
    methods = [method for method in theirs.columns if method in own or not theirs.empty]
    first = rows.iloc[0]
    scale = int(first["scale"])
    lines = []
    for metric in DIGITS:
        for method in unpublished + methods:
            in_paper = not theirs.empty and method in theirs.columns
            line = {"dataset": dataset, "scale": scale, "metric": metric, "method": method}
            line["published"] = theirs.loc[metric, method] if in_paper else np.nan
            line["ours"] = mean.loc[method, metric] if method in own else np.nan
            line["difference"] = line["ours"] - line["published"]
            line["spread"] = spread.loc[method, metric] if method in own else np.nan
            line["seed_spread"] = seed_spread.loc[method, metric] if method in own else np.nan
            line["scenes"] = scenes[method] if method in own else pd.NA
            line["seeds"] = seeds[method] if method in own else pd.NA
            line["schedule"] = rows.loc[rows["method"] == method, "schedule"].iloc[0] if method in own else ""
            line["note"] = ""
            if (dataset, scale, metric, method) == MISPRINT:
                line["note"] = MISPRINT_NOTE
            elif in_paper and np.isnan(line["published"]):
                line["note"] = DASH_NOTE.format(method=method, dataset=dataset)
            lines.append(line | {key: first[key] for key in ("split", "alignment", "preset")})
    return lines

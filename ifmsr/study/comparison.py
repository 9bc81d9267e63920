"""Paired comparison of methods: mean differences on the same images, with confidence intervals."""

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from ifmsr.files import write_text
from ifmsr.study.names import DIGITS, HIGHER_IS_BETTER
from ifmsr.study.rows import Folders, read_rows

LEVEL = 0.95
RESAMPLES = 9999


def paired_differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Every method against every other one (`reference`), on the same scenes and seeds.

    A scene's difference is the mean over its seeds. The interval is a percentile bootstrap over scenes, which differ
    far more than seeds do; its random seed is fixed.

    Parameters
    ----------
    rows : as returned by `ifmsr.study.rows.read_rows`.

    Returns
    -------
    dataset, scale, metric, method, reference; `difference`: mean of method - reference over scenes; `low` and `high`:
    its 95 % interval, empty for a single scene; `better`: the number of scenes on which `method` is better; `scenes`,
    `seeds`: their numbers.
    """
    lines = []
    for (dataset, scale), block in rows.groupby(["dataset", "scale"], sort=False):
        seeds = block["seed"].nunique()
        for metric in DIGITS:
            by_scene = block.pivot_table(metric, "scene", "method", sort=False)
            for reference, method in permutations(by_scene.columns, 2):
                compared = _compare(by_scene[method] - by_scene[reference], metric)
                block_key = {"dataset": dataset, "scale": scale, "metric": metric}
                lines.append(
                    block_key | {"method": method, "reference": reference} | compared | {"seeds": seeds}
                )
    return pd.DataFrame(lines)


def mean_with_interval(differences: pd.Series) -> tuple[float, float, float]:
    """The mean, and the 95 % interval (low, high) of a percentile bootstrap over entries, NaN for a single one."""
    low = high = np.nan
    if len(differences) > 1:
        low, high = bootstrap(
            (differences.to_numpy(),),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=LEVEL,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
    return float(differences.mean()), float(low), float(high)


def _compare(differences: pd.Series, metric: str) -> dict[str, Any]:
    mean, low, high = mean_with_interval(differences)
    won = differences > 0 if metric in HIGHER_IS_BETTER else differences < 0
    return {
        "difference": mean,
        "low": low,
        "high": high,
        "better": int(won.sum()),
        "scenes": len(differences),
    }


def write_differences(folders: Folders, out_folder: str | Path) -> Path:
    """Write `paired_differences` of finished evaluations to ``differences.csv``. Raises the errors of `read_rows`."""
    table = paired_differences(read_rows(folders))
    return write_text(Path(out_folder) / "differences.csv", table.to_csv(index=False, float_format="%.5g"))

"""Figure of metrics per method and test scene, as numbers on a colour scale."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ifmsr.figures.style import FONT_SIZE, SMALL_FONT
from ifmsr.study.names import DIGITS, HIGHER_IS_BETTER
from ifmsr.study.table4 import table4

UNITS = {"PSNR": " (dB)", "SAM": " (degrees)"}


def scene_figure(rows: pd.DataFrame, metrics: tuple[str, ...] = ("PSNR", "SAM")) -> Figure:
    """Draw one map per data set, scale and metric, with a row per method, best mean first, and a column per scene.

    Values are means over seeds; brighter is better, with one colour scale per map. Two columns without colour follow:
    the mean over the scenes, and the paper's value if it has one.

    Parameters
    ----------
    rows : rows of one or several evaluations, see `ifmsr.study.rows.read_rows`.
    metrics : names of metrics, one column of maps each.
    """
    table = table4(rows)
    blocks = list(rows.groupby(["dataset", "scale"], sort=False))
    tallest = max(group["method"].nunique() for _, group in blocks)
    size = (5.7 * len(metrics), (1.2 + 0.2 * tallest) * len(blocks))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(blocks), len(metrics), squeeze=False)
    for ((dataset, scale), group), line in zip(blocks, axes, strict=True):
        for ax, metric in zip(line, metrics, strict=True):
            cells = group.pivot_table(metric, "method", "scene")
            same = (table["dataset"] == dataset) & (table["scale"] == scale) & (table["metric"] == metric)
            theirs = table[same].set_index("method")["published"].reindex(cells.index)
            _draw(ax, cells, theirs, metric)
            better = "higher" if metric in HIGHER_IS_BETTER else "lower"
            title = f"{dataset} x{scale}: {metric}{UNITS.get(metric, '')}, {better} is better"
            ax.set_title(title, fontsize=FONT_SIZE)
    return figure


def _draw(ax: Axes, cells: pd.DataFrame, published: pd.Series, metric: str) -> None:
    """One map; `cells` has methods as rows and scenes as columns."""
    rising, digits = metric in HIGHER_IS_BETTER, 1 if DIGITS[metric] < 3 else 3
    mean = cells.mean(axis=1).sort_values(ascending=not rising)
    cells = cells.loc[mean.index]
    shown = pd.concat([cells, mean.rename("mean"), published.rename("paper")], axis=1).loc[mean.index]
    low, high = np.percentile(cells, (5, 95))
    colour_map = "cividis" if rising else "cividis_r"
    ax.imshow(cells, cmap=colour_map, vmin=low, vmax=high, aspect="auto")
    for (row, column), value in np.ndenumerate(shown.to_numpy()):
        dark = column < cells.shape[1] and (value < (low + high) / 2) == rising
        text = "" if np.isnan(value) else f"{value:.{digits}f}"
        ax.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=SMALL_FONT,
            color="white" if dark else "black",
        )
    ax.set_xlim(-0.5, shown.shape[1] - 0.5)
    ax.set_xticks(range(shown.shape[1]), shown.columns, rotation=30, ha="right")
    ax.set_yticks(range(len(shown)), shown.index)
    ax.tick_params(length=0, labelsize=SMALL_FONT)
    ax.spines[:].set_visible(False)

"""Figure of IFMSR's time and memory against the number of pixels."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ifmsr.errors import InputError
from ifmsr.figures.style import FONT_SIZE, PAGE_WIDTH, method_styles, tidy

COLUMNS = ("maps", "megapixels", "seconds_per_band", "peak_mb")


def scaling_figure(table: str | Path) -> Figure:
    """Plot seconds per band and peak memory against megapixels, with one curve per storage of the feature maps.

    Parameters
    ----------
    table : a CSV file of `python -m benchmarks scaling` with the columns maps, megapixels, seconds_per_band and
        peak_mb.

    Raises
    ------
    InputError : the file is missing or not such a table.
    """
    try:
        rows = pd.read_csv(table)[list(COLUMNS)]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            table, f"no table of scaling ({error})", "Run: python -m benchmarks scaling"
        ) from error
    figure = Figure(figsize=(PAGE_WIDTH, 2.4), layout="constrained")
    titles = {"seconds_per_band": "Seconds per band", "peak_mb": "Peak memory (MB)"}
    styles = method_styles(rows["maps"].unique())
    for ax, (column, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for maps, own in rows.groupby("maps", sort=False):
            ax.plot(
                own["megapixels"],
                own[column],
                marker="o",
                markersize=2.5,
                linewidth=1.0,
                label=f"maps {maps}",
                **styles[str(maps)],
            )
        ax.set_xlabel("Megapixels", fontsize=FONT_SIZE)
        ax.set_ylabel(title, fontsize=FONT_SIZE)
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)
        tidy(ax)
    figure.axes[0].legend(fontsize=FONT_SIZE - 1, frameon=False)
    return figure

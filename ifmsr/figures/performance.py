"""Figures of cost: IFMSR's time and memory against the number of pixels, and methods against each other."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from ifmsr.errors import InputError
from ifmsr.figures.panels import capitalised
from ifmsr.figures.style import FONT_SIZE, PAGE_WIDTH, SMALL_FONT, method_styles, tidy
from ifmsr.study.names import heading

COLUMNS = ("maps", "megapixels", "seconds_per_band", "peak_mb")
LOGARITHMIC = 10  # an axis whose largest value is at least this many times its smallest one
ROOM = 0.12  # between the outermost points and the axes, as a share of their distance
# Places of a name around its point, nearest first: points right and up, and the text's alignment.
PLACES = tuple(
    (x, y, "left" if x > 0 else "right" if x < 0 else "center", "bottom" if y > 0 else "top" if y < 0 else "center")
    for x, y in ((5, 0), (-5, 0), (0, 5), (0, -5), (4, 4), (-4, 4), (4, -4), (-4, -4), (0, 15), (0, -15))
)  # fmt: skip


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
    styles = method_styles(rows["maps"].unique())
    for ax, column in zip(figure.subplots(1, 2), ("seconds_per_band", "peak_mb"), strict=True):
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
        ax.set_ylabel(capitalised(heading(column)), fontsize=FONT_SIZE)
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)
        tidy(ax)
    figure.axes[0].legend(fontsize=FONT_SIZE - 1, frameon=False)
    return figure


def cost_figure(table: pd.DataFrame, across: str, up: str) -> Figure:
    """Plot one column of a table of methods against another, with the name of each method beside its point.

    An axis is logarithmic if its largest value is ten or more times its smallest one. All points lie inside the axes; a
    name stands where it is inside too and hides no point and no other name.

    Parameters
    ----------
    table : one row per method, whose name is the index.
    across, up : the columns of the horizontal and the vertical axis; their `heading` names the axis.

    Raises
    ------
    InputError : the table lacks a column or a number of it.
    """
    for column in (across, up):
        if column not in table:
            raise InputError(column, "the table has no such column", f"It has {', '.join(map(str, table))}")
        if missing := [str(name) for name, value in table[column].items() if pd.isna(value)]:
            raise InputError(column, f"no number for {', '.join(missing)}", "Leave out such rows")
    figure = Figure(figsize=(PAGE_WIDTH, 3.2), layout="constrained")
    ax = figure.subplots()
    ax.plot(table[across], table[up], "o", color="#0072B2", markersize=5)
    ax.set_xlabel(capitalised(heading(across)), fontsize=FONT_SIZE)
    ax.set_ylabel(capitalised(heading(up)), fontsize=FONT_SIZE)
    for column, scale in ((across, ax.set_xscale), (up, ax.set_yscale)):
        if table[column].min() > 0 and table[column].max() >= LOGARITHMIC * table[column].min():
            scale("log")
    ax.margins(ROOM)
    tidy(ax)
    figure.draw_without_rendering()  # places the axes
    points = [(str(name), row[across], row[up]) for name, row in table.iterrows()]
    _name_points(ax, points)
    return figure


def _name_points(ax: Axes, points: list[tuple[str, float, float]]) -> None:
    """Write each point's name at the first of the `PLACES` that is free, else at the first one."""
    pixels = ax.transData.transform([point[1:] for point in points])
    taken = [Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y in pixels]
    for name, x, y in points:
        tried = list(_places(ax, name, (x, y)))
        inside = ax.get_window_extent()
        free = (
            label
            for label in tried
            if (box := label.get_window_extent()).x0 >= inside.x0
            and box.x1 <= inside.x1
            and box.y0 >= inside.y0
            and box.y1 <= inside.y1
            and not any(box.overlaps(other) for other in taken)
        )
        chosen = next(free, tried[0])
        taken.append(chosen.get_window_extent())
        for label in tried:
            if label is not chosen:
                label.remove()


def _places(ax: Axes, name: str, point: tuple[float, float]) -> Iterator[Annotation]:
    for right, higher, horizontal, vertical in PLACES:
        yield ax.annotate(
            name,
            point,
            (right, higher),
            textcoords="offset points",
            fontsize=SMALL_FONT,
            ha=horizontal,
            va=vertical,
            in_layout=False,
        )

"""Figure 4: band images of several methods, and below each its error in one region."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from ifmsr.errors import InputError
from ifmsr.figures.evaluated import Evaluated
from ifmsr.figures.panels import (
    PANEL_GAP,
    TRUTH,
    Image,
    Window,
    busiest_window,
    check_window,
    cut,
    frame,
    panel_width,
    picture_grid,
    red_border,
    show_band,
    show_error,
    tone,
    wrap,
)
from ifmsr.figures.style import FONT_SIZE, SMALL_FONT
from ifmsr.study.names import paper_order

PAPER_SCENES = {"cave": ["face", "balloons"]}
COLUMNS = 8  # the truth and the paper's seven methods; more panels are distributed over several lines
LEAST = 1e-4  # end of the scale of errors
LINE = 0.13  # inches of one line of a title
RIGHT = 0.02  # inches
BOTTOM = 0.45  # inches, for the colour bar


@dataclass(frozen=True)
class Row:
    """One test image of figure 4: a band, its reconstruction by each method, and the window of the errors."""

    name: str
    band: str
    quantity: str
    truth: Image
    predictions: dict[str, Image]
    window: Window

    def error(self, method: str) -> Image:
        """The absolute error in the window."""
        return np.abs(cut(self.predictions[method], self.window) - cut(self.truth, self.window))


def figure4(
    folders: str | Path | Sequence[str | Path],
    scenes: list[str] | None = None,
    band: int | None = None,
    region: Window | None = None,
    methods: list[str] | None = None,
) -> Figure:
    """The paper's figure 4, with two rows per test image and one column for the truth and for each method.

    The upper row is one band in grey. The truth's 0.5th percentile is black and its 99.5th percentile white, with a
    square root between them, for all its panels. A red rectangle marks a region, which the lower row shows magnified:
    the truth as it is, each method as absolute error. All errors have one colour scale in the unit of the data, from 0
    to the geometric mean of the methods' 99th percentiles, rounded up to 1, 2 or 5 times a power of ten; larger errors
    have the last colour. More than `COLUMNS` panels continue below.

    Parameters
    ----------
    folders : evaluation folders, one or several; the results of their first seed are shown.
    scenes : test images; by default the paper's for CAVE (face, balloons), else the first two of each evaluation.
    band : counted from 0; by default the paper's (15th for CAVE and Harvard, 100th for Chikusei), else the middle one.
    region : (top, left, height, width) in pixels of all images; by default each image's `busiest_window`.
    methods : names in the evaluations, in the order of the columns; by default those that all evaluations have, in the
        paper's order.

    Raises
    ------
    InputError : a folder is unfinished or lacks a result, or a name, band or region is invalid.
    """
    folders = [folders] if isinstance(folders, str | Path) else list(folders)
    evaluations = [Evaluated.open(folder) for folder in folders]
    if not evaluations:
        raise InputError("folders", "no evaluation folder given", "Give at least one")
    if methods is None:
        first, *others = (evaluation.config["methods"] for evaluation in evaluations)
        methods = paper_order(method for method in first if all(method in other for other in others))
    if not methods:
        raise InputError("methods", "no method to draw", "Name one that every evaluation has")
    rows = []
    for evaluation in evaluations:
        for scene in _scenes(evaluation, scenes, alone=len(evaluations) == 1):
            rows.append(_read_row(evaluation, scene, band, region, evaluation.choose("methods", methods)))
    if not rows:
        raise InputError("scenes", f"no evaluation has {scenes}", "Choose among the evaluated scenes")
    return _draw(rows)


def _scenes(evaluation: Evaluated, wanted: list[str] | None, alone: bool) -> list[str]:
    if wanted is None:
        known = evaluation.choose("scenes", None)
        papers = [scene for scene in PAPER_SCENES.get(evaluation.config["dataset"], []) if scene in known]
        return papers or known[:2]
    if alone:
        return evaluation.choose("scenes", wanted)
    return [scene for scene in wanted if scene in evaluation.config["scenes"]]


def _read_row(
    evaluation: Evaluated, scene: str, band: int | None, region: Window | None, methods: list[str]
) -> Row:
    reference = evaluation.scene(scene)
    shown = evaluation.band(band, len(reference.cube))
    predictions = evaluation.predictions(methods, scene, reference.cube.shape)
    image = reference.cube[shown]
    window = region or busiest_window(image)
    check_window(f"{evaluation.label} {scene}", window, image.shape)
    named = f"band {shown + 1}"
    if reference.wavelengths is not None:
        named += f", {reference.wavelengths[shown]:.0f}\N{NO-BREAK SPACE}nm"
    images = {label: cube[shown] for label, cube in predictions.items()}
    return Row(f"{evaluation.label} {scene}", named, evaluation.quantity, image, images, window)


def nice_ceiling(value: float) -> float:
    """Round `value` (at least `LEAST`) up to 1, 2 or 5 times a power of ten."""
    value = max(value, LEAST)
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def _draw(rows: list[Row]) -> Figure:
    methods = list(rows[0].predictions)
    errors = [np.concatenate([row.error(method).ravel() for row in rows]) for method in methods]
    large = np.maximum([np.percentile(error, 99) for error in errors], LEAST)
    highest = nice_ceiling(
        float(np.exp(np.log(large).mean()))
    )  # so that one bad method does not hide the others
    panels = [TRUTH, *methods]
    lines = math.ceil(len(panels) / COLUMNS)
    columns = math.ceil(len(panels) / lines)
    figure, axes = _grid(rows, panels, lines, columns)
    for line in range(lines):
        block = axes[2 * len(rows) * line : 2 * len(rows) * (line + 1)]
        here = panels[columns * line : columns * (line + 1)]
        for row, above, below in zip(rows, block[::2], block[1::2], strict=True):
            drawn = _draw_row(row, here, highest, above, below)
        for ax in (ax for places in block for ax in places[len(here) :]):
            ax.remove()
    quantities = ", ".join(dict.fromkeys(row.quantity for row in rows))
    extend = "max" if max(error.max() for error in errors) > highest else "neither"
    _colour_bar(figure, drawn, f"Absolute error ({quantities})", extend)
    return figure


def _grid(rows: list[Row], panels: list[str], lines: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    """Empty panels with their titles and the names of the rows, which are broken so that they fit."""
    sizes = []
    for row in rows:
        tall, wide = row.truth.shape
        sizes += [(tall / wide, PANEL_GAP), (row.window[2] / row.window[3], PANEL_GAP)]
    two_lines = [(sizes[0][0], 2 * LINE), *sizes[1:]]
    panel = panel_width(two_lines * lines, columns, 2 * LINE, RIGHT, BOTTOM)
    titles = [wrap(title, panel, FONT_SIZE) for title in panels]
    names = [f"{row.name}\n{row.band}" if above else "error in the frame" for row in rows for above in (1, 0)]
    names = [
        "\n".join(wrap(line, panel * aspect, SMALL_FONT) for line in name.split("\n"))
        for name, (aspect, _) in zip(names, sizes, strict=True)
    ]
    left = 0.08 + LINE * max(1 + name.count("\n") for name in names)
    sizes[0] = sizes[0][0], 0.08 + LINE * max(1 + title.count("\n") for title in titles)
    figure, axes = picture_grid(sizes * lines, columns, left, RIGHT, BOTTOM)
    for ax, title in zip((ax for line in axes[:: len(sizes)] for ax in line), titles, strict=False):
        ax.set_title(title, fontsize=FONT_SIZE, pad=3)
    for (first, *_), name in zip(axes, names * lines, strict=True):
        first.set_ylabel(name, fontsize=SMALL_FONT, labelpad=3)
    return figure, axes


def _draw_row(
    row: Row, panels: list[str], highest: float, above: Sequence[Axes], below: Sequence[Axes]
) -> AxesImage:
    """Draw the `panels` of one test image: the band above, the framed region below."""
    black, white = np.percentile(row.truth, (0.5, 99.5))
    for panel, upper, lower in zip(panels, above, below, strict=False):
        image = tone(row.truth if panel == TRUTH else row.predictions[panel], black, white)
        show_band(upper, image, (0, 1))
        frame(upper, row.window)
        if panel == TRUTH:
            show_band(lower, cut(image, row.window), (0, 1))
        else:
            drawn = show_error(lower, row.error(panel), highest)
        red_border(lower)
    return drawn


def _colour_bar(figure: Figure, drawn: AxesImage, label: str, extend: str) -> None:
    """Draw the colour bar in the middle of the bottom margin."""
    width, height = figure.get_size_inches()
    long = min(3.0, 0.8 * width)
    box = ((width - long) / 2 / width, (BOTTOM - 0.14) / height, long / width, 0.08 / height)
    bar = figure.add_axes(box)
    scale = figure.colorbar(drawn, cax=bar, orientation="horizontal", extend=extend, ticks=MaxNLocator(5))
    scale.set_label(label, fontsize=SMALL_FONT, labelpad=1)
    scale.outline.set_linewidth(0.5)
    bar.tick_params(labelsize=SMALL_FONT, width=0.5, length=2, pad=1.5)

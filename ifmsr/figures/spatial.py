"""Figure 4: band images of several methods, each with its error in one region."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from ifmsr.errors import InputError
from ifmsr.figures.evaluated import Evaluated
from ifmsr.figures.panels import (
    TRUTH,
    Image,
    Window,
    busiest_window,
    check_window,
    cut,
    inset,
    picture_grid,
    show_band,
    tone,
)
from ifmsr.figures.style import FONT_SIZE, SMALL_FONT

PAPER_SCENES = {"cave": ["face", "balloons"]}
GAP = 0.04  # inches between rows


@dataclass(frozen=True)
class Row:
    """One row of figure 4: a band of a test image, its reconstruction by each method, and the window of the errors."""

    name: str
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
    """The paper's figure 4, with one row per test image and one column for the truth and for each method.

    Each panel is one band in grey. The truth's 0.5th percentile is black and its 99.5th percentile white, with a square
    root between them, for all panels of a row. A red rectangle marks a region; the inset shows it magnified, for a
    method as absolute error (colour map jet, as in the paper). All insets have the same scale, the 99th percentile of
    all errors rounded up to 1, 2 or 5 times a power of ten; the colour bar states it.

    Parameters
    ----------
    folders : evaluation folders, one or several; the results of their first seed are shown.
    scenes : test images; by default the paper's for CAVE (face, balloons), else the first two of each evaluation.
    band : counted from 0; by default the paper's (15th for CAVE and Harvard, 100th for Chikusei), else the middle one.
    region : (top, left, height, width) in pixels of all images; by default each image's `busiest_window`.
    methods : names in the evaluations; by default those that all evaluations have.

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
        methods = [method for method in first if all(method in other for other in others)]
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
    truth = evaluation.truth(scene)
    shown = evaluation.band(band, len(truth))
    predictions = evaluation.predictions(methods, scene, truth.shape)
    image = truth[shown]
    window = region or busiest_window(image)
    check_window(f"{evaluation.label} {scene}", window, image.shape)
    name = f"{evaluation.label} {scene}\nband {shown + 1}"
    return Row(name, image, {label: cube[shown] for label, cube in predictions.items()}, window)


def nice_ceiling(value: float) -> float:
    """Round `value` (at least 1e-4) up to 1, 2 or 5 times a power of ten."""
    value = max(value, 1e-4)
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def _draw(rows: list[Row]) -> Figure:
    methods = list(rows[0].predictions)
    errors = np.concatenate([row.error(method).ravel() for row in rows for method in methods])
    scale = nice_ceiling(float(np.percentile(errors, 99)))
    sizes = [(row.truth.shape[0] / row.truth.shape[1], GAP) for row in rows]
    titles = [title.replace(" (", "\n(") for title in (TRUTH, *methods)]
    sizes[0] = (sizes[0][0], 0.18 * max(1 + title.count("\n") for title in titles))
    figure, axes = picture_grid(sizes, 1 + len(methods), left=0.3, right=0.5)
    crowded = len(methods) > 6
    for row, (first, *others) in zip(rows, axes, strict=True):
        black, white = np.percentile(row.truth, (0.5, 99.5))
        shown, shape = tone(row.truth, black, white), row.truth.shape
        show_band(first, shown, (0, 1))
        inset(first, row.window, shape, cut(shown, row.window), cmap="gray", vmin=0, vmax=1)
        first.set_ylabel(row.name, fontsize=SMALL_FONT - 2 * crowded, labelpad=3)
        for ax, method in zip(others, methods, strict=True):
            show_band(ax, tone(row.predictions[method], black, white), (0, 1))
            drawn = inset(ax, row.window, shape, row.error(method) / scale, cmap="jet", vmin=0, vmax=1)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=FONT_SIZE - 2 * crowded, pad=3)
    _colour_bar(figure, drawn, axes[0][-1], axes[-1][-1], f"Absolute error (1 = {scale:g})")
    return figure


def _colour_bar(figure: Figure, drawn: AxesImage, highest: Axes, lowest: Axes, label: str) -> None:
    """Draw a colour bar on the right, from the bottom of the lowest to the top of the highest panel."""
    width, _ = figure.get_size_inches()
    head, foot = highest.get_position(), lowest.get_position()
    bar = figure.add_axes((head.x1 + 0.06 / width, foot.y0, 0.09 / width, head.y1 - foot.y0))
    scale = figure.colorbar(drawn, cax=bar)
    scale.set_label(label, fontsize=SMALL_FONT, labelpad=2)
    scale.outline.set_linewidth(0.5)
    bar.tick_params(labelsize=SMALL_FONT, width=0.5, length=2, pad=1.5)

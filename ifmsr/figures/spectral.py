"""Figure 5: true and reconstructed spectra at selected pixels, and their differences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ifmsr.errors import InputError
from ifmsr.figures.evaluated import Evaluated
from ifmsr.figures.panels import TRUTH, Image, show_spectra
from ifmsr.figures.style import FONT_SIZE, PAGE_WIDTH
from ifmsr.study.names import PAPER_METHODS, method_label, paper_order

Point = tuple[int, int]  # row, column

CURVES = 5  # beside the truth, as in the paper
PAPER_POINTS: dict[str, list[Point]] = {
    "face": [(350, 400), (10, 380)],
    "balloons": [(260, 400), (325, 20)],
}


@dataclass(frozen=True)
class Panel:
    """The spectra of one pixel, by title of the method; `wavelengths` in nm or None."""

    name: str
    spectra: dict[str, Image]
    wavelengths: Image | None

    def differences(self) -> dict[str, Image]:
        """Each method's spectrum minus the true one."""
        truth = self.spectra[TRUTH]
        return {name: spectrum - truth for name, spectrum in self.spectra.items() if name != TRUTH}


def figure5(
    folder: str | Path,
    points: Mapping[str, Sequence[Point]] | None = None,
    methods: list[str] | None = None,
) -> Figure:
    """The paper's figure 5: spectra at two pixels of each image, and below them their differences from the truth.

    The horizontal axes have wavelengths in nm where the data set has them, else band numbers. All differences have the
    same axis, from the smallest to the largest one.

    Parameters
    ----------
    folder : an evaluation folder; the results of its first seed are shown.
    points : scene -> pixels as (row, column), counted from 0. By default face and balloons of CAVE at the paper's
        pixels, taken as (row, column) because the paper does not say which coordinate comes first; for other data the
        first two scenes at one third and two thirds of both sides.
    methods : at most five names in the evaluation; by default those that the paper shows, and others if these are fewer
        than five.

    Raises
    ------
    InputError : the folder is unfinished or lacks a result, a name or pixel is invalid, or there are more methods than
        a reader can tell apart.
    """
    evaluation = Evaluated.open(folder)
    methods = _default_methods(evaluation) if methods is None else evaluation.choose("methods", methods)
    if len(methods) > CURVES:
        raise InputError("methods", f"{len(methods)} curves cannot be told apart", f"Name at most {CURVES}")
    if points is None:
        points = _default_points(evaluation)
    panels = []
    for scene in evaluation.choose("scenes", list(points)):
        reference = evaluation.scene(scene)
        truth = reference.cube
        cubes = {TRUTH: truth} | evaluation.predictions(methods, scene, truth.shape)
        for row, column in points[scene] or _thirds(truth.shape):
            _check_point(scene, (row, column), truth.shape)
            spectra = {name: cube[:, row, column] for name, cube in cubes.items()}
            name = f"{scene.replace('_', ' ')}, row {row}, column {column}"
            panels.append(Panel(name, spectra, reference.wavelengths))
    if not panels:
        raise InputError("points", "no scene given", "Name at least one scene of the evaluation")
    return _draw(panels, evaluation.quantity)


def _default_methods(evaluation: Evaluated) -> list[str]:
    """Of an evaluation's methods up to five, those of the paper first: LTTR and CMS are not in its figure."""
    known = evaluation.choose("methods", None)
    shown = PAPER_METHODS[-CURVES:]
    preferred = sorted(known, key=lambda method: method_label(method) not in shown)
    return paper_order(preferred[:CURVES])


def _draw(panels: list[Panel], quantity: str) -> Figure:
    columns = 2 if len(panels) <= 6 else 4
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(PAGE_WIDTH, 0.35 + 2.5 * rows), layout="constrained")
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=(1.7, 1) * rows)
    highest = max(float(np.abs(curve).max()) for panel in panels for curve in panel.differences().values())
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        above = figure.add_subplot(grid[2 * row, column])
        below = figure.add_subplot(grid[2 * row + 1, column], sharex=above)
        show_spectra(above, panel.spectra, panel.wavelengths, quantity)
        above.set_title(panel.name, fontsize=FONT_SIZE, loc="left", pad=3)
        above.set_xlabel("")
        above.tick_params(labelbottom=False)
        show_spectra(below, panel.differences(), panel.wavelengths, "difference")
        below.axhline(0, color="black", linewidth=0.5)
        below.set_ylim(-1.05 * highest, 1.05 * highest)
        if number + columns < len(panels):
            below.set_xlabel("")
        if column:
            _without_name(above, below)
    curves, names = above.get_legend_handles_labels()
    figure.legend(
        curves,
        names,
        loc="outside upper center",
        ncols=len(names),
        fontsize=FONT_SIZE,
        frameon=False,
        handlelength=2.2,
        columnspacing=1.4,
    )
    figure.align_ylabels()
    return figure


def _without_name(*axes: Axes) -> None:
    for ax in axes:
        ax.set_ylabel("")


def _default_points(evaluation: Evaluated) -> dict[str, list[Point]]:
    """The paper's scenes and pixels, else two scenes with empty lists of pixels."""
    scenes = evaluation.choose("scenes", None)
    if evaluation.config["dataset"] == "cave":
        papers = {scene: PAPER_POINTS[scene] for scene in PAPER_POINTS if scene in scenes}
        if papers:
            return papers
    return {scene: [] for scene in scenes[:2]}


def _thirds(shape: tuple[int, ...]) -> list[Point]:
    _, height, width = shape
    return [(height // 3, width // 3), (2 * height // 3, 2 * width // 3)]


def _check_point(scene: str, point: Point, shape: tuple[int, ...]) -> None:
    _, height, width = shape
    if not (0 <= point[0] < height and 0 <= point[1] < width):
        problem = f"the pixel {tuple(point)} is not in the image of {height} x {width} pixels"
        raise InputError(f"points of {scene}", problem, "Give (row, column), counted from 0")

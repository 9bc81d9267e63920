"""Figure 5: true and reconstructed spectra at selected pixels."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ifmsr.errors import InputError
from ifmsr.figures.evaluated import Evaluated
from ifmsr.figures.panels import TRUTH, show_spectra
from ifmsr.figures.style import FONT_SIZE, PAGE_WIDTH

Point = tuple[int, int]  # row, column

PAPER_POINTS: dict[str, list[Point]] = {
    "face": [(350, 400), (10, 380)],
    "balloons": [(260, 400), (325, 20)],
}


def figure5(
    folder: str | Path,
    points: Mapping[str, Sequence[Point]] | None = None,
    methods: list[str] | None = None,
) -> Figure:
    """The paper's figure 5: reflectance against band number at two pixels of each image.

    Parameters
    ----------
    folder : an evaluation folder; the results of its first seed are shown.
    points : scene -> pixels as (row, column), counted from 0. By default face and balloons of CAVE at the paper's
        pixels, taken as (row, column) because the paper does not say which coordinate comes first; for other data the
        first two scenes at one third and two thirds of both sides.
    methods : names in the evaluation; by default all.

    Raises
    ------
    InputError : the folder is unfinished or lacks a result, or a name or pixel is invalid.
    """
    evaluation = Evaluated.open(folder)
    methods = evaluation.choose("methods", methods)
    if points is None:
        points = _default_points(evaluation)
    panels = []
    for scene in evaluation.choose("scenes", list(points)):
        truth = evaluation.truth(scene)
        cubes = {TRUTH: truth} | evaluation.predictions(methods, scene, truth.shape)
        for point in points[scene] or _thirds(truth.shape):
            _check_point(scene, point, truth.shape)
            spectra = {name: cube[:, point[0], point[1]] for name, cube in cubes.items()}
            panels.append((f"{scene} ({point[0]}, {point[1]})", spectra))
    if not panels:
        raise InputError("points", "no scene given", "Name at least one scene of the evaluation")
    columns = 2 if len(panels) <= 6 else 4
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(PAGE_WIDTH, 0.35 + 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for number, (ax, (title, spectra)) in enumerate(zip(axes, panels, strict=False)):
        show_spectra(ax, spectra)
        ax.set_title(title, fontsize=FONT_SIZE, loc="left", pad=3)
        ax.set_xlabel(ax.get_xlabel() if number + columns >= len(panels) else "", fontsize=FONT_SIZE)
        ax.set_ylabel(ax.get_ylabel() if number % columns == 0 else "", fontsize=FONT_SIZE)
    for ax in axes[len(panels) :]:
        ax.remove()
    curves, names = axes[0].get_legend_handles_labels()
    figure.legend(
        curves,
        names,
        loc="outside upper center",
        ncols=min(len(names), 5),
        fontsize=FONT_SIZE,
        frameon=False,
        handlelength=2.8,
    )
    return figure


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

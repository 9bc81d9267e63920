"""The first picture of the README: one scene as both cameras see it, results beside the truth, errors and spectra."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ifmsr.errors import InputError
from ifmsr.figures.panels import TRUTH, Image, Window, check_window, cut, show_rgb, show_spectra, tone
from ifmsr.figures.style import FONT_SIZE, PAGE_WIDTH, SMALL_FONT
from ifmsr.scenes.scene import Observation, Scene

LETTERS = "AB"  # of the two spectra


def overview_figure(
    scene: Scene,
    observation: Observation,
    results: Mapping[str, Image],
    window: Window,
    places: Sequence[tuple[int, int]],
    limit: float,
) -> Figure:
    """LR image, results and truth in colour; absolute errors of the results on one scale; the spectra of two pixels.

    Parameters
    ----------
    scene : the truth, with its spectral response function and wavelengths.
    observation : what the results were computed from.
    results : title of the method -> cube (B, H, W); two of them.
    window : (top, left, height, width) of all panels in HR pixels, multiples of the scale.
    places : (row, column) of the two pixels, in HR pixels.
    limit : the error at the end of the colour scale.

    Raises
    ------
    InputError : there are not two results and two places, the scene has no spectral response function, or the window
        is outside the scene.
    """
    if len(results) != 2 or len(places) != 2:
        raise InputError(
            "results", f"{len(results)} of them and {len(places)} places", "Give two results and two places"
        )
    if scene.srf is None:
        raise InputError(scene.name, "it has no spectral response function", "Choose a scene that has one")
    check_window("window", window, scene.cube.shape)
    srf = scene.srf
    top, left, height, width = window
    scale = observation.scale
    coarse = (top // scale, left // scale, height // scale, width // scale)
    colours = {title: np.tensordot(srf, cut(cube, window), 1) for title, cube in results.items()}
    colours[TRUTH] = np.tensordot(srf, cut(scene.cube, window), 1)
    black, white = np.percentile(colours[TRUTH], (0.5, 99.5))
    panels = {f"LR, {scale} x fewer pixels": np.tensordot(srf, cut(observation.lr, coarse), 1), **colours}

    figure = Figure(figsize=(PAGE_WIDTH, 4.25))
    grid = figure.add_gridspec(2, 4, left=0.01, right=0.99, top=0.95, bottom=0.16, wspace=0.05, hspace=0.12)
    for column, (title, image) in enumerate(panels.items()):
        show_rgb(figure.add_subplot(grid[0, column]), tone(image, black, white), title)
    _mark(figure.axes[-1], places, window)
    for column, (title, cube) in enumerate(results.items()):
        ax = figure.add_subplot(grid[1, column])
        error = np.abs(cut(cube, window) - cut(scene.cube, window)).mean(axis=0)
        drawn = ax.imshow(error, cmap="magma", vmin=0, vmax=limit, interpolation="nearest")
        ax.set_title(f"Error of {title}", fontsize=FONT_SIZE, pad=3)
        ax.set_axis_off()
    bar = figure.colorbar(drawn, cax=figure.add_axes((0.06, 0.115, 0.38, 0.02)), orientation="horizontal")
    bar.set_label("Absolute error of the reflectance, mean over bands", fontsize=SMALL_FONT, labelpad=2)
    bar.ax.tick_params(labelsize=SMALL_FONT, width=0.5, length=2.5, pad=2)
    beside = figure.add_gridspec(1, 2, left=0.57, right=0.985, top=0.5, bottom=0.2, wspace=0.25)
    for column, (row, across) in enumerate(places):
        ax = figure.add_subplot(beside[0, column])
        cubes = {**results, TRUTH: scene.cube}
        show_spectra(ax, {title: cube[:, row, across] for title, cube in cubes.items()}, scene.wavelengths)
        ax.set_title(f"Spectrum {LETTERS[column]}", fontsize=FONT_SIZE, pad=3)
        ax.set_ylim(bottom=0)
        if column:
            ax.set_ylabel("")
    curves, titles = ax.get_legend_handles_labels()
    below = {"bbox_to_anchor": (0.77, 0.0), "ncols": len(titles), "frameon": False}
    figure.legend(curves, titles, loc="lower center", fontsize=SMALL_FONT, **below)
    return figure


def _mark(ax: Axes, places: Sequence[tuple[int, int]], window: Window) -> None:
    """Mark the pixels of the spectra by letters."""
    for letter, (row, column) in zip(LETTERS, places, strict=True):
        down, right = row - window[0], column - window[1]
        ax.plot(right, down, "o", markersize=5, markerfacecolor="none", markeredgecolor="white")
        ax.annotate(
            letter, (right, down), (5, 2), textcoords="offset points", color="white", fontsize=FONT_SIZE
        )

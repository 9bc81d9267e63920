"""The still picture of a viewer: every image, error maps if there is a truth, and the spectra of one pixel."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ifmsr.figures.style import FONT_SIZE, PAGE_WIDTH, SMALL_FONT, png_of, tidy
from ifmsr.viewer.about import curve_styles, start
from ifmsr.viewer.planes import Kind
from ifmsr.viewer.render import Picture, band_picture, colour_picture, error_picture
from ifmsr.viewer.stack import Stack

Entry = tuple[int, Picture, str]  # layer, image, title

COLUMNS = 5  # images in one row
PNG_BYTES = 250_000  # a notebook has several pictures
PNG_CHOICES = ((140, None), (140, 256), (120, 256), (90, 256))  # as in `ifmsr.figures.style`
GAP, HEAD, PLOT = 0.06, 0.22, 2.0  # inches: between panels, for a title, height of the spectra
LEFT, RIGHT, BOTTOM = 0.5, 0.15, 0.4  # inches around the spectra
BAR = 0.1  # inches: width of the colour bar
TALLEST = 1.6  # of a panel, by its width


def picture_png(stack: Stack, state: dict[str, Any] | None = None) -> bytes:
    """The still picture as a PNG file."""
    return png_of(viewer_figure(stack, state), PNG_BYTES, PNG_CHOICES)


def viewer_figure(stack: Stack, state: dict[str, Any] | None = None) -> Figure:
    """The still picture of a viewer.

    Parameters
    ----------
    state : what the viewer shows, by the names of `Viewer`'s traits; by default what a new viewer shows.
    """
    state = start(stack) | (state or {})
    panels, errors = _images(stack, state), _errors(stack, state)
    columns = min(COLUMNS, max(len(panels), 3))
    rows = [panels[first : first + columns] for first in range(0, len(panels), columns)]
    errors = errors[1 - columns :]  # a column for the colour bar
    side = (PAGE_WIDTH - GAP * (columns - 1)) / columns
    tall = side * min(stack.size[0] / stack.size[1], TALLEST)
    height = (len(rows) + bool(errors)) * (tall + HEAD) + PLOT + HEAD
    figure = Figure(figsize=(PAGE_WIDTH, height))

    def axes(row: int, column: int, width: float) -> Any:
        left, down = column * (side + GAP), (row + 1) * (tall + HEAD)
        return figure.add_axes((left / PAGE_WIDTH, 1 - down / height, width / PAGE_WIDTH, tall / height))

    for row, entries in enumerate(rows):
        for column, (_, image, title) in enumerate(entries):
            ax = axes(row, column, side)
            _show(ax, image, title, stack.size)
            _ring(ax, state["point"])
    if errors:
        under = errors[0][0] if len(rows) == 1 else 0  # below the results themselves
        for column, (_, image, title) in enumerate(errors, under):
            _show(axes(len(rows), column, side), image, title, stack.size)
        bar = axes(len(rows), under + len(errors), BAR)
        _draw_scale(figure, bar, stack, state)
    _draw_spectra(figure, height, stack, state)
    return figure


def _images(stack: Stack, state: dict[str, Any]) -> list[Entry]:
    """Every image: one band where the viewer shows a band, its error or angles, else colour."""
    coloured = state["mode"] in ("natural", "false")
    red, green, blue = stack.natural if state["mode"] == "natural" and stack.natural else state["colour"]
    name = f"{state['mode']} colour" if coloured else _band(stack, state["band"])
    found: list[Entry] = []
    for place, layer in enumerate(stack.layers):
        image = (
            colour_picture(stack, place, (red, green, blue))
            if coloured
            else band_picture(stack, place, state["band"])
        )
        found.append((place, image, layer.name if place else f"{layer.name}, {name}"))
    return found


def _errors(stack: Stack, state: dict[str, Any]) -> list[Entry]:
    """Error maps of the results, or maps of the angle where the viewer shows that; of the cube if it is alone."""
    results = [place for place in stack.compared if stack.layers[place].role == "result"]
    of: Kind = "angle" if state["mode"] == "angle" else "error"
    return [
        (place, error_picture(stack, place, of, state["band"], _limit(stack, state)), f"{layer.name}, {of}")
        for place in results or stack.compared
        if (layer := stack.layers[place])
    ]


def _limit(stack: Stack, state: dict[str, Any]) -> float:
    return (stack.angle_limits if state["mode"] == "angle" else stack.error_limits)[1]


def _show(ax: Axes, image: Picture, title: str, size: tuple[int, int]) -> None:
    """An image on the frame's pixels."""
    ax.imshow(image, interpolation="antialiased", extent=(0, size[1], size[0], 0))
    ax.set_axis_off()
    ax.set_title(title, fontsize=FONT_SIZE, pad=3)


def _draw_scale(figure: Figure, ax: Axes, stack: Stack, state: dict[str, Any]) -> None:
    """The colour bar of the error maps."""
    scale = ScalarMappable(Normalize(0, _limit(stack, state)), "magma")
    bar = figure.colorbar(scale, cax=ax, extend="max")
    label = f"Absolute error ({stack.quantity.lower()}),\n{_band(stack, state['band'])}"
    bar.set_label("Spectral angle (degrees)" if state["mode"] == "angle" else label, fontsize=SMALL_FONT)
    bar.ax.tick_params(labelsize=SMALL_FONT, width=0.5, length=2)
    bar.outline.set_linewidth(0.4)


def _ring(ax: Axes, point: list[int]) -> None:
    """Mark the pixel whose spectra are shown."""
    for colour, width in (("black", 2.0), ("white", 1.0)):
        ax.plot(
            point[1] + 0.5,
            point[0] + 0.5,
            "o",
            markersize=6,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=width,
        )


def _band(stack: Stack, band: int) -> str:
    return f"band {band + 1}" if stack.wavelengths is None else f"{stack.wavelengths[band]:.0f} nm"


def _draw_spectra(figure: Figure, height: float, stack: Stack, state: dict[str, Any]) -> None:
    """The spectra of every image but the guide at the viewer's point."""
    row, column = state["point"]
    wide = (PAGE_WIDTH - LEFT - RIGHT) / PAGE_WIDTH
    ax = figure.add_axes((LEFT / PAGE_WIDTH, BOTTOM / height, wide, (PLOT - BOTTOM) / height))
    across = np.arange(1, stack.bands + 1) if stack.wavelengths is None else stack.wavelengths
    order, styles = np.argsort(across), curve_styles(stack)
    for layer, spectrum in zip(stack.layers, stack.spectra(row, column), strict=True):
        if spectrum is not None:
            below: dict[str, Any] = (
                {"linewidth": 1.8, "zorder": 1} if layer.role == "truth" else {"linewidth": 1.1}
            )
            ax.plot(across[order], spectrum[order], label=layer.name, **below, **styles[layer.name])
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.set_xlim(across.min(), across.max())
    ax.set_title(f"Spectra at row {row}, column {column}", fontsize=FONT_SIZE, pad=3)
    ax.set_xlabel("Band number" if stack.wavelengths is None else "Wavelength (nm)", fontsize=FONT_SIZE)
    ax.set_ylabel(stack.quantity, fontsize=FONT_SIZE)
    ax.legend(fontsize=SMALL_FONT, frameon=False, ncols=2)
    tidy(ax)

"""Block diagrams: a sheet measured in inches, boxes with text, arrows between points, images and stacks of bands."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from ifmsr.figures.panels import Image
from ifmsr.figures.style import SMALL_FONT

Point = tuple[float, float]

CUBE, GUIDE, BOTH = "#fbe3d3", "#d5e6f3", "#eeeeee"
"""Fill of what belongs to the hyperspectral cube, to the RGB guide, and to both."""


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of `width` x `height` inches whose axes count inches from the lower left corner."""
    figure = Figure(figsize=(width, height), dpi=110)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return figure, ax


def box(ax: Axes, centre: Point, size: tuple[float, float], text: str, fill: str = BOTH) -> None:
    """Draw a box of `size` (width, height) around `centre` with text in its middle."""
    (x, y), (width, height) = centre, size
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor=fill,
            edgecolor="0.35",
            linewidth=0.7,
        )
    )
    write(ax, centre, text)


def write(ax: Axes, place: Point, text: str, size: float = SMALL_FONT, align: str = "center") -> None:
    """Write text at `place`, centred up and down, and across as `align` says."""
    ax.text(*place, text, fontsize=size, ha=align, va="center", linespacing=1.15)


def arrow(ax: Axes, *points: Point) -> None:
    """Draw a line through `points` that ends in an arrow head."""
    across, up = zip(*points, strict=True)
    ax.plot(across[:-1], up[:-1], color="0.25", linewidth=0.8, solid_capstyle="butt")
    look = {"arrowstyle": "-|>", "color": "0.25", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", points[-1], points[-2], arrowprops=look)


def adder(ax: Axes, centre: Point, sign: str = "+") -> None:
    """Draw a small circle with `sign`, where two paths meet."""
    ax.plot(*centre, "o", markersize=9, markerfacecolor="white", markeredgecolor="0.25", markeredgewidth=0.8)
    write(ax, centre, sign)


def picture(ax: Axes, corner: Point, width: float, image: Image) -> None:
    """Draw an image (H, W), or (H, W, 3) in [0, 1], with its lower left corner there and `width` inches wide."""
    (x, y), (rows, columns) = corner, image.shape[:2]
    box_of = (x, x + width, y, y + width * rows / columns)
    limits = ax.get_xlim(), ax.get_ylim()
    shades: dict[str, Any] = {} if image.ndim == 3 else {"cmap": "gray", "vmin": 0, "vmax": 1}
    ax.imshow(image, extent=box_of, interpolation="nearest", zorder=2, aspect="auto", **shades)
    ax.add_patch(
        Rectangle(corner, width, box_of[3] - y, fill=False, edgecolor="0.2", linewidth=0.5, zorder=3)
    )
    ax.set(xlim=limits[0], ylim=limits[1])


def stack(ax: Axes, corner: Point, width: float, images: Sequence[Image], step: float = 0.07) -> None:
    """Draw `images` one behind the other, the first in front; each is `step` inches to the right and above the last."""
    for number in reversed(range(len(images))):
        shift = number * step
        picture(ax, (corner[0] + shift, corner[1] + shift), width, np.asarray(images[number]))

"""Panels of figures: a band, an RGB image, a kernel, spectra, a framed region and its inset."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.figures.style import FONT_SIZE, PAGE_HEIGHT, PAGE_WIDTH, RED, method_styles, tidy

Image = NDArray[Any]
Window = tuple[int, int, int, int]  # top, left, height, width
Limits = tuple[float, float]

TRUTH = "Ground truth"
INSET_SIDE = 0.42  # of the panel's shorter side
LARGEST_PANEL = 2.4  # inches
PANEL_GAP = 0.04  # inches between panels
LETTER = 0.58  # mean width of a letter of DejaVu Sans, relative to the font size


def show_band(ax: Axes, image: Image, limits: Limits | None = None, title: str = "") -> AxesImage:
    """Draw one band (H, W) in grey; `limits` are the values of black and white (None: minimum and maximum)."""
    low, high = limits or (float(np.min(image)), float(np.max(image)))
    return _picture(ax, image, title, cmap="gray", vmin=low, vmax=high)


def show_error(ax: Axes, error: Image, highest: float) -> AxesImage:
    """Draw absolute errors (H, W) on a colour scale from 0 to `highest`."""
    return _picture(ax, error, "", cmap="magma", vmin=0, vmax=highest)


def show_rgb(ax: Axes, rgb: Image, title: str = "") -> AxesImage:
    """Draw an RGB image (3, H, W) in [0, 1]; values outside are clipped."""
    return _picture(ax, np.moveaxis(np.clip(rgb, 0, 1), 0, -1), title)


def show_kernel(ax: Axes, kernel: Image, title: str = "") -> AxesImage:
    """Draw a blur kernel (k, k) with a cross at its centre; a kernel without a shift is centred there."""
    drawn = _picture(ax, kernel, title, cmap="viridis", vmin=0, vmax=float(kernel.max()))
    centre = (len(kernel) - 1) / 2
    ax.plot(centre, centre, "+", color="white", markersize=7, markeredgewidth=1)
    return drawn


def show_spectra(
    ax: Axes, spectra: Mapping[str, Image], wavelengths: Image | None = None, quantity: str = "reflectance"
) -> None:
    """Draw spectra (B,) by name against the band number, counted from 1, or against `wavelengths` (nm).

    The spectrum "Ground truth" is black and on top; the others have the styles of `method_styles`. `quantity` names the
    values on the axis.
    """
    styles = method_styles(name for name in spectra if name != TRUTH)
    styles[TRUTH] = {"color": "black", "linestyle": "-", "zorder": 3}
    for name, spectrum in spectra.items():
        across = np.arange(1, len(spectrum) + 1) if wavelengths is None else wavelengths
        ax.plot(across, spectrum, label=name, linewidth=1.0, **styles[name])
    ax.set_xlabel("Band number" if wavelengths is None else "Wavelength (nm)", fontsize=FONT_SIZE)
    ax.set_ylabel(capitalised(quantity), fontsize=FONT_SIZE)
    tidy(ax)


def capitalised(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def _picture(ax: Axes, image: Image, title: str, **look: Any) -> AxesImage:
    drawn = ax.imshow(image, interpolation="nearest", **look)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    if title:
        ax.set_title(title, fontsize=FONT_SIZE, pad=3)
    return drawn


def busiest_window(image: Image) -> Window:
    """The square window with the most detail; its side is a sixth of the shorter side, at least 16 pixels.

    Detail is the magnitude of the gradient of the image's square root, which gives texture more weight than single
    edges or highlights.

    Parameters
    ----------
    image : (H, W), not negative.

    Returns
    -------
    (top, left, height, width) in pixels; in case of ties the topmost, then leftmost.
    """
    height, width = image.shape
    side = min(max(16, min(height, width) // 6), height, width)
    down, across = np.gradient(np.sqrt(image.astype(np.float64)))
    sums = np.pad(np.hypot(down, across).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    detail = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(np.argmax(detail)), detail.shape)
    return int(top), int(left), side, side


def tone(image: Image, black: Image | float, white: Image | float) -> Image:
    """Tone mapping: [`black`, `white`] to [0, 1] with a square root, which brightens dark scenes."""
    return np.sqrt(np.clip((image - black) / np.maximum(np.subtract(white, black), 1e-6), 0, 1))


def check_window(where: str, window: Window, shape: tuple[int, ...]) -> None:
    """Raise InputError unless the window is inside an image of shape (..., H, W)."""
    top, left, height, width = window
    low_enough = top + height <= shape[-2] and left + width <= shape[-1]
    if min(top, left) < 0 or min(height, width) < 1 or not low_enough:
        raise InputError(
            where,
            f"the region {window} leaves the image of {shape[-2]} x {shape[-1]} pixels",
            "Give (top, left, height, width) inside it",
        )


def cut(image: Image, window: Window) -> Image:
    """Crop an image (..., H, W) to the window."""
    top, left, height, width = window
    return image[..., top : top + height, left : left + width]


def frame(ax: Axes, window: Window) -> None:
    """Draw a red frame around the window."""
    top, left, height, width = window
    ax.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=RED, linewidth=0.8))


def wrap(title: str, inches: float, size: float) -> str:
    """Break a title between words into lines that fit into a width, for a font of `size` points; "_" is a blank."""
    letters = int(inches * 72 / (LETTER * size))
    words = title.replace("_", " ")
    return "\n".join(textwrap.wrap(words, max(1, letters), break_long_words=False, break_on_hyphens=False))


def inset(ax: Axes, window: Window, shape: tuple[int, ...], picture: Image, **look: Any) -> AxesImage:
    """Frame the window in red and draw `picture` of it, with the same frame, in a corner of the panel.

    The corner is the first of lower right, lower left, upper right and upper left where the inset does not cover the
    window.

    Parameters
    ----------
    ax : a panel that shows an image of `shape` (..., H, W).
    picture : (height, width) with `look` as in matplotlib's imshow, or (height, width, 3) in [0, 1].
    """
    top, left, height, width = window
    rows, columns = shape[-2:]
    side = INSET_SIDE * min(rows, columns)
    tall, wide = side * min(1, height / width), side * min(1, width / height)
    corners = [(rows - tall, columns - wide), (rows - tall, 0.0), (0.0, columns - wide), (0.0, 0.0)]

    def hides(corner: tuple[float, float]) -> bool:
        down, across = corner
        beside = left + width <= across or across + wide <= left
        return not (beside or top + height <= down or down + tall <= top)

    down, across = next((corner for corner in corners if not hides(corner)), corners[0])
    frame(ax, window)
    # axes coordinates start at the lower left
    small = ax.inset_axes((across / columns, 1 - (down + tall) / rows, wide / columns, tall / rows))
    drawn = _picture(small, picture, "", **look)
    red_border(small)
    return drawn


def red_border(ax: Axes) -> None:
    """Give a panel that shows a framed window the frame's colour."""
    ax.spines[:].set(visible=True, edgecolor=RED, linewidth=1.0)


def repeat_pixels(image: Image, scale: int) -> Image:
    """Nearest-neighbour upsampling of (..., h, w) by `scale`."""
    return image.repeat(scale, axis=-2).repeat(scale, axis=-1)


def panel_width(
    rows: Sequence[tuple[float, float]], columns: int, left: float, right: float, bottom: float
) -> float:
    """Width of a panel of `picture_grid` in inches, whose arguments these are."""
    tallest = max(aspect for aspect, _ in rows)
    heads = sum(head for _, head in rows)
    return min(
        (PAGE_WIDTH - left - right - PANEL_GAP * (columns - 1)) / columns,
        LARGEST_PANEL / max(tallest, 1),
        (PAGE_HEIGHT - heads - bottom) / sum(aspect for aspect, _ in rows),
    )


def picture_grid(
    rows: Sequence[tuple[float, float]],
    columns: int,
    left: float = 0.02,
    right: float = 0.02,
    bottom: float = 0.05,
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of at most the page's width and height with a grid of panels for images.

    Parameters
    ----------
    rows : per row the images' ratio of height to width, and the margin above the row for titles in inches.
    columns : number of panels per row.
    left, right, bottom : margins in inches.

    Returns
    -------
    The figure, and its axes by rows.
    """
    gap = PANEL_GAP
    panel = panel_width(rows, columns, left, right, bottom)
    width = left + right + panel * columns + gap * (columns - 1)
    height = sum(aspect * panel + head for aspect, head in rows) + bottom
    figure = Figure(figsize=(width, height))
    axes, top = [], height
    for aspect, head in rows:
        top -= head + aspect * panel
        places = [left + (panel + gap) * column for column in range(columns)]
        box = (panel / width, aspect * panel / height)
        axes.append([figure.add_axes((place / width, top / height, *box)) for place in places])
    return figure, axes

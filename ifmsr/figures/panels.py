"""Drawing one panel: a band, a colour image, a kernel, spectra, a framed region and its inset."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.figures.style import FONT_SIZE, PAGE_WIDTH, RED, method_styles, tidy

Image = NDArray[Any]
Window = tuple[int, int, int, int]  # top, left, height, width
Limits = tuple[float, float]

TRUTH = "Ground truth"
INSET_SIDE = 0.42  # of the panel's shorter side
LARGEST_PANEL = 2.4  # inches


def show_band(ax: Axes, image: Image, limits: Limits | None = None, title: str = "") -> AxesImage:
    """Draw one band (H, W) in grey; `limits` are the values of black and white (the image's own if None)."""
    low, high = limits or (float(np.min(image)), float(np.max(image)))
    return _picture(ax, image, title, cmap="gray", vmin=low, vmax=high)


def show_rgb(ax: Axes, rgb: Image, title: str = "") -> AxesImage:
    """Draw a colour image (3, H, W) in [0, 1]; values outside are clipped."""
    return _picture(ax, np.moveaxis(np.clip(rgb, 0, 1), 0, -1), title)


def show_kernel(ax: Axes, kernel: Image, title: str = "") -> AxesImage:
    """Draw a blur kernel (k, k) and a cross in its middle, where a kernel that moves nothing is centred."""
    drawn = _picture(ax, kernel, title, cmap="viridis", vmin=0, vmax=float(kernel.max()))
    centre = (len(kernel) - 1) / 2
    ax.plot(centre, centre, "+", color="white", markersize=7, markeredgewidth=1)
    return drawn


def show_spectra(ax: Axes, spectra: Mapping[str, Image], wavelengths: Image | None = None) -> None:
    """Draw spectra (B,) by name against the band number, counted from 1, or against `wavelengths` (nm).

    The one named "Ground truth" is black and lies on top; the others have their method's colour and dashes.
    """
    styles = method_styles(name for name in spectra if name != TRUTH)
    styles[TRUTH] = {"color": "black", "linestyle": "-", "zorder": 3}
    for name, spectrum in spectra.items():
        across = np.arange(1, len(spectrum) + 1) if wavelengths is None else wavelengths
        ax.plot(across, spectrum, label=name, linewidth=1.0, **styles[name])
    ax.set_xlabel("Band number" if wavelengths is None else "Wavelength (nm)", fontsize=FONT_SIZE)
    ax.set_ylabel("Reflectance", fontsize=FONT_SIZE)
    tidy(ax)


def _picture(ax: Axes, image: Image, title: str, **look: Any) -> AxesImage:
    drawn = ax.imshow(image, interpolation="nearest", **look)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    if title:
        ax.set_title(title, fontsize=FONT_SIZE, pad=3)
    return drawn


def busiest_window(image: Image) -> Window:
    """The square of a sixth of the shorter side (at least 16 pixels) with the most detail.

    Detail is the length of the gradient of the image's square root, so that a single hard edge or a
    highlight does not win over texture.

    Parameters
    ----------
    image : (H, W), not negative.

    Returns
    -------
    (top, left, height, width); the topmost, then leftmost, of equals.
    """
    height, width = image.shape
    side = min(max(16, min(height, width) // 6), height, width)
    down, across = np.gradient(np.sqrt(image.astype(np.float64)))
    sums = np.pad(np.hypot(down, across).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    detail = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(np.argmax(detail)), detail.shape)
    return int(top), int(left), side, side


def tone(image: Image, black: Image | float, white: Image | float) -> Image:
    """Values from `black` to `white` as brightness from 0 to 1: the square root, as dark scenes need it."""
    return np.sqrt(np.clip((image - black) / np.maximum(np.subtract(white, black), 1e-6), 0, 1))


def check_window(where: str, window: Window, shape: tuple[int, ...]) -> None:
    """Raise InputError unless the window lies inside an image of that shape (..., H, W)."""
    top, left, height, width = window
    low_enough = top + height <= shape[-2] and left + width <= shape[-1]
    if min(top, left) < 0 or min(height, width) < 1 or not low_enough:
        raise InputError(
            where,
            f"the region {window} leaves the image of {shape[-2]} x {shape[-1]} pixels",
            "Give (top, left, height, width) inside it",
        )


def cut(image: Image, window: Window) -> Image:
    """The window's part of an image (..., H, W)."""
    top, left, height, width = window
    return image[..., top : top + height, left : left + width]


def frame(ax: Axes, window: Window) -> None:
    """Frame the window in red on the panel."""
    top, left, height, width = window
    ax.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=RED, linewidth=0.8))


def inset(ax: Axes, window: Window, shape: tuple[int, ...], picture: Image, **look: Any) -> AxesImage:
    """Frame the window in red and draw `picture` of it, framed alike, in a corner of the panel.

    The corner is the first of lower right, lower left, upper right, upper left where the inset does not hide
    the window.

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
    # axes coordinates count from the lower left
    small = ax.inset_axes((across / columns, 1 - (down + tall) / rows, wide / columns, tall / rows))
    drawn = _picture(small, picture, "", **look)
    small.spines[:].set(visible=True, edgecolor=RED, linewidth=1.0)
    return drawn


def enlarge(image: Image, scale: int) -> Image:
    """Repeat every pixel of (..., h, w) `scale` times down and across."""
    return image.repeat(scale, axis=-2).repeat(scale, axis=-1)


def picture_grid(
    rows: Sequence[tuple[float, float]], columns: int, left: float = 0.02, right: float = 0.02
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of the page's width at most, its panels filling it to the margins.

    Parameters
    ----------
    rows : for each row its pictures' height by width, and the inches kept free above it for titles.
    left, right : inches kept free at the sides.
    """
    gap = 0.04
    tallest = max(aspect for aspect, _ in rows)
    panel = min((PAGE_WIDTH - left - right - gap * (columns - 1)) / columns, LARGEST_PANEL / max(tallest, 1))
    width = left + right + panel * columns + gap * (columns - 1)
    height = sum(aspect * panel + head for aspect, head in rows) + 0.05
    figure = Figure(figsize=(width, height))
    axes, top = [], height
    for aspect, head in rows:
        top -= head + aspect * panel
        places = [left + (panel + gap) * column for column in range(columns)]
        box = (panel / width, aspect * panel / height)
        axes.append([figure.add_axes((place / width, top / height, *box)) for place in places])
    return figure, axes

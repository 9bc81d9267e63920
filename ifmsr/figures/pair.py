"""Figures of a pair of images: the inputs with the result, and the inputs with the estimated degradation."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ifmsr.figures.panels import busiest_window, cut, inset, repeat_pixels, show_kernel, show_rgb, tone
from ifmsr.figures.style import FONT_SIZE, PAGE_WIDTH, SMALL_FONT, tidy

Image = NDArray[Any]

NATURAL = (640.0, 550.0, 460.0)  # nm, shown as red, green and blue
WITHIN = 30.0  # nm
MARKERS = (("#D55E00", "-"), ("#0072B2", "--"), ("#009E73", "-."))


def bands_near(wavelengths: Image, centres: tuple[float, float, float]) -> tuple[int, int, int] | None:
    """The band nearest to each of three wavelengths in nm, or None if one lies further than `WITHIN` from it."""
    red, green, blue = (int(np.abs(wavelengths - centre).argmin()) for centre in centres)
    far = np.abs(wavelengths[[red, green, blue]] - centres).max() > WITHIN
    return None if far else (red, green, blue)


def shown_bands(bands: int, wavelengths: Image | None) -> tuple[tuple[int, int, int], str]:
    """The three bands that are shown as red, green and blue, and the name of the rendering.

    It is "natural colour" if there are bands near the wavelengths `NATURAL`. Otherwise it is "false colour", with one
    band each from the long, the middle and the short third of the spectrum.
    """
    if wavelengths is not None and (natural := bands_near(wavelengths, NATURAL)):
        return natural, "natural colour"
    order = np.arange(bands) if wavelengths is None else np.argsort(wavelengths)
    places = [int(order[bands * part // 6]) for part in (5, 3, 1)]
    return (places[0], places[1], places[2]), "false colour"


def guide_name(rgb: Image) -> str:
    """What a guide (3, H, W) is: a panchromatic image has three equal channels."""
    return "panchromatic guide" if np.array_equal(rgb[:-1], rgb[1:], equal_nan=True) else "RGB guide"


def result_figure(lr: Image, rgb: Image, sr: Image, scale: int, wavelengths: Image | None = None) -> Figure:
    """Figure of LR cube, RGB guide and result with a magnified region, and the spectra of three pixels.

    Parameters
    ----------
    lr, rgb, sr : (B, h, w), (3, H, W), (B, H, W) in [0, 1]; NaN where no value is valid.
    wavelengths : (B,) in nm, or None.
    """
    bands, colour = shown_bands(len(lr), wavelengths)
    window = busiest_window(np.nan_to_num(rgb).mean(axis=0))
    figure = Figure(
        figsize=(PAGE_WIDTH, 0.33 * PAGE_WIDTH * rgb.shape[1] / rgb.shape[2] + 2.3), layout="constrained"
    )
    grid = figure.add_gridspec(2, 3, height_ratios=(1.3, 1))
    black, white = np.nanpercentile(lr[list(bands)], (1, 99), axis=(1, 2), keepdims=True)
    panels = {
        f"LR cube, {colour}": tone(repeat_pixels(lr[list(bands)], scale), black, white),
        guide_name(rgb): rgb,
        f"result, {colour}": tone(sr[list(bands)], black, white),
    }
    places = _places(sr)
    for column, (title, image) in enumerate(panels.items()):
        ax = figure.add_subplot(grid[0, column])
        shown = np.nan_to_num(image).clip(0, 1)
        show_rgb(ax, shown, title)
        inset(ax, window, shown.shape, np.moveaxis(cut(shown, window), 0, -1))
        if column == 2:
            for (row, across), (hue, _) in zip(places, MARKERS, strict=True):
                ax.plot(
                    across, row, "o", color=hue, markeredgecolor="white", markersize=5, markeredgewidth=0.7
                )
    ax = figure.add_subplot(grid[1, :])
    at = np.arange(1, len(lr) + 1) if wavelengths is None else wavelengths
    for (row, across), (hue, dash) in zip(places, MARKERS, strict=True):
        ax.plot(at, sr[:, row, across], dash, color=hue, linewidth=1.0, label=f"result at ({row}, {across})")
        ax.plot(at, lr[:, row // scale, across // scale], ".", color=hue, markersize=2.5)
    drawn = np.stack([sr[:, row, across] for row, across in places])
    # a percentile, because noisy bands would compress the curves
    ax.set_ylim(0, 1.4 * max(float(np.percentile(drawn, 97)), 1e-3))
    ax.set_xlabel("Band number" if wavelengths is None else "Wavelength (nm)", fontsize=FONT_SIZE)
    ax.set_ylabel("Value (dots: LR pixel)", fontsize=FONT_SIZE)
    ax.legend(fontsize=SMALL_FONT, frameon=False)
    tidy(ax)
    return figure


def assessment_figure(
    lr: Image, rgb: Image, kernel: Image, response: Image, scale: int, wavelengths: Image | None = None
) -> Figure:
    """Figure of LR cube, RGB guide, estimated blur kernel and estimated spectral response function.

    Parameters
    ----------
    lr, rgb : (B, h, w), (3, H, W) in [0, 1]; NaN where no value is valid.
    kernel : (k, k).
    response : (3, B) or (3, B + 1), last column the offset.
    """
    bands, colour = shown_bands(len(lr), wavelengths)
    black, white = np.nanpercentile(lr[list(bands)], (1, 99), axis=(1, 2), keepdims=True)
    figure = Figure(figsize=(PAGE_WIDTH, 2.2), layout="constrained")
    axes = figure.subplots(1, 4)
    show_rgb(
        axes[0],
        np.nan_to_num(tone(repeat_pixels(lr[list(bands)], scale), black, white)),
        f"LR cube, {colour}",
    )
    show_rgb(axes[1], np.nan_to_num(rgb), guide_name(rgb))
    show_kernel(axes[2], kernel, "blur kernel")
    at = np.arange(1, len(lr) + 1) if wavelengths is None else wavelengths
    for curve, hue in zip(response[:, : len(lr)], ("#D55E00", "#009E73", "#0072B2"), strict=True):
        axes[3].plot(at, curve, color=hue, linewidth=1.0)
    axes[3].set_title("spectral response", fontsize=FONT_SIZE, pad=3)
    axes[3].set_xlabel("Band number" if wavelengths is None else "Wavelength (nm)", fontsize=FONT_SIZE)
    tidy(axes[3])
    return figure


def _places(sr: Image) -> list[tuple[int, int]]:
    """Positions of a dark, a medium and a bright pixel with valid spectra."""
    brightness = sr.mean(axis=0)
    valid = np.flatnonzero(np.isfinite(brightness.ravel()))
    order = valid[np.argsort(brightness.ravel()[valid], kind="stable")]
    chosen = [order[len(order) * part // 10] for part in (2, 5, 9)]
    return [(int(place) // sr.shape[2], int(place) % sr.shape[2]) for place in chosen]

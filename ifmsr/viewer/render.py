"""From bytes to colours: the formulas of ``viewer.js`` in NumPy.

A band is shown as t = sqrt((v - black) / (white - black)), clipped to [0, 1], a linear guide likewise and any other
guide without the root; errors and angles as v / limit in the colours of magma. Missing values are transparent.
"""

from functools import cache
from typing import Any

import numpy as np
from matplotlib import colormaps

from ifmsr.viewer.planes import Bytes, Kind, decode, plane
from ifmsr.viewer.stack import Bands, Layer, Stack

Picture = Bytes


@cache
def palette() -> Bytes:
    """(256, 3): the colours of errors and angles, from 0 to the limit."""
    colours: Bytes = np.floor(255 * colormaps["magma"](np.arange(256))[:, :3] + 0.5).astype(np.uint8)
    return colours


def grey_table(low: float, high: float, black: float, white: float, root: bool) -> Bytes:
    """(256,): the brightness of each byte of a band."""
    share = ((decode(low, high) - black) / max(white - black, 1e-6)).clip(0, 1)
    return np.nan_to_num(np.floor(255 * (np.sqrt(share) if root else share) + 0.5)).astype(np.uint8)


def colour_table(high: float, limit: float) -> Bytes:
    """(256, 3): the colour of each byte of an error map."""
    share = np.nan_to_num(decode(0, high) / limit).clip(0, 1)
    return palette()[np.floor(255 * share + 0.5).astype(int)]


def look(stack: Stack, layer: Layer) -> dict[str, Any]:
    """How a layer's bands are shown: ranges, black, white, and whether the root is taken."""
    low, high = layer.ranges
    if layer.role == "guide":
        black, white, root = stack.guide_stretch(layer)
    else:
        (black, white), root = stack.stretch, True
    return {
        "low": low.tolist(),
        "high": high.tolist(),
        "black": black.tolist(),
        "white": white.tolist(),
        "root": bool(root),
    }


def colour_picture(stack: Stack, place: int, bands: Bands) -> Picture:
    """A layer with three bands as red, green and blue, (h, w, 4); the guide is shown in its own colours."""
    layer = stack.layers[place]
    chosen = (0, 1, 2) if layer.role == "guide" else bands
    about = look(stack, layer)
    low, high, black, white = (np.take(about[key], chosen) for key in ("low", "high", "black", "white"))
    tables = [grey_table(low[c], high[c], black[c], white[c], about["root"]) for c in range(3)]
    planes = [plane(stack, place, "band", band) for band in chosen]
    shown = [table[levels] for table, levels in zip(tables, planes, strict=True)]
    return np.stack([*shown, _opaque(*planes)], axis=-1)


def band_picture(stack: Stack, place: int, band: int) -> Picture:
    """One band of a layer in grey, (h, w, 4)."""
    return colour_picture(stack, place, (band, band, band))


def error_picture(stack: Stack, place: int, of: Kind, band: int, limit: float) -> Picture:
    """The absolute error of a band, or the spectral angle, from 0 to `limit`, (h, w, 4)."""
    levels = plane(stack, place, of, band)
    high = stack.error_limits[0] if of == "error" else stack.angle_limits[0]
    return np.concatenate([colour_table(high, limit)[levels], _opaque(levels)[..., None]], axis=-1)


def _opaque(*planes: Bytes) -> Bytes:
    """255 where every plane has a value, 0 elsewhere."""
    return (255 * np.all([levels > 0 for levels in planes], axis=0)).astype(np.uint8)

"""Images as bytes: 0 for a missing value, 1 to 255 for values from the least to the largest.

Byte q stands for the value low + (high - low) ((q - 1) / 254)^2. The square gives dark values, and small errors,
finer steps than bright ones.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError, check_choice, whole
from ifmsr.viewer.stack import Stack

Bytes = NDArray[np.uint8]
Kind = Literal["band", "error", "angle"]
KINDS = ("band", "error", "angle")
STEPS = 254


def encode(values: NDArray[np.float32], low: float, high: float) -> Bytes:
    """Values of any shape as bytes; those outside [low, high] are clipped, NaN becomes 0."""
    share = (values.astype(np.float64) - low) / max(high - low, 1e-12)
    levels = 1 + np.floor(STEPS * np.sqrt(share.clip(0, 1)) + 0.5)
    return np.nan_to_num(levels).astype(np.uint8)


def decode(low: float, high: float) -> NDArray[np.float64]:
    """(256,): the value that each byte stands for; NaN for byte 0."""
    share = ((np.arange(256) - 1) / STEPS) ** 2
    values = low + (high - low) * share
    values[0] = np.nan
    return values


def plane(stack: Stack, place: int, of: Kind, band: int = 0) -> Bytes:
    """One plane of a layer, (h, w): a band, its absolute error, or the spectral angle to the truth.

    Raises InputError if there is no such layer or band, or the layer has no error.
    """
    check_choice("of", of, KINDS)
    place = whole("layer", place, 0, len(stack.layers) - 1)
    layer = stack.layers[place]
    if of != "band" and place not in stack.compared:
        raise InputError("layer", f"{layer.name!r} has no error", "Give a truth on the same grid")
    if of == "angle":
        return encode(stack.angles(place), 0, stack.angle_limits[0])
    band = whole("band", band, 0, len(layer.values) - 1)
    if of == "error":
        assert stack.truth is not None
        return encode(abs(layer.values[band] - stack.truth.values[band]), 0, stack.error_limits[0])
    low, high = layer.ranges
    return encode(layer.values[band], float(low[band]), float(high[band]))


def all_planes(stack: Stack) -> list[tuple[int, Kind, int]]:
    """Every plane that a page without a kernel may show: (layer, kind, band)."""
    found: list[tuple[int, Kind, int]] = []
    for place, layer in enumerate(stack.layers):
        found += [(place, "band", band) for band in range(len(layer.values))]
        if place in stack.compared:
            found += [(place, "error", band) for band in range(stack.bands)]
            found.append((place, "angle", 0))
    return found

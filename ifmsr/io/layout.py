"""Which axis of an array holds the bands."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError

Layout = Literal["HWC", "CHW"]
LAYOUTS: tuple[Layout, ...] = ("HWC", "CHW")


def bands_first(
    path: Path, array: NDArray[Any], layout: Layout | None = None, beside: tuple[int, int] | None = None
) -> NDArray[Any]:
    """A view (B, h, w) of an array whose file does not say where its bands are; an image (h, w) has one band.

    Parameters
    ----------
    layout : "HWC" (bands last) or "CHW" (bands first). Where it is not given, the size of the other image decides, and
        otherwise the smallest axis is taken for the bands.
    beside : (H, W) of the image that shows the same place finer or coarser by a whole number.

    Raises
    ------
    InputError : the array has not two or three axes, or the band axis is ambiguous.
    """
    if array.ndim == 2:
        return array[np.newaxis]
    if array.ndim != 3:
        raise InputError(path, f"an array of shape {array.shape}", "Give an image with three axes")
    chosen = layout or _by_size(array.shape, beside) or _by_smallest(path, array.shape)
    return array if chosen == "CHW" else np.moveaxis(array, -1, 0)


def _by_size(shape: tuple[int, ...], beside: tuple[int, int] | None) -> Layout | None:
    """The only layout whose pixels go with the size of the image beside it, or None."""
    if beside is None:
        return None
    sides: dict[Layout, tuple[int, ...]] = {"HWC": shape[:2], "CHW": shape[1:]}
    fitting = [layout for layout, size in sides.items() if _go_together(size, beside)]
    return fitting[0] if len(fitting) == 1 else None


def _go_together(a: tuple[int, ...], b: tuple[int, int]) -> bool:
    """Whether one size is the other times a whole number."""
    coarse, fine = sorted([a, b])
    factor = fine[0] // coarse[0]
    return (factor * coarse[0], factor * coarse[1]) == tuple(fine)


def _by_smallest(path: Path, shape: tuple[int, ...]) -> Layout:
    smallest = min(shape)
    if shape.count(smallest) > 1 or shape[1] == smallest:
        raise InputError(
            path,
            f"the band axis of shape {shape} is ambiguous",
            'Say layout="HWC" if the bands come last, layout="CHW" if they come first',
        )
    return "CHW" if shape[0] == smallest else "HWC"

"""What a file holds, in its own numbers: the one form in which every reader hands its content on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Transform = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f) in the order of the package affine: x = a column + b row + c, y = d column + e row + f, where
(0, 0) is the upper left corner of the first pixel."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Stored:
    """The content of a file: numbers as stored, metadata as stated.

    Attributes
    ----------
    path : the file.
    array : (B, h, w), any numeric type.
    wavelengths, fwhm : (B,) in nm, or None.
    good : (B,) bool, False for bands that the file calls bad, or None.
    names : one name per band, or none at all.
    alpha : (h, w) bool, False for transparent pixels, or None.
    crs : coordinate reference system as WKT or as an authority's code (``EPSG:32611``), or None.
    transform : see `Transform`, or None.
    scale, offset : (B,) or a number, physical = scale * stored + offset; None if the file states none.
    nodata : the stored number that stands for a missing value, or None.
    header : every other entry of the file's metadata. An entry with one value per band is a list of B texts.
    """

    path: Path
    array: NDArray[Any]
    wavelengths: Numbers | None = None
    fwhm: Numbers | None = None
    good: NDArray[np.bool_] | None = None
    names: tuple[str, ...] = ()
    alpha: NDArray[np.bool_] | None = None
    crs: str | None = None
    transform: Transform | None = None
    scale: Numbers | float | None = None
    offset: Numbers | float | None = None
    nodata: float | None = None
    header: Mapping[str, Any] = field(default_factory=dict)


NANOMETRES = {
    "nanometers": 1.0,
    "nanometer": 1.0,
    "nanometres": 1.0,
    "nm": 1.0,
    "micrometers": 1e3,
    "micrometer": 1e3,
    "micrometres": 1e3,
    "microns": 1e3,
    "micron": 1e3,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "millimeters": 1e6,
    "angstroms": 0.1,
}
"""Unit of length, in small letters -> nanometres."""


def in_nanometres(centres: Any, widths: Any, unit: str) -> tuple[Numbers | None, Numbers | None]:
    """Band centres and widths in nm; None for what is not there, is no length (an index, a wavenumber) or no number.

    Without a unit, centres below 100 are micrometres: no optical sensor sees less than 100 nm or more than 100 µm.
    """
    found = _finite(centres)
    unit = unit.strip().lower()
    if unit in ("", "unknown"):
        if found is None or found.min() <= 0:
            return None, None
        factor = 1e3 if found.max() < 100 else 1.0
    elif unit in NANOMETRES:
        factor = NANOMETRES[unit]
    else:
        return None, None
    spread = _finite(widths)
    return None if found is None else found * factor, None if spread is None else spread * factor


def _finite(values: Any) -> Numbers | None:
    """Finite numbers, or None."""
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return None
    return numbers if numbers.ndim and numbers.size and np.isfinite(numbers).all() else None

"""Measured spectral response functions of 52 cameras.

The table is the one of rawtoaces-data (Academy Software Foundation, Apache License 2.0), 380 to 780 nm in steps of
5 nm, rounded to four digits.
"""

import csv
import difflib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.scenes.response import PUBLISHED, resample_srf
from ifmsr.scenes.scene import Array


def camera_names() -> tuple[str, ...]:
    """The names of all cameras, in alphabetical order."""
    return tuple(_table())


def camera_response(name: str, wavelengths: NDArray[np.float64]) -> Array:
    """A camera's measured spectral response function at given band centres.

    Parameters
    ----------
    name : one of `camera_names`.
    wavelengths : (B,) band centres in nm; what lies outside 380 to 780 nm counts as unseen.

    Returns
    -------
    (3, B) float32, rows R, G, B, each summing to 1.

    Raises
    ------
    InputError : there is no such camera, or one of its channels sees none of the bands.

    Examples
    --------
    >>> camera_response("Nikon D700", np.arange(400.0, 701.0, 10.0)).shape
    (3, 31)
    """
    table = _table()
    if name not in table:
        close = difflib.get_close_matches(name, table, n=3, cutoff=0.4)
        fix = f"Did you mean {' or '.join(close)}?" if close else "See ifmsr.scenes.cameras.camera_names()"
        raise InputError("camera", f"there is no {name!r} among the {len(table)} measured ones", fix)
    measured_at, curves = table[name]
    return resample_srf(curves, measured_at, wavelengths)


@lru_cache(maxsize=1)
def _table() -> dict[str, tuple[NDArray[np.float64], Array]]:
    """Camera -> its wavelengths (81,) in nm and its response (3, 81)."""
    samples: dict[str, list[list[float]]] = {}
    with (PUBLISHED / "cameras.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            samples.setdefault(row["camera"], []).append(
                [float(row[key]) for key in ("wavelength_nm", "R", "G", "B")]
            )
    tables = {name: np.array(rows).T for name, rows in sorted(samples.items())}
    return {name: (table[0], table[1:].astype(np.float32)) for name, table in tables.items()}

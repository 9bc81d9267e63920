"""Measured spectral response functions of 52 cameras, and the band limits of two satellites.

The table is from rawtoaces-data (Academy Software Foundation, Apache License 2.0), 380 to 780 nm in steps of 5 nm,
rounded to four digits. Of the satellites only the nominal limits of the red, green and blue band are used, as their
operators state them: the response is taken as constant between them.
"""

import csv
import difflib
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError, did_you_mean
from ifmsr.scenes.response import PUBLISHED, read_srf, resample_srf
from ifmsr.scenes.scene import Array

PAPER = "nikon-d700"
"""The name of the paper's table (`ifmsr.scenes.response.nikon_d700`), which is not among the measured cameras."""
SATELLITES = {
    "worldview-2": ((630.0, 690.0), (510.0, 580.0), (450.0, 510.0)),  # Maxar
    "sentinel-2": ((650.0, 680.0), (542.5, 577.5), (457.5, 522.5)),  # ESA
}
"""Satellite -> the limits of its red, green and blue band in nm."""


def camera_names() -> tuple[str, ...]:
    """The names of all cameras, in alphabetical order."""
    return tuple(_table())


def camera_response(name: str, wavelengths: NDArray[np.float64]) -> Array:
    """A camera's measured spectral response function at given band centres.

    Parameters
    ----------
    name : one of `camera_names`.
    wavelengths : (B,) band centres in nm; the response is 0 outside 380 to 780 nm.

    Returns
    -------
    (3, B) float32, rows R, G, B, each summing to 1.

    Raises
    ------
    InputError : there is no such camera, or one of its channels has no response in any band.

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


def find_response(source: str | Path, bands: int, wavelengths: NDArray[np.float64] | None = None) -> Array:
    """The spectral response function for the bands of a cube, by camera name or from a CSV file.

    Parameters
    ----------
    source : ``nikon-d700`` for the paper's table; one of `camera_names`, also in lower case with hyphens
        (``canon-eos-5d``); one of `SATELLITES`; or a CSV file, see `read_srf`.
    bands : number of bands of the cube.
    wavelengths : (B,) band centres in nm. If None, the table must have one line per band.

    Returns
    -------
    (3, B) float32, rows R, G, B, each summing to 1.

    Raises
    ------
    InputError : no such camera or file; the wavelengths are needed and not given; a channel has no response in any
        band.
    """
    name = _spelled(str(source))
    if source in camera_names():
        measured_at, response = _table()[str(source)]
    elif name == PAPER:
        measured_at, response = read_srf(PUBLISHED / "nikon_d700.csv")
    elif name in SATELLITES:
        measured_at, response = _between(SATELLITES[name])
    elif Path(source).is_file():
        measured_at, response = read_srf(source)
    else:
        cameras = {_spelled(camera): camera for camera in camera_names()}
        if name not in cameras:
            close = did_you_mean(name, (PAPER, *SATELLITES, *cameras))
            fix = f"{close}Give a name that `ifmsr cameras` lists, or a CSV file"
            raise InputError("srf", f"{str(source)!r} is no file and no known camera", fix)
        measured_at, response = _table()[cameras[name]]
    if wavelengths is not None:
        return resample_srf(response, measured_at, wavelengths)
    if response.shape[1] != bands:
        raise InputError(
            "srf",
            f"the response of {source} has {response.shape[1]} wavelengths, and those of the cube's {bands} bands are "
            "not known",
            "Give a CSV file with one line per band, or a cube whose file has wavelengths",
        )
    return response


def _between(limits: tuple[tuple[float, float], ...]) -> tuple[NDArray[np.float64], Array]:
    """Wavelengths in nm, half a nanometre apart, and a response (3, ...) that is 1 between limits."""
    wavelengths = np.arange(min(map(min, limits)), max(map(max, limits)) + 0.5, 0.5)
    rows = [(wavelengths >= low) & (wavelengths <= high) for low, high in limits]
    return wavelengths, np.stack(rows).astype(np.float32)


def _spelled(name: str) -> str:
    """A camera's name in lower case, with hyphens between the words."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))


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

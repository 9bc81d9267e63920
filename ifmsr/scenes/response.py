"""Spectral response functions of RGB cameras: the paper's table, tables in CSV files, resampling."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.scenes.scene import Array
from ifmsr.untrusted import decoding, read_text

PUBLISHED = Path(__file__).parent / "published"


def nikon_d700() -> Array:
    """The spectral response function P of the paper (section IV): Nikon D700, 400 to 700 nm in steps of 10 nm.

    The 3 x 31 table is that of the released programs of UAL, MHF-net and IFMSR. Its entries are whole numbers; each of
    R, G and B is divided by its sum (255, 203, 251), so that rgb = P * hsi is in [0, 1].

    Returns
    -------
    (3, 31) float32, rows R, G, B, each summing to 1.
    """
    return read_srf(PUBLISHED / "nikon_d700.csv")[1]


def read_srf(path: str | Path) -> tuple[NDArray[np.float64], Array]:
    """Read a spectral response function from a CSV file with the columns `wavelength_nm,R,G,B`.

    The unit does not matter: each of R, G and B is divided by its sum.

    Returns
    -------
    wavelengths (B,) in nm, increasing; response (3, B) float32, rows R, G, B summing to 1.

    Raises
    ------
    InputError : no such file, other columns, an entry that is not a number, a negative or all-zero response, or
        wavelengths that do not increase.
    """
    path = Path(path)
    fix = "Give a CSV file with the header wavelength_nm,R,G,B and one line of numbers per band"
    with decoding(path, "a response table", fix):
        rows = list(csv.DictReader(read_text(path).splitlines()))
        table = np.array([[float(row[key]) for key in ("wavelength_nm", "R", "G", "B")] for row in rows])
    if not len(table) or not np.isfinite(table).all():
        raise InputError(path, "an empty table, or values that are not finite", fix)
    wavelengths, response = table[:, 0], table[:, 1:].T
    if (np.diff(wavelengths) <= 0).any():
        raise InputError(path, "the wavelengths do not increase", "Sort the lines and remove doubles")
    return wavelengths, _normalised(path, response)


def resample_srf(
    srf: Array, wavelengths_from: NDArray[np.float64], wavelengths_to: NDArray[np.float64]
) -> Array:
    """Resample a spectral response function to other wavelengths, linearly; it is 0 outside its own range.

    Parameters
    ----------
    srf : (3, A) response.
    wavelengths_from : (A,) in nm, increasing.
    wavelengths_to : (B,) in nm.

    Returns
    -------
    (3, B) float32, rows summing to 1.

    Raises
    ------
    InputError : the sizes differ, or a channel has no response at `wavelengths_to`.
    """
    if srf.shape != (3, len(wavelengths_from)):
        raise InputError(
            "srf",
            f"shape {srf.shape} for {len(wavelengths_from)} wavelengths",
            "Give one column per wavelength",
        )
    rows = [np.interp(wavelengths_to, wavelengths_from, row, left=0, right=0) for row in srf]
    return _normalised("srf", np.stack(rows))


def _normalised(where: object, response: NDArray[np.float64]) -> Array:
    sums = response.sum(axis=1, keepdims=True)
    if (response < 0).any() or (sums <= 0).any():
        raise InputError(
            where, "a channel's response is negative or zero everywhere", "Give positive responses"
        )
    return (response / sums).astype(np.float32)

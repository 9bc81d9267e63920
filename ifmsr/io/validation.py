"""The one door from stored numbers to a `Cube`: missing values, bad bands, scale, negative values, what was done."""

from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.io.cube import Cube
from ifmsr.io.stored import Stored

SENTINELS = (-9999.0, -99999.0, -32768.0)
"""Numbers that stand for a missing value in files which do not say so."""
HUGE = 1e30  # beyond it no measurement lies: the -3.4e38 of many rasters
LEAST_BITS = 8


def to_cube(
    stored: Stored,
    maximum: float | None = None,
    nodata: float | None = None,
    bad_bands: bool = False,
    whole_pixels: bool = False,
) -> Cube:
    """Stored numbers as values in [0, 1], NaN where none is valid, and a line that says what was taken.

    Parameters
    ----------
    maximum : the stored number that becomes 1. Where it is not given: the file's scale counts, and reflectance of 1
        becomes 1; counts without a scale are divided by the smallest 2^n - 1 (255, 1023, 4095, ...) that holds them
        all, real numbers by 1. What lies beyond that raises it to the largest value.
    nodata : the stored number that stands for a missing value, instead of the file's.
    bad_bands : keep the bands that the file calls bad.
    whole_pixels : a pixel is missing only where every band has the number of a missing value: in a picture, one channel
        of 255 is a bright colour whatever the file says.

    Raises
    ------
    InputError : complex numbers or texts, no valid value, values far below zero, a maximum that is none or smaller than
        the largest value, a scale of 0.
    """
    array = stored.array
    if array.dtype.kind not in "iuf":
        raise InputError(stored.path, f"values of type {array.dtype}", "Give integers or real numbers")
    if array.size == 0:
        raise InputError(
            stored.path, f"an empty array of shape {array.shape}", "Give at least one pixel and band"
        )
    if maximum is not None and not 0 < maximum < inf:
        raise InputError(
            "maximum", f"{maximum} for {stored.path}", "Give the positive value that shall become 1"
        )
    missing, nodata = _missing(stored, nodata, whole_pixels)
    kept = ~missing.all(axis=(1, 2))
    flagged = np.ones_like(kept) if bad_bands or stored.good is None else stored.good.astype(bool)
    kept &= flagged
    if not kept.any():
        raise InputError(
            stored.path, "it has no valid value", "Check what stands for a missing value: nodata="
        )

    bands = len(array)
    scale, offset = np.ones(bands), np.zeros(bands)
    if maximum is None:
        scale = np.broadcast_to(1.0 if stored.scale is None else stored.scale, bands).astype(np.float64)
        offset = np.broadcast_to(0.0 if stored.offset is None else stored.offset, bands).astype(np.float64)
    if not (np.isfinite(scale) & (scale != 0) & np.isfinite(offset)).all():
        raise InputError(stored.path, "its scale or offset is 0 or no number", "Give a maximum= instead")
    stated = maximum is None and not (stored.scale is None and stored.offset is None)
    values = array.astype(np.float32)
    if stated:
        for band in range(bands):  # one at a time: the float64 of a whole cube would be twice its size
            values[band] = array[band] * scale[band] + offset[band]
    values[missing] = np.nan
    valid = values[kept]
    least, most = float(np.nanmin(valid)), float(np.nanmax(valid))
    one = _one(stored, maximum, stated, most)
    if most > one * (1 + 1e-6):
        raise InputError(
            stored.path,
            f"values from {least:.6g} to {most:.6g}, more than the maximum of {one:g}",
            "Give a maximum= that holds them all",
        )
    if least < -one / 2:
        raise InputError(
            stored.path,
            f"values from {least:.6g} to {most:.6g}",
            "Values so far below zero are no measurement: name the number of a missing value with nodata=",
        )
    negative = int((valid < 0).sum())
    values /= np.float32(one)
    np.clip(values, 0, 1, out=values)  # NaN stays NaN
    cube = Cube(
        values,
        stored.wavelengths,
        stored.fwhm,
        stored.good,
        stored.names,
        stored.crs,
        stored.transform,
        scale,
        offset,
        one,
        nodata,
        str(np.dtype(array.dtype.newbyteorder("="))),
        stored.header,
    ).bands(kept)
    parts = [
        "{} bands of {} x {} pixels, {}".format(*cube.values.shape, cube.dtype),
        _spectrum(cube),
        _scale(stated, one, cube),
        f"values from {least / one:.4g} to {most / one:.4g}",
        f"{negative} slightly negative values (least {least / one:.2g}) set to 0" if negative else "",
        f"{bands - int(kept.sum())} bands left out (flagged as bad, or without a valid value)"
        if not kept.all()
        else "",
        f"{int(np.isnan(cube.values).any(axis=0).sum())} pixels without valid values"
        if missing[kept].any()
        else "",
    ]
    return replace(cube, taken=f"{stored.path}: " + "; ".join(part for part in parts if part))


def _missing(
    stored: Stored, nodata: float | None, whole_pixels: bool
) -> tuple[NDArray[np.bool_], float | None]:
    """(B, h, w) where no valid value is, and the number that says so."""
    array, kind = stored.array, stored.array.dtype.kind
    nodata = stored.nodata if nodata is None else nodata
    if nodata is not None and kind != "f" and not _holds(array.dtype, nodata):
        nodata = None  # some writers leave -9999 in files of uint8
    missing = np.zeros(array.shape, bool)
    if kind == "f":
        missing = ~np.isfinite(array) | (np.abs(array) > HUGE)
    if nodata is None:
        least = float(array.min(where=~missing, initial=0))
        nodata = least if least in SENTINELS else None
    if nodata is not None and abs(nodata) < HUGE:
        found = (
            np.abs(array - array.dtype.type(nodata)) <= 1e-6 * abs(nodata) if kind == "f" else array == nodata
        )
        missing |= found.all(axis=0) if whole_pixels else found
    if stored.alpha is not None:
        missing |= ~stored.alpha
    return missing, nodata


def _holds(dtype: np.dtype[Any], number: float) -> bool:
    """Whether an integer type has a number."""
    limits = np.iinfo(dtype)
    return float(number).is_integer() and limits.min <= number <= limits.max


def _one(stored: Stored, maximum: float | None, stated: bool, most: float) -> float:
    """The physical value that becomes 1."""
    if maximum is not None:
        return maximum
    if stated or stored.array.dtype.kind == "f":
        return max(1.0, most)
    bits = max(LEAST_BITS, int(max(most, 1)).bit_length())
    return float(2**bits - 1)


def _spectrum(cube: Cube) -> str:
    if cube.wavelengths is None:
        return ""
    return f"{cube.wavelengths.min():.0f} to {cube.wavelengths.max():.0f} nm"


def _scale(stated: bool, one: float, cube: Cube) -> str:
    assert cube.scale is not None  # set on construction
    if not stated:
        return f"divided by {one:g}" if one != 1 else ""
    factor = f"scale {cube.scale[0]:g}" if np.ptp(cube.scale) == 0 else "a scale for each band"
    return f"{factor} as the file says" + (f", then divided by {one:g}" if one != 1 else "")

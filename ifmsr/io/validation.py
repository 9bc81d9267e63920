"""The one door from stored numbers to a `Cube`: missing values, bad bands, scale, negative values, what was done."""

from dataclasses import dataclass, replace
from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.io.cube import Array, Cube
from ifmsr.io.stored import Numbers, Stored

SENTINELS = (-9999.0, -99999.0, -32768.0)
"""Numbers that stand for a missing value in files which do not say so."""
HUGE = 1e30  # beyond it no measurement lies: the -3.4e38 of many rasters
LEAST_BITS = 8


@dataclass(frozen=True)
class Conversion:
    """How the numbers of a file become physical values: value = scale * number + offset, NaN where none is valid.

    Attributes
    ----------
    scale, offset : (B,).
    stated : whether they are the file's.
    nodata : the number of a missing value, or None.
    whole_pixels : a pixel is missing only where every band has that number: in a picture, one channel of 255 is a
        bright colour whatever the file says.
    """

    scale: Numbers
    offset: Numbers
    stated: bool
    nodata: float | None
    whole_pixels: bool

    @classmethod
    def of(
        cls,
        stored: Stored,
        maximum: float | None,
        nodata: float | None,
        whole_pixels: bool,
        least: float | None = None,
    ) -> "Conversion":
        """The conversion of a file; parameters and errors as for `to_cube`.

        `least` is the smallest of its numbers, by default looked for.
        """
        dtype, bands = stored.array.dtype, len(stored.array)
        if dtype.kind not in "iuf":
            raise InputError(stored.path, f"values of type {dtype}", "Give integers or real numbers")
        if maximum is not None and not 0 < maximum < inf:
            raise InputError(
                "maximum", f"{maximum} for {stored.path}", "Give the positive value that shall become 1"
            )
        scale, offset = np.ones(bands), np.zeros(bands)
        if maximum is None:
            scale = np.broadcast_to(1.0 if stored.scale is None else stored.scale, bands).astype(np.float64)
            offset = np.broadcast_to(0.0 if stored.offset is None else stored.offset, bands).astype(
                np.float64
            )
        if not (np.isfinite(scale) & (scale != 0) & np.isfinite(offset)).all():
            raise InputError(stored.path, "its scale or offset is 0 or no number", "Give a maximum= instead")
        nodata = stored.nodata if nodata is None else nodata
        if nodata is not None and dtype.kind != "f" and not _holds(dtype, nodata):
            nodata = None  # some writers leave -9999 in files of uint8
        if nodata is None:
            least = smallest(stored.array) if least is None else least
            nodata = least if least in SENTINELS else None
        stated = maximum is None and not (stored.scale is None and stored.offset is None)
        return cls(scale, offset, stated, nodata, whole_pixels)

    def values(self, array: NDArray[Any], alpha: NDArray[np.bool_] | None = None) -> Array:
        """(B, h, w) float32 of the file's numbers; `alpha` (h, w) is False for transparent pixels."""
        values = array.astype(np.float32)
        if self.stated:
            for band in range(
                len(array)
            ):  # one at a time: the float64 of a whole cube would be twice its size
                values[band] = array[band] * self.scale[band] + self.offset[band]
        values[self._missing(array)] = np.nan
        if alpha is not None:
            values[:, ~alpha] = np.nan
        return values

    def _missing(self, array: NDArray[Any]) -> NDArray[np.bool_]:
        """(B, h, w) where no valid number is."""
        kind, nodata = array.dtype.kind, self.nodata
        missing = _not_finite(array)
        if nodata is not None and abs(nodata) < HUGE:
            found = (
                np.abs(array - array.dtype.type(nodata)) <= 1e-6 * abs(nodata)
                if kind == "f"
                else array == nodata
            )
            missing |= found.all(axis=0) if self.whole_pixels else found
        return missing

    def one(self, dtype: np.dtype[Any], maximum: float | None, most: float) -> float:
        """The value that becomes 1, `most` being the largest."""
        if maximum is not None:
            return maximum
        if self.stated or dtype.kind == "f":
            return max(1.0, most)
        bits = max(LEAST_BITS, int(max(most, 1)).bit_length())
        return float(2**bits - 1)


class Extent(NamedTuple):
    """What the values of an image span: (B,) the smallest and largest of each band, NaN for a band without any.

    `negative` (B,) counts those below 0, `missing` says whether some are NaN.
    """

    least: Array
    most: Array
    negative: NDArray[np.int64]
    missing: bool

    @classmethod
    def of(cls, values: Array) -> "Extent":
        """The extent of values (B, h, w)."""
        return cls(
            np.fmin.reduce(values, axis=(1, 2)),
            np.fmax.reduce(values, axis=(1, 2)),
            (values < 0).sum(axis=(1, 2)),
            bool(np.isnan(values).any()),
        )

    def with_part(self, other: "Extent") -> "Extent":
        """The extent of two parts of an image together."""
        return Extent(
            np.fmin(self.least, other.least),
            np.fmax(self.most, other.most),
            self.negative + other.negative,
            self.missing or other.missing,
        )


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
    whole_pixels : see `Conversion`.

    Raises
    ------
    InputError : complex numbers or texts, no valid value, values far below zero, a maximum that is none or smaller than
        the largest value, a scale of 0.
    """
    if stored.array.size == 0:
        raise InputError(
            stored.path, f"an empty array of shape {stored.array.shape}", "Give at least one pixel and band"
        )
    conversion = Conversion.of(stored, maximum, nodata, whole_pixels)
    values = conversion.values(stored.array, stored.alpha)
    extent = Extent.of(values)
    one, kept, taken = checked(stored, conversion, extent, maximum, bad_bands)
    values /= np.float32(one)
    np.clip(values, 0, 1, out=values)  # NaN stays NaN
    cube = described(stored, conversion, one, values).bands(kept)
    gaps = int(np.isnan(cube.values).any(axis=0).sum()) if extent.missing else 0
    return replace(cube, taken=taken + (f"; {gaps} pixels without valid values" if gaps else ""))


def checked(
    stored: Stored, conversion: Conversion, extent: Extent, maximum: float | None, bad_bands: bool
) -> tuple[float, NDArray[np.bool_], str]:
    """The value that becomes 1, which bands (B,) are kept, and a line that says what is taken.

    Raises InputError as `to_cube`.
    """
    dtype, (height, width) = stored.array.dtype, stored.array.shape[1:]
    kept = ~np.isnan(extent.most)
    if not (bad_bands or stored.good is None):
        kept &= stored.good.astype(bool)
    if not kept.any():
        raise InputError(
            stored.path, "it has no valid value", "Check what stands for a missing value: nodata="
        )
    least, most = float(extent.least[kept].min()), float(extent.most[kept].max())
    one = conversion.one(dtype, maximum, most)
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
    count, negative, dropped = int(kept.sum()), int(extent.negative[kept].sum()), int((~kept).sum())
    centres = None if stored.wavelengths is None else stored.wavelengths[kept]
    parts = [
        f"{count} bands of {height} x {width} pixels, {dtype.newbyteorder('=')}",
        "" if centres is None else f"{centres.min():.0f} to {centres.max():.0f} nm",
        _scale(conversion, one, conversion.scale[kept]),
        f"values from {least / one:.4g} to {most / one:.4g}",
        f"{negative} slightly negative values (least {least / one:.2g}) set to 0" if negative else "",
        f"{dropped} bands left out (flagged as bad, or without a valid value)" if dropped else "",
    ]
    return one, kept, f"{stored.path}: " + "; ".join(part for part in parts if part)


def described(stored: Stored, conversion: Conversion, one: float, values: Any) -> Cube:
    """The cube of `values` (B, h, w) with a file's metadata."""
    return Cube(
        values,
        stored.wavelengths,
        stored.fwhm,
        stored.good,
        stored.names,
        stored.crs,
        stored.transform,
        conversion.scale,
        conversion.offset,
        one,
        conversion.nodata,
        str(np.dtype(stored.array.dtype.newbyteorder("="))),
        stored.header,
    )


def smallest(array: NDArray[Any]) -> float:
    """The smallest finite number of an array; infinite if there is none."""
    return float(array.min(where=~_not_finite(array), initial=_largest_of(array.dtype)))


def _largest_of(dtype: np.dtype[Any]) -> float | int:
    return np.inf if dtype.kind == "f" else int(np.iinfo(dtype).max)


def _not_finite(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Where numbers are NaN, infinite or beyond belief."""
    if array.dtype.kind != "f":
        return np.zeros(array.shape, bool)
    return ~np.isfinite(array) | (np.abs(array) > HUGE)


def _holds(dtype: np.dtype[Any], number: float) -> bool:
    """Whether an integer type has a number."""
    limits = np.iinfo(dtype)
    return float(number).is_integer() and limits.min <= number <= limits.max


def _scale(conversion: Conversion, one: float, scale: Numbers) -> str:
    if not conversion.stated:
        return f"divided by {one:g}" if one != 1 else ""
    factor = f"scale {scale[0]:g}" if np.ptp(scale) == 0 else "a scale for each band"
    return f"{factor} as the file says" + (f", then divided by {one:g}" if one != 1 else "")

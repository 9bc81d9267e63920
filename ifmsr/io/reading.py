"""Anyone's own cubes and RGB guides, from the usual file types."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ifmsr.errors import InputError, as_path, check_choice
from ifmsr.io import envi
from ifmsr.io.arrays import read_numpy
from ifmsr.io.band_folder import read_band_folder
from ifmsr.io.colours import colour_bands
from ifmsr.io.cube import Cube
from ifmsr.io.geotiff import read_geotiff
from ifmsr.io.hdf5 import read_hdf5
from ifmsr.io.images import PICTURES, read_picture
from ifmsr.io.layout import LAYOUTS, Layout
from ifmsr.io.mapped import Bands, map_cube, map_stored
from ifmsr.io.matfile import read_mat
from ifmsr.io.stored import Numbers, Stored
from ifmsr.io.validation import to_cube
from ifmsr.io.zarr_store import read_zarr
from ifmsr.untrusted import decoding

WITH_LAYOUT = {".npy": read_numpy, ".npz": read_numpy, ".mat": read_mat} | dict.fromkeys(
    (".h5", ".he5", ".hdf5", ".nc", ".nc4"), read_hdf5
)
STORE = ".zarr"  # a folder
"""Formats with named arrays, which do not say where the bands are."""
TIFF = (".tif", ".tiff")
ENVI = (".hdr", *envi.DATA_SUFFIXES)
READABLE = (*WITH_LAYOUT, STORE, *TIFF, *ENVI, *PICTURES)


def read_cube(
    path: str | Path,
    key: str | None = None,
    layout: Layout | None = None,
    maximum: float | None = None,
    nodata: float | None = None,
    bad_bands: bool = False,
    beside: tuple[int, int] | None = None,
    mapped: bool = False,
) -> Cube:
    """A hyperspectral cube with its metadata, values in [0, 1] and NaN where none is valid.

    Parameters
    ----------
    path : .npy, .npz, .mat (any version), .h5, .he5, .nc, .zarr, .tif, ENVI (.hdr or its data file), a picture, or a
        folder with one picture per band.
    key : the array of a file that has several; not needed if only one has three axes.
    layout : "HWC" (bands last) or "CHW" (bands first). Where neither the file nor `beside` tells, the smallest axis is
        taken for the bands: give it for cubes with more bands than rows or columns.
    maximum : the stored number that becomes 1, instead of the file's scale. See `ifmsr.io.validation.to_cube` for what
        is done without it.
    nodata : the stored number that stands for a missing value, instead of the file's.
    bad_bands : keep the bands that the file calls bad.
    beside : (H, W) of the image that shows the same place finer or coarser by a whole number: it decides the layout.
    mapped : leave the numbers of a .npy, ENVI or GeoTIFF file on the disk: the cube's values are read where they are
        sliced (`ifmsr.io.mapped.Values`).

    Returns
    -------
    The cube; its `taken` is one line that says what was read and how.

    Raises
    ------
    InputError : the file is missing, damaged or of another type, does not fit into memory, or points to other files;
        no or several arrays fit; the band axis is ambiguous; no value is valid, or they lie far below 0 or above
        `maximum`; the package that reads the format is not installed.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> path = Path(tempfile.mkdtemp()) / "cube.npy"
    >>> np.save(path, np.full((8, 12, 20), 1023, np.uint16))
    >>> cube = read_cube(path)
    >>> cube.values.shape, cube.maximum, float(cube.values.max())
    ((8, 12, 20), 1023.0, 1.0)
    """
    stored = read_stored(path, key, layout, beside, mapped)
    return (map_cube if mapped else to_cube)(stored, maximum, nodata, bad_bands)


def read_guide(
    path: str | Path,
    key: str | None = None,
    layout: Layout | None = None,
    maximum: float | None = None,
    nodata: float | None = None,
    rgb_bands: Sequence[int] | None = None,
    mapped: bool = False,
) -> Cube:
    """A guide (3, H, W) with its georeference, values in [0, 1] and NaN where it is transparent or has no data.

    Of an image with more bands, those whose names or wavelengths are red, green and blue are taken; a panchromatic one
    is taken three times. The line `taken` says so.

    Parameters
    ----------
    path, key, layout, maximum, nodata, mapped : as for `read_cube`.
    rgb_bands : which bands are red, green and blue, counted from 1; one may be named several times.

    Raises
    ------
    InputError : as `read_cube`; neither the file nor `rgb_bands` says which bands are red, green and blue.
    """
    stored = read_stored(path, key, layout, mapped=mapped)
    chosen = _chosen_bands(stored, rgb_bands)
    array = Bands(stored.array, chosen) if mapped else stored.array[chosen]
    guide = (map_cube if mapped else to_cube)(
        _picked(stored, array, chosen), maximum, nodata, whole_pixels=True
    )
    if chosen == list(range(len(stored.array))):
        return guide
    numbers = ", ".join(str(band + 1) for band in chosen)
    return replace(guide, taken=f"{guide.taken}; red, green, blue: bands {numbers} of {len(stored.array)}")


def _chosen_bands(stored: Stored, rgb_bands: Sequence[int] | None) -> list[int]:
    """The numbers of the red, green and blue band, counted from 0; errors as for `read_guide`."""
    bands = len(stored.array)
    if rgb_bands is not None:
        chosen = [band - 1 for band in rgb_bands]
        if len(chosen) != 3 or not all(0 <= band < bands for band in chosen):
            numbers = ",".join(map(str, rgb_bands))
            raise InputError("rgb_bands", f"{numbers} of {bands} bands", f"Choose three from 1 to {bands}")
        return chosen
    if bands == 1:
        return [0, 0, 0]
    found = colour_bands(stored.names, stored.wavelengths)
    if found is None and bands != 3:
        raise InputError(
            stored.path,
            f"{bands} bands{_listed(stored)}, where a guide has red, green and blue",
            "Say which bands are red, green and blue, counted from 1, with rgb_bands=",
        )
    return found or [0, 1, 2]


def _picked(stored: Stored, array: Any, chosen: list[int]) -> Stored:
    """Some bands of a file, whose numbers are `array`, with their metadata."""
    return replace(
        stored,
        array=array,
        wavelengths=None if stored.wavelengths is None else stored.wavelengths[chosen],
        fwhm=None if stored.fwhm is None else stored.fwhm[chosen],
        good=None,
        names=tuple(stored.names[band] for band in chosen) if stored.names else (),
        scale=_of_bands(stored.scale, chosen),
        offset=_of_bands(stored.offset, chosen),
    )


def read_stored(
    path: str | Path,
    key: str | None = None,
    layout: Layout | None = None,
    beside: tuple[int, int] | None = None,
    mapped: bool = False,
) -> Stored:
    """What a file holds, in its own numbers; parameters and errors as for `read_cube`."""
    path = as_path("path", path)
    if layout is not None:
        check_choice("layout", layout, LAYOUTS)
    if mapped:
        return map_stored(path, layout, beside)
    kind = path.suffix.lower()
    with decoding(path, "an image"):
        if kind == STORE:
            return read_zarr(path, key, layout, beside)
        if path.is_dir():
            return read_band_folder(path)
        if kind in WITH_LAYOUT:
            return WITH_LAYOUT[kind](path, key, layout, beside)
        if kind in TIFF:
            return read_geotiff(path, layout, beside)
        if kind in PICTURES:
            return read_picture(path)
        if kind in ENVI:
            return envi.read_cube(path)
    raise InputError(path, f"unknown file type {kind!r}", f"Give a folder or one of {' '.join(READABLE)}")


def _of_bands(values: Numbers | float | None, chosen: list[int]) -> Numbers | float | None:
    return values[chosen] if isinstance(values, np.ndarray) else values


def _listed(stored: Stored) -> str:
    """What is known of the bands, for a message."""
    if stored.names:
        return f" ({', '.join(stored.names[:12])}{', ...' if len(stored.names) > 12 else ''})"
    if stored.wavelengths is not None:
        shown = ", ".join(f"{number:.0f} nm" for number in stored.wavelengths[:12])
        return f" ({shown}{', ...' if len(stored.wavelengths) > 12 else ''})"
    return ""

"""Images that stay in their files: read and converted where they are sliced."""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.io import envi, geotiff
from ifmsr.io.cube import Cube
from ifmsr.io.layout import Layout, bands_first
from ifmsr.io.npz import map_npy
from ifmsr.io.room import FLOAT32
from ifmsr.io.stored import Stored
from ifmsr.io.validation import Conversion, Extent, checked, described, smallest
from ifmsr.untrusted import bytes_on_disk, check_bytes, check_inflation, decoding

ROWS = 2**22  # numbers that are looked at together


class Bands:
    """Some bands of an image in a file, in an order of their own, read where they are sliced."""

    def __init__(self, image: Any, chosen: list[int]):
        self.image, self.chosen, self.dtype = image, chosen, image.dtype
        self.shape = (len(chosen), *image.shape[1:])

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, place: tuple[Any, slice, slice]) -> NDArray[Any]:
        return np.stack([self.image[band, *place[1:]] for band in np.array(self.chosen)[place[0]]])


class Values:
    """The values of a file in [0, 1], (B, h, w) float32, NaN where none is valid; slices are read and converted.

    Attributes
    ----------
    shape : (B, h, w).
    missing : whether there are invalid values.
    """

    ndim = 3
    dtype = np.dtype(np.float32)

    def __init__(
        self, stored: Stored, conversion: Conversion, one: float, bands: NDArray[np.intp], missing: bool
    ):
        self.stored, self.conversion, self.one, self.bands = stored, conversion, one, bands
        self.shape, self.missing = (len(bands), *stored.array.shape[1:]), missing

    def __len__(self) -> int:
        return len(self.bands)

    def __getitem__(self, place: Any) -> Any:
        """Values at (bands, rows, columns), or those of some bands (B,) bool, still in the file."""
        if not isinstance(place, tuple):
            chosen = self.bands[place]
            return Values(self.stored, self.conversion, self.one, chosen, self.missing)
        with decoding(self.stored.path, "an image"):
            values = self.conversion.values(np.asarray(self.stored.array[:, *place[1:]]))
        return np.clip(values[self.bands[place[0]]] / np.float32(self.one), 0, 1)


def map_stored(path: Path, layout: Layout | None = None, beside: tuple[int, int] | None = None) -> Stored:
    """The content of a file whose numbers stay on the disk. Raises InputError for other formats and damaged files."""
    kind, data = path.suffix.lower(), path
    with decoding(path, "an image"):
        if kind == ".npy":
            stored = Stored(path, bands_first(path, map_npy(path), layout, beside))
        elif kind in (".tif", ".tiff"):
            stored = geotiff.read_geotiff(path, layout, beside, mapped=True)
        elif kind in (".hdr", *envi.DATA_SUFFIXES):
            stored, data = envi.read_cube(path, mapped=True), envi.files_of(path)[1]
        else:
            raise InputError(path, "it cannot be read in parts", "Give .npy, ENVI or GeoTIFF")
        bands, _, width = shape = stored.array.shape
        check_inflation(path, f"an array of shape {shape}", FLOAT32 * prod(shape), bytes_on_disk(data))
        check_bytes(path, f"a row of shape {(bands, width)}", 2 * FLOAT32 * bands * width)
    return stored


def map_cube(
    stored: Stored,
    maximum: float | None = None,
    nodata: float | None = None,
    bad_bands: bool = False,
    whole_pixels: bool = False,
) -> Cube:
    """As `ifmsr.io.validation.to_cube`, with `Values` instead of an array."""
    least = None
    with decoding(stored.path, "an image"):
        if stored.nodata is None and nodata is None:
            least = min(smallest(part) for part in _parts(stored))
        conversion = Conversion.of(stored, maximum, nodata, whole_pixels, least)
        extent = reduce(Extent.with_part, (Extent.of(conversion.values(part)) for part in _parts(stored)))
    one, kept, taken = checked(stored, conversion, extent, maximum, bad_bands)
    everything = np.arange(len(stored.array))
    cube = described(stored, conversion, one, Values(stored, conversion, one, everything, extent.missing))
    return replace(cube.bands(kept), taken=taken)


def _parts(stored: Stored) -> Iterator[NDArray[Any]]:
    """All numbers, some rows at a time."""
    bands, height, width = stored.array.shape
    rows = max(1, ROWS // (bands * width))
    for top in range(0, height, rows):
        yield np.asarray(stored.array[:, top : top + rows, :])

"""TIFF and GeoTIFF: numbers, georeference, and what the metadata say about each band."""

import errno
import os
import shutil
import struct
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import ceil, log2
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.extras import require
from ifmsr.files import write_atomically, writing
from ifmsr.io.colours import COLOURS
from ifmsr.io.cube import Cube
from ifmsr.io.images import NO_LIGHT, orientation_of, upright
from ifmsr.io.layout import Layout, bands_first
from ifmsr.io.room import check_room
from ifmsr.io.stored import Numbers, Stored, in_nanometres
from ifmsr.io.watched import Watched, replacing_watched
from ifmsr.untrusted import bytes_on_disk, decoding

CUBE_TAGS = ("wavelength", "wavelengths", "wavelength_units", "fwhm", "bbl")
STALE = ("STATISTICS_", "AREA_OR_POINT", "DERIVED_")
"""Beginnings of tags that describe the numbers or the grid, not the scene: they do not hold for a result."""
MOST_PAGES = 10_000
TILE = 256  # pixels per side
WHOLE = 512  # pixels per side, up to which an image needs no overviews


def read_geotiff(
    path: Path, layout: Layout | None = None, beside: tuple[int, int] | None = None, mapped: bool = False
) -> Stored:
    """A TIFF with its bands in the file's order; `mapped` leaves the numbers in the file, as a `Raster`.

    Several pages of one band are an array of three axes, of which any may hold the bands: see `bands_first`.

    Wavelength, fwhm and bbl are read from each band's metadata, as EnMAP's products have them, and scale, offset and
    no-data from GDAL's.

    Raises
    ------
    InputError : the file is missing, damaged or no TIFF, its colours are inks (CMYK) or CIELAB, it does not fit into
        memory; rasterio is not installed.
    """
    with _opened(path) as source:
        if source.photometric is not None and source.photometric.name in NO_LIGHT:
            raise InputError(path, f"its colours are {NO_LIGHT[source.photometric.name]}", "Save it as RGB")
        array: Any
        if mapped:
            array = _raster(path)
        else:
            pages = max(source.count, len(source.subdatasets))
            check_room(path, (pages, *source.shape), source.dtypes[0], bytes_on_disk(path))
            array = source.read()
        if len(source.subdatasets) > 1:
            array = np.stack([_page(path, page + 1, array) for page in range(len(source.subdatasets))])
            return Stored(path, bands_first(path, array, layout, beside))
        interpretation = [entry.name for entry in source.colorinterp]
        masked = any(flag.name == "per_dataset" for flag in source.mask_flag_enums[0])
        if interpretation[-1] == "alpha" and len(array) > 1:
            masked = _is_transparency(array[-1])
            array = array[:-1] if masked else array
        alpha = source.read_masks(1) > 0 if masked else None
        bands = len(array)
        tags = [source.tags(band + 1) for band in range(bands)]
        unit = str(tags[0].get("wavelength_units", ""))
        centres, widths, bbl = (_per_band(tags, name) for name in ("wavelength", "fwhm", "bbl"))
        scale, offset = np.array(source.scales[:bands]), np.array(source.offsets[:bands])
        plain = (scale == 1).all() and (offset == 0).all()
        placed = not source.transform.is_identity
        if not placed and not mapped:
            array, alpha = upright(path, array, alpha)
        named = [text or "" for text in source.descriptions[:bands]]
        if not any(named) and set(COLOURS) <= set(interpretation):
            named = [entry if entry in COLOURS else "" for entry in interpretation[:bands]]
        return Stored(
            path,
            array,
            *in_nanometres(centres, widths, unit),
            None if bbl is None else bbl != 0,
            tuple(named) if any(named) else (),
            alpha,
            source.crs.to_wkt() if source.crs else None,
            tuple(source.transform)[:6] if placed else None,
            None if plain else scale,
            None if plain else offset,
            source.nodata,
            _header(source.tags(), tags),
        )


def write_geotiff(path: Path, cube: Cube) -> None:
    """A tiled, compressed GeoTIFF with every band's wavelength, fwhm and bbl as EnMAP has them, scale, offset, no-data.

    It is cloud-optimised: metadata first, and above `WHOLE` pixels per side coarser versions beside the image, so that
    a reader far away fetches only what it shows.

    Raises
    ------
    InputError : the type is none that TIFF holds; rasterio is not installed.
    WriteError : the disk or the permissions prevent it.
    """
    array = cube.stored()
    if max(array.shape[1:]) <= WHOLE:
        with block_target(path, cube) as target:
            target[:, :, :] = array
        return
    with writing(path), tempfile.TemporaryDirectory() as folder, _written_as_geotiff(path):
        made = _with_overviews(Path(folder), cube, array)
        with made.open("rb") as written:
            write_atomically(path, lambda file: shutil.copyfileobj(written, file))


def _with_overviews(folder: Path, cube: Cube, array: NDArray[Any]) -> Path:
    """The same with its overviews, which GDAL puts before the data only where it copies a finished file."""
    from rasterio.enums import Resampling
    from rasterio.shutil import copy

    plain, made = folder / "plain.tif", folder / "cube.tif"
    halvings, faults = ceil(log2(max(array.shape[1:]) / WHOLE)), list[OSError]()
    with _create(plain, cube, faults, bigtiff="if_safer", interleave="band") as target:
        target.write(array)
        target.build_overviews([2**n for n in range(1, halvings + 1)], Resampling.average)
    if not faults:
        copy(plain, made, driver="GTiff", copy_src_overviews=True, **_options(cube))
        _check_end(made, faults)
    if faults:
        raise faults[0]
    return made


def _check_end(made: Path, faults: list[OSError]) -> None:
    """Adds to `faults` that a file is shorter than it should be: GDAL's copy does not report a full disk."""
    import rasterio

    with rasterio.open(made) as file:
        last = tuple((length - 1, length) for length in file.shape)
        try:
            file.read(window=last)
        except rasterio.errors.RasterioIOError:
            faults.append(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(made)))


@contextmanager
def block_target(path: Path, cube: Cube) -> Iterator["Raster"]:
    """The numbers (B, h, w) of a GeoTIFF to be written block by block; the file appears when all is written."""
    with replacing_watched(path) as (temporary, faults):
        with _written_as_geotiff(path):
            target = _create(temporary, cube, faults, **_options(cube))
        with target:
            yield Raster(target, faults)


class Raster:
    """An open GeoTIFF that gives and takes numbers (B, h, w) at slices of rows and columns.

    Attributes
    ----------
    shape, dtype : of the whole.
    faults : what has prevented its writing.
    """

    def __init__(self, file: Any, faults: Sequence[OSError] = ()):
        self.file, self.dtype, self.faults = file, np.dtype(file.dtypes[0]), faults
        self.shape = (file.count, *file.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, place: tuple[Any, slice, slice]) -> NDArray[Any]:
        bands = np.arange(1, len(self) + 1)[place[0]].tolist()  # one number or several
        return np.asarray(self.file.read(bands, window=self._window(place)))

    def __setitem__(self, place: tuple[Any, slice, slice], numbers: NDArray[Any]) -> None:
        self.file.write(numbers, window=self._window(place))
        if self.faults:
            raise self.faults[0]

    def _window(self, place: tuple[Any, slice, slice]) -> tuple[tuple[int, int], ...]:
        return tuple(part.indices(length)[:2] for part, length in zip(place[1:], self.shape[1:], strict=True))


def _options(cube: Cube) -> dict[str, Any]:
    """How GDAL lays out the numbers of a cube: compressed, in tiles, one band after the other."""
    dtype = np.dtype(cube.dtype)
    options: dict[str, Any] = {
        "compress": "deflate",
        "zlevel": 1,
        "num_threads": "all_cpus",
        "bigtiff": "if_safer",
        "interleave": "band",
    }
    if dtype.itemsize > 1:
        options["predictor"] = 3 if dtype.kind == "f" else 2
    if min(cube.values.shape[1:]) >= TILE:
        options |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE}
    return options


def _create(place: Path, cube: Cube, faults: list[OSError], **options: Any) -> Any:
    """A new GeoTIFF with the metadata of a cube, open to write; `faults` gets what prevents that."""
    require("rasterio")
    import rasterio

    assert cube.scale is not None and cube.offset is not None  # set on construction
    (bands, height, width), dtype = cube.values.shape, np.dtype(cube.dtype)
    target = rasterio.open(
        place, "w", driver="GTiff", count=bands, height=height, width=width, dtype=dtype,
        crs=cube.crs, nodata=cube.nodata, opener=partial(Watched, faults=faults),
        transform=None if cube.transform is None else rasterio.Affine(*cube.transform), **options,
    )  # fmt: skip
    target.scales, target.offsets = cube.scale, cube.offset
    target.update_tags(
        **{key: value for key, value in cube.header.items() if isinstance(value, str | int | float)}
    )
    for band in range(bands):
        target.update_tags(band + 1, **_tags(cube, band))
        if cube.names:
            target.set_band_description(band + 1, cube.names[band])
    return target


@contextmanager
def _written_as_geotiff(path: Path) -> Iterator[None]:
    """What GDAL refuses becomes an InputError that names the file."""
    require("rasterio")
    import rasterio

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            yield
    except (rasterio.errors.RasterioError, TypeError, ValueError) as error:
        raise InputError(path, f"cannot be written as a GeoTIFF ({error})", "Write .npz or .hdr") from error


def _raster(path: Path) -> Raster:
    """The file, open to be read at windows.

    Raises InputError if its image is not what the file holds as it is: transparency, pages, a camera held upright.
    """
    import rasterio

    source = rasterio.open(path, driver="GTiff")
    about = [entry.name for entry in source.colorinterp]
    masked = any(flag.name == "per_dataset" for flag in source.mask_flag_enums[0])
    turned = source.transform.is_identity and orientation_of(path) != 1
    if len(source.subdatasets) > 1 or masked or (about[-1] == "alpha" and len(about) > 1) or turned:
        raise InputError(path, "it cannot be read in parts", "Read it as a whole")
    return Raster(source)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    require("rasterio")
    import rasterio

    with decoding(path, "a TIFF", "Copy the file again"), warnings.catch_warnings():
        if not path.is_file():
            raise FileNotFoundError(path)
        _check_pages(path)
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, driver="GTiff") as source:
            yield source


def _check_pages(path: Path) -> None:
    """Raise InputError if the chain of pages leads out of the file: GDAL would leave out the lost pages in silence."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"+\0", b"\0+")  # BigTIFF has longer numbers
        count, entry, offset = ("Q", 20, "Q") if big else ("H", 12, "I")
        wide, pointer = struct.calcsize(order + count), struct.calcsize(order + offset)
        place = struct.unpack_from(order + offset, head.ljust(16, b"\0"), 8 if big else 4)[0]
        seen = set()
        while place and place not in seen:
            seen.add(place)
            entries = _at(file, place, wide)
            after = place + wide + entry * struct.unpack(order + count, entries)[0] if entries else size
            following = _at(file, after, pointer)
            if len(seen) > MOST_PAGES:
                raise InputError(path, f"it has more than {MOST_PAGES} pages", "Give one image")
            if not following:
                raise InputError(path, "cannot be read as a TIFF (it ends too early)", "Copy the file again")
            place = struct.unpack(order + offset, following)[0]


def _at(file: IO[bytes], place: int, length: int) -> bytes:
    """The bytes at a place in a file, b"" if it has not so many there."""
    size = file.seek(0, os.SEEK_END)
    if place + length > size:
        return b""
    file.seek(place)
    return file.read(length)


def _page(path: Path, number: int, first: NDArray[Any]) -> Any:
    """One page (h, w), counted from 1, of the size and type of the first."""
    import rasterio

    with rasterio.open(f"GTIFF_DIR:{number}:{path}", driver="GTiff") as page:
        if (page.count, *page.shape) != first.shape or page.dtypes[0] != first.dtype or page.count != 1:
            raise ValueError(f"page {number} has not the size and type of the first")
        return page.read(1)


def _is_transparency(band: NDArray[Any]) -> bool:
    """Whether a band called alpha is one: GDAL calls the fourth of four bands so if nothing else is said."""
    return bool(((band == 0) | (band == band.max())).mean() > 0.5)


def _per_band(tags: list[dict[str, str]], name: str) -> Numbers | None:
    """One number per band from its tags, or None if a band has none."""
    try:
        return np.array([float(entries[name]) for entries in tags])
    except (KeyError, ValueError):
        return None


def _header(tags: dict[str, str], band_tags: list[dict[str, str]]) -> dict[str, Any]:
    """The remaining tags: texts of the file, and lists of one text per band."""
    header: dict[str, Any] = {key: value for key, value in tags.items() if not key.startswith(STALE)}
    for key in sorted({key for entries in band_tags for key in entries}):
        if key not in CUBE_TAGS and not key.startswith(STALE):
            header[key] = [entries.get(key, "") for entries in band_tags]
    return header


def _tags(cube: Cube, band: int) -> dict[str, str]:
    """One band's metadata."""
    tags = {
        key: str(value[band])
        for key, value in cube.header.items()
        if isinstance(value, list) and len(value) == len(cube.values) and value[band] != ""
    }
    if cube.wavelengths is not None:
        tags |= {"wavelength": f"{cube.wavelengths[band]:.10g}", "wavelength_units": "Nanometers"}
    if cube.fwhm is not None:
        tags["fwhm"] = f"{cube.fwhm[band]:.10g}"
    if cube.good is not None:
        tags["bbl"] = str(int(cube.good[band]))
    return tags

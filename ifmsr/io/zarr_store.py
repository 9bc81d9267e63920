"""Cubes in zarr stores: folders of chunks, as xarray and dask write them, with metadata by the CF conventions."""

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ifmsr.extras import require
from ifmsr.files import make_folder, writing
from ifmsr.io import netcdf
from ifmsr.io.cube import Cube
from ifmsr.io.hdf5 import chosen
from ifmsr.io.layout import Layout, bands_first
from ifmsr.io.room import check_room
from ifmsr.io.stored import Stored
from ifmsr.untrusted import bytes_on_disk, decoding

ROOT = "array"
"""The name of an array that is the whole store."""
BAND_AXES = ("band", "bands", "wavelength", "wavelengths", "channel")


def read_zarr(
    path: Path, key: str | None = None, layout: Layout | None = None, beside: tuple[int, int] | None = None
) -> Stored:
    """One array of a zarr store, or the array that the store is.

    Parameters
    ----------
    key : as in `ifmsr.io.hdf5.chosen`.
    layout, beside : see `ifmsr.io.layout.bands_first`; not needed where a dimension has a name of `BAND_AXES`.

    Raises
    ------
    InputError : the store is missing or damaged, none or several arrays fit, they do not fit into memory; zarr is not
        installed.
    """
    require("zarr")
    with decoding(path, "a zarr store", "Copy the whole folder again"):
        if not path.exists():
            raise FileNotFoundError(path)
        arrays = _arrays(path)
        name = chosen(path, {name: item.shape for name, item in arrays.items()}, key)
        item = arrays[name]
        check_room(
            path,
            item.shape,
            item.dtype,
            sum(bytes_on_disk(part) for part in path.rglob("*") if part.is_file()),
        )
        attributes = dict(item.attrs)
        dimensions = attributes.pop("_ARRAY_DIMENSIONS", None) or getattr(
            item.metadata, "dimension_names", None
        )
        array = bands_first(path, item[...], layout or _layout(dimensions), beside)
        around = name.rpartition("/")[0]
        vectors = {
            other.rpartition("/")[2]: entry
            for other, entry in arrays.items()
            if other.rpartition("/")[0] == around and entry.ndim < 2
        }
        return netcdf.cube_of(Stored(path, array, nodata=_nodata(item, dimensions)), attributes, vectors)


def write_zarr(path: Path, cube: Cube) -> None:
    """The variables of `ifmsr.io.netcdf` in a new store, which appears when all is written.

    Raises
    ------
    InputError : as `ifmsr.io.netcdf.write_netcdf`; zarr is not installed.
    """
    require("zarr", "xarray")
    dataset = netcdf.dataset(path, cube)
    make_folder(path.parent)
    with (
        writing(path, "Nothing was changed"),
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder,
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of consolidated metadata, which zarr 3 has not standardised
            dataset.to_zarr(Path(folder) / path.name, mode="w-")
        shutil.move(Path(folder) / path.name, path)


def _arrays(path: Path) -> dict[str, Any]:
    """Name -> numeric array, of the whole store. Those of objects, whose chunks may be pickles, are not among them."""
    import zarr

    try:
        store = zarr.open(str(path), mode="r")
    except FileNotFoundError as error:
        raise ValueError("it holds no array") from error
    found = {ROOT: store} if isinstance(store, zarr.Array) else dict(store.members(max_depth=None))
    return {
        name: item
        for name, item in found.items()
        if isinstance(item, zarr.Array) and np.dtype(item.dtype).kind in "iuf"
    }


def _layout(dimensions: Any) -> Layout | None:
    """The layout that the names of the dimensions say."""
    names = [str(name).lower() for name in dimensions or ()]
    if len(names) != 3:
        return None
    return "CHW" if names[0] in BAND_AXES else "HWC" if names[2] in BAND_AXES else None


def _nodata(item: Any, dimensions: Any) -> float | None:
    """The number of a missing value: version 2 of the format keeps it beside the array, where xarray wrote it."""
    stated = item.attrs.get("_FillValue")
    if stated is None and dimensions and item.metadata.zarr_format == 2:
        stated = item.fill_value
    return float(stated) if isinstance(stated, int | float | np.number) else None

"""Cubes into files, by suffix."""

from collections.abc import Callable
from pathlib import Path

from ifmsr.errors import InputError, as_path, did_you_mean
from ifmsr.io import envi_writing
from ifmsr.io.arrays import write_mat, write_npy, write_npz
from ifmsr.io.cube import Cube
from ifmsr.io.geotiff import write_geotiff
from ifmsr.io.netcdf import write_netcdf
from ifmsr.io.zarr_store import write_zarr

ENVI = (".hdr", ".img", ".dat", ".bsq", ".bil", ".bip")
WRITERS: dict[str, Callable[[Path, Cube], None]] = {
    ".npy": write_npy,
    ".npz": write_npz,
    ".mat": write_mat,
    ".nc": write_netcdf,
    ".zarr": write_zarr,
    ".tif": write_geotiff,
    ".tiff": write_geotiff,
    **dict.fromkeys(ENVI, envi_writing.write_cube),
}


def write_cube(path: str | Path, cube: Cube) -> Path:
    """Write a cube in the format that the suffix names, with its metadata, in its stored unit and type.

    ENVI, GeoTIFF, netCDF, zarr, .mat and .npz keep wavelengths, bad bands, georeference, scale, no-data and every other
    entry of the header; .npy keeps the numbers (B, h, w) alone. For float reflectance write `cube.floating()`. A crash
    never leaves half a file, and what was there before is replaced only by a whole one.

    Parameters
    ----------
    path : .hdr, .img, .dat, .bsq, .bil, .bip (ENVI: header and numbers), .tif, .tiff, .nc, .zarr, .mat, .npz or
        .npy. A zarr store, which is a folder, is never replaced.

    Raises
    ------
    InputError : as `check_target`; the format cannot hold the type, the size or the grid; a package is missing.
    """
    path = check_target(path)
    WRITERS[path.suffix.lower()](path, cube)
    return path


def check_target(path: str | Path) -> Path:
    """The path of a result that can be written: asked before any work.

    Raises InputError if the suffix names no format, or something lies there that is no regular file; for a zarr store,
    which is a folder, if anything does.
    """
    path = as_path("path", path)
    kind = path.suffix.lower()
    if kind not in WRITERS:
        raise InputError(
            path,
            f"unknown file type {kind!r}",
            f"{did_you_mean(kind, WRITERS)}Choose one of {' '.join(WRITERS)}",
        )
    if kind == ".zarr" and (path.is_symlink() or path.exists()):
        raise InputError(path, "it is there already, and folders are not replaced", "Name another one")
    for place in envi_writing.targets(path) if kind in ENVI else (path,):
        if place.is_symlink() or (place.exists() and not place.is_file()):
            raise InputError(place, "it is no regular file", "Name another one")
    return path

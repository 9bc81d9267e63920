"""Cubes in netCDF 4 by the CF conventions: dimensions band, y and x, and a grid mapping for the georeference."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ifmsr.errors import InputError
from ifmsr.extras import require
from ifmsr.io.cube import Cube
from ifmsr.io.entries import from_entries, metadata_of
from ifmsr.io.stored import Stored
from ifmsr.io.watched import Watched, replacing_watched

GRID = "spatial_ref"
"""The variable that holds the coordinate reference system, under the name that GDAL and rioxarray use."""


def write_netcdf(path: Path, cube: Cube) -> None:
    """The stored numbers (band, y, x) as `cube`, with the band centres, pixel centres and georeference as CF has them.

    What the conventions have no place for is kept as JSON in the attribute `metadata` of `cube`.

    Raises
    ------
    InputError : the coordinate reference system is unknown; h5netcdf, xarray or rasterio is not installed.
    WriteError : the disk or the permissions prevent it.
    """
    require("h5netcdf", "xarray")
    import xarray

    attributes: dict[str, Any] = {"metadata": metadata_of(cube, "CHW")}
    if cube.nodata is not None:
        attributes["_FillValue"] = np.array(cube.nodata, cube.dtype)
    assert cube.scale is not None and cube.offset is not None  # set on construction
    for name, values, neutral in (("scale_factor", cube.scale, 1), ("add_offset", cube.offset, 0)):
        if (values == values[0]).all() and values[0] != neutral:  # CF knows one number for all bands
            attributes[name] = values[0]
    coords = cube.to_xarray().coords
    variables: dict[str, Any] = {name: coords[name] for name in ("x", "y") if name in coords}
    if cube.wavelengths is not None:
        variables["wavelength"] = ("band", cube.wavelengths, {"units": "nm"})
    if cube.transform is not None:
        attributes["grid_mapping"] = GRID
        variables[GRID] = ((), 0, georeference(path, cube))
    variables["cube"] = (("band", "y", "x"), cube.stored(), attributes)
    compressed = {"cube": {"zlib": True, "complevel": 1}}
    with (
        replacing_watched(path) as (temporary, faults),
        Watched(temporary, "w+b", faults=faults) as file,
    ):
        xarray.Dataset(variables, attrs={"Conventions": "CF-1.11"}).to_netcdf(
            file, engine="h5netcdf", encoding=compressed
        )


def georeference(path: Path, cube: Cube) -> dict[str, Any]:
    """The attributes of `GRID`. Raises InputError if the coordinate reference system is unknown."""
    assert cube.transform is not None
    a, b, c, d, e, f = cube.transform
    about: dict[str, Any] = {"GeoTransform": " ".join(map(repr, (c, a, b, f, d, e)))}
    if cube.crs is not None:
        require("rasterio")
        from rasterio.crs import CRS
        from rasterio.errors import CRSError

        try:
            about["crs_wkt"] = CRS.from_user_input(cube.crs).to_wkt()
        except CRSError as error:
            raise InputError(path, f"unknown coordinate reference system ({error})", "Write .npz") from error
    return about


def own_entries(attributes: dict[str, Any]) -> dict[str, Any]:
    """What `write_netcdf` kept as JSON, for an array (band, y, x); {} for data of other programs."""
    try:
        entries = json.loads(attributes.get("metadata", ""))
    except (TypeError, ValueError):
        return {}
    return entries if isinstance(entries, dict) and entries.get("layout") == "CHW" else {}


def described(found: Stored, attributes: dict[str, Any], grid: dict[str, Any]) -> Stored:
    """`found` with what the attributes of its data set and of its grid mapping add to it."""
    if own := own_entries(attributes):
        kept = from_entries(found.path, {"wavelengths": found.wavelengths, **own}, len(found.array))
        return replace(found, **{"header": {}, **kept})
    if grid:
        found = replace(found, crs=grid.get("crs_wkt", grid.get("spatial_ref")))
    try:
        c, a, b, f, d, e = (float(number) for number in str(grid["GeoTransform"]).split())
    except (KeyError, ValueError):
        return found
    return replace(found, transform=(a, b, c, d, e, f))

"""Cubes by the CF conventions, in netCDF 4 and zarr: dimensions band, y and x, and a grid mapping for their place."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ifmsr.errors import InputError
from ifmsr.extras import require
from ifmsr.io.cube import Cube
from ifmsr.io.entries import from_entries, metadata_of
from ifmsr.io.stored import Stored, Transform, in_nanometres
from ifmsr.io.watched import Watched, replacing_watched

GRID = "spatial_ref"
"""The variable that holds the coordinate reference system, under the name that GDAL and rioxarray use."""
WAVELENGTH_NAMES = ("wavelength", "wavelengths")
CENTRES = (("x", "y"), ("lon", "lat"), ("longitude", "latitude"))
NODATA_NAMES = ("Data_Ignore_Value", "_FillValue", "missing_value", "data_ignore_value")
SCALE_NAMES = ("scale_factor", "Scale_Factor")
OFFSET = "add_offset"
BOOKKEEPING = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates")
"""Attributes with which HDF5 and netCDF keep their dimensions."""
UNEVEN = 0.01  # of a pixel, by which pixel centres may lie off a grid: some are stored as float32


def write_netcdf(path: Path, cube: Cube) -> None:
    """The variables of `dataset` in a netCDF 4 file.

    Raises
    ------
    InputError : as `dataset`; h5netcdf is not installed.
    WriteError : the disk or the permissions prevent it.
    """
    require("h5netcdf")
    variables, compressed = dataset(path, cube), {"cube": {"zlib": True, "complevel": 1}}
    with (
        replacing_watched(path) as (temporary, faults),
        Watched(temporary, "w+b", faults=faults) as file,
    ):
        variables.to_netcdf(file, engine="h5netcdf", encoding=compressed)


def dataset(path: Path, cube: Cube) -> Any:
    """An `xarray.Dataset`: the stored numbers (band, y, x) as `cube`, band centres, pixel centres, georeference.

    What the conventions have no place for is kept as JSON in the attribute `metadata` of `cube`. Errors name `path`.

    Raises
    ------
    InputError : the coordinate reference system is unknown; xarray or rasterio is not installed.
    """
    require("xarray")
    import xarray

    attributes: dict[str, Any] = {"metadata": metadata_of(cube, "CHW")}
    if cube.nodata is not None:
        attributes["_FillValue"] = np.array(cube.nodata, cube.dtype)[()]
    assert cube.scale is not None and cube.offset is not None  # set on construction
    for name, values, neutral in (("scale_factor", cube.scale, 1), ("add_offset", cube.offset, 0)):
        if (values == values[0]).all() and values[0] != neutral:  # CF knows one number for all bands
            attributes[name] = float(values[0])
    coords = cube.to_xarray().coords
    variables: dict[str, Any] = {name: coords[name] for name in ("x", "y") if name in coords}
    if cube.wavelengths is not None:
        variables["wavelength"] = ("band", cube.wavelengths, {"units": "nm"})
    if cube.transform is not None:
        attributes["grid_mapping"] = GRID
        variables[GRID] = ((), 0, georeference(path, cube))
    variables["cube"] = (("band", "y", "x"), cube.stored(), attributes)
    return xarray.Dataset(variables, attrs={"Conventions": "CF-1.11"})


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


def cube_of(found: Stored, attributes: dict[str, Any], variables: Mapping[str, Any]) -> Stored:
    """`found` with what its attributes and the `variables` beside it, of at most one axis, say by the conventions."""
    bands = len(found.array)
    centres = next((variables[name] for name in WAVELENGTH_NAMES if name in variables), None)
    if centres is not None and centres.shape == (bands,):
        wavelengths, _ = in_nanometres(centres[...], None, str(dict(centres.attrs).get("units", "")))
        found = replace(found, wavelengths=wavelengths)
    mapping = variables.get(str(attributes.get("grid_mapping")))
    return described(
        replace(
            found,
            scale=_number(attributes.get(SCALE_NAMES[0])),
            offset=_number(attributes.get(OFFSET)),
            header=remaining(attributes),
        ),
        attributes,
        {} if mapping is None else dict(mapping.attrs),
        variables,
    )


def remaining(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes that neither a field of `Stored` nor the file's own bookkeeping has."""
    taken = {*NODATA_NAMES, *SCALE_NAMES, OFFSET, *BOOKKEEPING, "grid_mapping"}
    return {name: value for name, value in attributes.items() if name not in taken}


def own_entries(attributes: dict[str, Any]) -> dict[str, Any]:
    """What `dataset` kept as JSON, for an array (band, y, x); {} for data of other programs."""
    try:
        entries = json.loads(attributes.get("metadata", ""))
    except (TypeError, ValueError):
        return {}
    return entries if isinstance(entries, dict) and entries.get("layout") == "CHW" else {}


def described(
    found: Stored, attributes: dict[str, Any], grid: dict[str, Any], variables: Mapping[str, Any]
) -> Stored:
    """`found` with what the attributes of its data set and of its grid mapping add to it, and its pixel centres.

    `variables` : name -> the data sets beside it.
    """
    if own := own_entries(attributes):
        kept = from_entries(found.path, {"wavelengths": found.wavelengths, **own}, len(found.array))
        return replace(found, **{"header": {}, **kept})
    if grid:
        found = replace(found, crs=grid.get("crs_wkt", grid.get("spatial_ref")))
    try:
        c, a, b, f, d, e = (float(number) for number in str(grid["GeoTransform"]).split())
    except (KeyError, ValueError):
        return placed(found, variables)
    return replace(found, transform=(a, b, c, d, e, f))


def placed(found: Stored, variables: Mapping[str, Any]) -> Stored:
    """`found` with the transform of evenly spaced pixel centres, where the file has them; longitudes are on WGS 84."""
    height, width = found.array.shape[1:]
    for across, down in CENTRES:
        x, y = variables.get(across), variables.get(down)
        if (
            found.transform is not None
            or x is None
            or y is None
            or (x.shape, y.shape) != ((width,), (height,))
        ):
            continue
        transform = transform_of_centres(np.asarray(x[...], np.float64), np.asarray(y[...], np.float64))
        if transform is not None:
            return replace(
                found, transform=transform, crs=found.crs or (None if across == "x" else "EPSG:4326")
            )
    return found


def transform_of_centres(x: np.ndarray, y: np.ndarray) -> Transform | None:
    """The transform of pixel centres x (w,) and y (h,); None if uneven, or only one row or column."""
    if min(len(x), len(y)) < 2:
        return None
    steps = [(float(places[-1]) - float(places[0])) / (len(places) - 1) for places in (x, y)]
    for places, step in zip((x, y), steps, strict=True):
        if not np.abs(places - (places[0] + step * np.arange(len(places)))).max() <= UNEVEN * abs(step) > 0:
            return None
    a, e = steps
    return a, 0.0, float(x[0]) - a / 2, 0.0, e, float(y[0]) - e / 2


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float | np.number) else None

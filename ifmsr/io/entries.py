"""The metadata of a cube as JSON, for formats that have no place of their own for it (.npz, .mat, netCDF)."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ifmsr.errors import InputError
from ifmsr.io.cube import Cube
from ifmsr.io.layout import Layout
from ifmsr.io.stored import in_nanometres

LISTS = ("fwhm", "good", "scale", "offset")


def metadata_of(cube: Cube, layout: Layout) -> str:
    """Everything but the numbers and the wavelengths, as JSON."""
    assert cube.scale is not None and cube.offset is not None  # set on construction
    about: dict[str, Any] = {
        "layout": layout,
        "crs": cube.crs,
        "transform": cube.transform,
        "nodata": cube.nodata,
    }
    about |= {"names": list(cube.names), "header": dict(cube.header)}
    for name in LISTS:
        value = getattr(cube, name)
        about[name] = None if value is None else value.tolist()
    if (cube.scale == 1).all() and (cube.offset == 0).all():
        about["scale"] = about["offset"] = None
    return json.dumps({key: value for key, value in about.items() if value not in (None, [], {})})


def from_entries(path: Path, entries: dict[str, Any], bands: int) -> dict[str, Any]:
    """The fields of `Stored` that entries of the same names give.

    Raises InputError if an entry that belongs to the bands is not one number per band.
    """
    about: dict[str, Any] = {key: entries[key] for key in ("crs", "nodata", "header") if key in entries}
    if "transform" in entries:
        about["transform"] = tuple(float(number) for number in entries["transform"])
    if "names" in entries:
        about["names"] = tuple(entries["names"])
    for name in (*LISTS, "wavelengths"):
        if entries.get(name) is None:
            continue
        values = np.ravel(np.asarray(entries[name], bool if name == "good" else np.float64))
        if len(values) != bands:
            if name != "wavelengths":
                raise InputError(
                    path, f"{len(values)} values of {name} for {bands} bands", "Store one per band"
                )
            continue  # of another array in the same file
        about[name] = values
    about["wavelengths"], about["fwhm"] = in_nanometres(about.get("wavelengths"), about.get("fwhm"), "")
    return about

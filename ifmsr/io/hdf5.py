"""Cubes in HDF5: NEON's layout, PRISMA's cubes by name, netCDF 4, and any file with one data set of three axes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ifmsr.errors import InputError
from ifmsr.extras import require
from ifmsr.io import netcdf
from ifmsr.io.envi import transform_of
from ifmsr.io.layout import Layout, bands_first
from ifmsr.io.room import check_room
from ifmsr.io.stored import Stored, Transform, in_nanometres
from ifmsr.untrusted import bytes_on_disk, decoding


def read_hdf5(
    path: Path, key: str | None = None, layout: Layout | None = None, beside: tuple[int, int] | None = None
) -> Stored:
    """One data set of an HDF5 or netCDF 4 file with what the file says about it.

    Parameters
    ----------
    key : the data set's path in the file or the end of it; not needed if only one has three axes.
    layout, beside : see `ifmsr.io.layout.bands_first`. NEON's bands are last, PRISMA's in the middle.

    Raises
    ------
    InputError : the file is missing or damaged, none or several data sets fit, the data lie in another file, they do
        not fit into memory; h5py is not installed.
    """
    with opened(path) as file:
        name = chosen(path, {name: item.shape for name, item in data_sets(path, file).items()}, key)
        item = file[name]
        check_room(path, item.shape, item.dtype, bytes_on_disk(path))
        attributes = {entry: _plain(value) for entry, value in item.attrs.items()}
        array = item[()]
        if "/Data Fields/" in f"/{name}":  # HDF-EOS swath: (rows, bands, columns)
            return _prisma(path, file, name, np.moveaxis(array, 1, 0), attributes)
        neon = name.endswith("Reflectance_Data")
        stated: Layout | None = "HWC" if neon else "CHW" if netcdf.own_entries(attributes) else None
        array = bands_first(path, array, layout or stated, beside)
        bands = len(array)
        spectral = {
            entry.rpartition("/")[2].lower(): value for entry, value in _vectors(path, file, bands).items()
        }
        unit = _unit(file, spectral)
        wavelengths = next((spectral[entry] for entry in netcdf.WAVELENGTH_NAMES if entry in spectral), None)
        around = name.rpartition("/")[0]
        factor = _number(attributes, netcdf.SCALE_NAMES)
        centres, widths = in_nanometres(wavelengths, spectral.get("fwhm"), unit)
        found = Stored(
            path,
            array,
            centres,
            widths,
            crs=_text(path, file, f"{around}/Metadata/Coordinate_System/EPSG Code", prefix="EPSG:"),
            transform=_map_info(_text(path, file, f"{around}/Metadata/Coordinate_System/Map_Info")),
            # NEON divides by its factor, the netCDF convention multiplies
            scale=None
            if factor is None
            else (1 / factor if factor and "Scale_Factor" in attributes else factor),
            offset=_number(attributes, (netcdf.OFFSET,)),
            nodata=_number(attributes, netcdf.NODATA_NAMES),
            header=netcdf.remaining(attributes),
        )
        variables = {
            entry.rpartition("/")[2]: item
            for entry, item in data_sets(path, file).items()
            if entry.rpartition("/")[0] == around
        }
        mapping = variables.get(str(attributes.get("grid_mapping")))
        grid = {} if mapping is None else {entry: _plain(value) for entry, value in mapping.attrs.items()}
        return netcdf.described(found, attributes, grid, variables)


def data_sets(path: Path, file: Any) -> dict[str, Any]:
    """Path -> numeric data set, of the whole file. Raises InputError if one lies outside the file."""
    return {name: item for name, item in _everything(path, file).items() if item.dtype.kind in "iuf"}


def _everything(path: Path, file: Any) -> dict[str, Any]:
    """Path -> data set of any type, texts too. Raises InputError if one lies outside the file."""
    import h5py

    found: dict[str, Any] = {}
    groups, seen = [("", file)], set()
    while groups:
        above, group = groups.pop(0)
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:  # a group may hold itself
            continue
        seen.add(address)
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise InputError(
                    path, f"{above}{name} is a link to another file", "Copy the data into the file"
                )
            if not isinstance(link, h5py.HardLink):
                continue  # a soft link names what is found under its own name
            item = group[name]
            if isinstance(item, h5py.Group):
                if not name.startswith("#"):  # MATLAB's references
                    groups.append((f"{above}{name}/", item))
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise InputError(
                        path, f"the data of {above}{name} lie in another file", "Copy them into the file"
                    )
                found[f"{above}{name}"] = item
    return found


def chosen(path: Path, shapes: dict[str, tuple[int, ...]], key: str | None) -> str:
    """The name of the array to read: `key` or what ends in it, or the only one with three axes.

    Raises InputError, listing what there is, if there is none or several.
    """
    listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
    if key is None:
        fitting = [name for name, shape in shapes.items() if len(shape) == 3]
        problem = f"{len(fitting)} arrays with three axes (found: {listed})"
    else:
        wanted = key.strip("/")
        fitting = [wanted] if wanted in shapes else [name for name in shapes if name.endswith(f"/{wanted}")]
        problem = f"no array {key!r}" if not fitting else f"{len(fitting)} arrays {key!r}"
        problem += f" (found: {listed})"
    if len(fitting) != 1:
        raise InputError(path, problem, "Name one with key=")
    return fitting[0]


@contextmanager
def opened(path: str | Path, kind: str = "an HDF5 file") -> Iterator[Any]:
    """The open `h5py.File`; whatever a missing or damaged one raises becomes one InputError."""
    require("h5py")
    import h5py

    with decoding(path, kind):
        if not Path(path).is_file():
            raise FileNotFoundError(path)
        with h5py.File(path) as file:
            yield file


def _prisma(path: Path, file: Any, name: str, array: Any, attributes: dict[str, Any]) -> Stored:
    """A cube of a PRISMA product: wavelengths falling, channels without a wavelength unused, scale in the file."""
    part = "Vnir" if "VNIR" in name else "Swir"

    def listed(entry: str) -> Any:
        values = file.attrs.get(f"{entry}_{part}")
        return None if values is None or len(values) != len(array) else np.asarray(values, np.float64)

    def stated(entry: str) -> float | None:
        value = file.attrs.get(f"L2Scale{part}{entry}")
        return None if value is None else float(np.ravel(value)[0])

    centres, widths = listed("List_Cw"), listed("List_Fwhm")
    least, most = stated("Min"), stated("Max")
    return Stored(
        path,
        array,
        centres,
        widths,
        None if centres is None else centres > 0,
        scale=None if least is None or most is None else (most - least) / 65535,
        offset=least if most is not None else None,
        header=attributes,
    )


def _vectors(path: Path, file: Any, length: int) -> dict[str, Any]:
    return {name: item for name, item in data_sets(path, file).items() if item.shape == (length,)}


def _unit(file: Any, spectral: dict[str, Any]) -> str:
    for entry in netcdf.WAVELENGTH_NAMES:
        if entry in spectral:
            attributes = {name.lower(): value for name, value in spectral[entry].attrs.items()}
            return str(_plain(attributes.get("units", attributes.get("unit", ""))))
    return ""


def _number(attributes: dict[str, Any], names: tuple[str, ...]) -> float | None:
    return next(
        (float(attributes[name]) for name in names if isinstance(attributes.get(name), int | float)), None
    )


def _text(path: Path, file: Any, name: str, prefix: str = "") -> str | None:
    """A text in the file, or None."""
    item = _everything(path, file).get(name.lstrip("/"))
    if item is None or item.size != 1:
        return None
    value = _plain(item[()])
    return f"{prefix}{value}" if isinstance(value, str | int) else None


def _map_info(text: str | None) -> Transform | None:
    return None if text is None else transform_of([part.strip() for part in text.split(",")])


def _plain(value: Any) -> Any:
    """An attribute as a number, a text or a list of them, as JSON holds it."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray):
        return _plain(value.ravel()[0]) if value.size == 1 else [_plain(entry) for entry in value.ravel()]
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, int | float | str) else str(value)

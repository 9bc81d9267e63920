"""ENVI images as files: the header from a cube's metadata, and the numbers at once or block by block."""

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.extras import require
from ifmsr.files import replacing, reserve, write_atomically, writing
from ifmsr.io.cube import Cube
from ifmsr.io.envi import AXES, as_ascii, from_ascii
from ifmsr.io.stored import NANOMETRES, Transform


def write_cube(path: Path, cube: Cube) -> None:
    """The header beside the numbers, in the input's interleave, with all its entries.

    Parameters
    ----------
    path : the header (the numbers go into .img beside it) or the data file.

    Raises
    ------
    InputError : the type or the grid is one that ENVI cannot hold; spectral is not installed.
    """
    header_path, data_path = targets(path)
    text = header_text(path, cube)
    array = cube.stored()
    little = np.ascontiguousarray(
        array.transpose(AXES[interleave_of(path, cube)]), array.dtype.newbyteorder("<")
    )
    write_atomically(data_path, lambda file: file.write(little.data))
    write_atomically(header_path, lambda file: file.write(text.encode()))


def interleave_of(path: Path, cube: Cube) -> str:
    """The interleave of a result: what its suffix says, else the input's."""
    interleave = path.suffix.lower().removeprefix(".")
    interleave = interleave if interleave in AXES else str(cube.header.get("interleave", "bsq")).lower()
    return interleave if interleave in AXES else "bsq"


def header_text(path: Path, cube: Cube) -> str:
    """The header of a cube; errors as for `write_cube`."""
    require("spectral")
    from spectral.io.envi import dtype_to_envi, write_envi_header

    kind = dtype_to_envi.get(np.dtype(cube.dtype).char)
    if kind is None:
        raise InputError(path, f"ENVI has no type {cube.dtype}", "Write .tif or .npz, or float reflectance")
    bands, lines, samples = cube.values.shape
    entries: dict[str, Any] = {
        key: value for key, value in cube.header.items() if isinstance(value, str | int | float | list)
    }
    entries |= {
        "samples": samples,
        "lines": lines,
        "bands": bands,
        "header offset": 0,
        "file type": "ENVI Standard",
        "data type": kind,
        "interleave": interleave_of(path, cube),
        "byte order": 0,
    }
    entries |= _fields(path, cube)
    with writing(tempfile.gettempdir(), "Nothing was changed"), tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.hdr"
        write_envi_header(str(plain), {key: as_ascii(value) for key, value in entries.items()})
        return from_ascii(plain.read_text(encoding="ascii"))


@contextmanager
def block_target(path: Path, cube: Cube) -> Iterator[NDArray[Any]]:
    """The numbers (B, h, w) of an ENVI image to be written block by block; its files appear when all is written."""
    header_path, data_path = targets(path)
    text, order = header_text(path, cube), AXES[interleave_of(path, cube)]
    shape = tuple(cube.values.shape[axis] for axis in order)
    with replacing(data_path) as temporary:
        image = np.memmap(temporary, np.dtype(cube.dtype).newbyteorder("<"), "w+", shape=shape)
        reserve(temporary)
        yield image.transpose(np.argsort(order))
        image.flush()
        del image
    write_atomically(header_path, lambda file: file.write(text.encode()))


def targets(path: Path) -> tuple[Path, Path]:
    """The header and the data file that `write_cube` writes, given either of them."""
    return (
        (path, path.with_suffix(".img"))
        if path.suffix.lower() == ".hdr"
        else (path.with_suffix(".hdr"), path)
    )


def _fields(path: Path, cube: Cube) -> dict[str, Any]:
    """The entries that the fields of a cube give."""
    assert cube.scale is not None and cube.offset is not None  # set on construction
    entries: dict[str, Any] = {}
    unit = str(cube.header.get("wavelength units", "")).strip().lower()
    for name, value in (("wavelength", cube.wavelengths), ("fwhm", cube.fwhm)):
        if value is not None:
            entries[name] = [f"{number / NANOMETRES.get(unit, 1.0):.10g}" for number in value]
    if cube.wavelengths is not None and unit not in NANOMETRES:
        entries["wavelength units"] = "Nanometers"
    if cube.good is not None:
        entries["bbl"] = [str(int(good)) for good in cube.good]
    if cube.names:
        entries["band names"] = list(cube.names)
    if cube.nodata is not None:
        entries["data ignore value"] = f"{cube.nodata:.10g}"
    declared = any(key in cube.header for key in ("reflectance scale factor", "data gain values"))
    if not declared and ((cube.scale != 1).any() or (cube.offset != 0).any()):
        entries["data gain values"] = [f"{number:.10g}" for number in cube.scale]
        entries["data offset values"] = [f"{number:.10g}" for number in cube.offset]
    if cube.transform is not None:
        entries |= _place(path, cube.crs, cube.transform)
    return entries


def _place(path: Path, crs: str | None, transform: Transform) -> dict[str, Any]:
    """`map info` and `coordinate system string`."""
    a, b, c, d, e, f = transform
    across, down, angle = math.hypot(a, d), math.hypot(b, e), math.atan2(d, a)
    turned = (
        across * math.cos(angle),
        down * math.sin(angle),
        across * math.sin(angle),
        -down * math.cos(angle),
    )
    if not np.allclose(turned, (a, b, d, e), rtol=0, atol=1e-9 * max(across, down)):
        raise InputError(path, "ENVI holds no mirrored or sheared grid", "Write a GeoTIFF (.tif)")
    entries: dict[str, Any] = {}
    name, zone = "Arbitrary", []
    if crs is not None:
        entries["coordinate system string"] = crs.split(",")
        name = "Projected"
        if (utm := _utm(crs)) is not None:
            name, zone = "UTM", [*utm, "WGS-84"]
            if crs.upper().startswith("EPSG:"):  # the zone says it; a code is no coordinate system string
                del entries["coordinate system string"]
    numbers = ["1", "1", *(f"{number:.15g}" for number in (c, f, across, down))]
    rotation = [f"rotation={math.degrees(angle):.15g}"] if angle else []
    entries["map info"] = [name, *numbers, *zone, "units=Meters", *rotation]
    return entries


def _utm(crs: str) -> tuple[str, str] | None:
    """Zone and hemisphere of a UTM system on WGS 84, from its code or the last authority in its WKT."""
    digits = "".join(character for character in crs[-9:] if character.isdigit())
    if len(digits) != 5 or digits[:3] not in ("326", "327") or not 1 <= int(digits[3:]) <= 60:
        return None
    return str(int(digits[3:])), "North" if digits[:3] == "326" else "South"

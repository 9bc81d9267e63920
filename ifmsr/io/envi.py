"""ENVI images: a text header (.hdr) beside the numbers (.bsq, .bil, .bip, .img, .dat ...)."""

import math
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError, did_you_mean
from ifmsr.extras import require
from ifmsr.io.room import check_room
from ifmsr.io.stored import Stored, Transform, in_nanometres
from ifmsr.io.windows import Window, cut
from ifmsr.untrusted import bytes_on_disk, decoding, read_text

DATA_SUFFIXES = (".img", ".dat", ".bsq", ".bil", ".bip", ".raw", ".bin")
AXES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}
"""Interleave -> which axes of (bands, lines, samples) the file has from outside to inside."""
LONGEST_HEADER = 2**23  # bytes
STRUCTURE = (
    "samples",
    "lines",
    "bands",
    "header offset",
    "data type",
    "interleave",
    "byte order",
    "file type",
)
FIELDS = (
    "wavelength",
    "fwhm",
    "bbl",
    "band names",
    "map info",
    "coordinate system string",
    "data ignore value",
)
"""Entries that `Cube` has fields for; `ifmsr.io.envi_writing` makes them anew."""


def read_cube(path: Path, mapped: bool = False) -> Stored:
    """An ENVI image and every entry of its header.

    Parameters
    ----------
    path : the header or the data file.
    mapped : leave the numbers on the disk, as a memory map.

    Raises
    ------
    InputError : header or data file missing or damaged, a spectral library, an interleave that there is not, entries
        that do not fit the number of bands; the image does not fit into memory; spectral is not installed.
    """
    require("spectral")
    header_path, data_path = files_of(path)
    header = read_header(header_path)
    image = _memory_map(header_path, header, data_path)
    numbers = np.moveaxis(image, -1, 0)
    if not mapped:
        check_room(path, image.shape, image.dtype, bytes_on_disk(data_path))
        numbers = np.ascontiguousarray(numbers).astype(image.dtype.newbyteorder("="), copy=False)
    bands = image.shape[2]
    unit = str(header.get("wavelength units", ""))
    factor, gains, biases = (
        _numbers(header_path, header, name, bands)
        for name in ("reflectance scale factor", "data gain values", "data offset values")
    )
    bbl = _numbers(header_path, header, "bbl", bands)
    centres, widths = (_numbers(header_path, header, name, bands) for name in ("wavelength", "fwhm"))
    nodata = _numbers(header_path, header, "data ignore value", 1)
    map_info = header.get("map info")
    kept = {key: value for key, value in header.items() if key not in STRUCTURE + FIELDS}
    return Stored(
        path,
        numbers,
        *in_nanometres(centres, widths, unit),
        None if bbl is None else bbl != 0,
        tuple(_list(header.get("band names", []))),
        crs=_crs(header),
        transform=transform_of(map_info) if isinstance(map_info, list) else None,
        scale=gains if factor is None else np.divide(1, factor, out=np.zeros_like(factor), where=factor != 0),
        offset=biases if factor is None else None,
        nodata=None if nodata is None else float(nodata[0]),
        header={**kept, "interleave": str(header["interleave"]).lower()},
    )


def open_envi(path: str | Path) -> NDArray[Any]:
    """The image as a memory map (H, W, B); only what is indexed is read.

    Raises
    ------
    InputError : header or data file missing, damaged, or the data file is shorter than the header says; spectral is
        not installed.
    """
    header_path, data_path = files_of(Path(path))
    return _memory_map(header_path, read_header(header_path), data_path)


def read_envi(path: str | Path, window: Window | None = None) -> NDArray[Any]:
    """The image (H, W, B), or only a window of it, as an ordinary array in the file's own numbers."""
    image = open_envi(path)
    return np.array(image if window is None else cut(image, window))


def largest(path: str | Path, rows: int = 64) -> float:
    """The largest value of the image, read in blocks of rows; each is let go, so that memory stays small."""
    starts = range(0, len(open_envi(path)), rows)
    return max(float(np.max(open_envi(path)[start : start + rows])) for start in starts)


def files_of(path: Path) -> tuple[Path, Path]:
    """Header and data file, given either of them. Raises InputError if one is missing."""
    if not path.is_file():
        raise InputError(path, "there is no such file", "Check the path")
    if path.suffix.lower() != ".hdr":
        headers = [path.with_suffix(".hdr"), path.with_name(path.name + ".hdr"), path.with_suffix(".HDR")]
        for header in headers:
            if header.is_file():
                return header, path
        raise InputError(
            path, "there is no ENVI header beside it", f"Put {headers[0].name} into the same folder"
        )
    beside = [path.with_suffix("")] + [
        path.with_suffix(suffix) for lower in DATA_SUFFIXES for suffix in (lower, lower.upper())
    ]
    for data in beside:
        if data.is_file():
            return path, data
    raise InputError(path, "there is no data file beside it", f"Put {path.stem}.img into the same folder")


def read_header(path: Path) -> dict[str, Any]:
    """The entries of a header, keys in small letters; lists are lists of texts.

    Raises
    ------
    InputError : it is no ENVI header, it describes a spectral library, or an entry that the image needs is missing.
    """
    require("spectral")
    import spectral

    with (
        decoding(path, "an ENVI header", "Check that its first line is ENVI"),
        tempfile.TemporaryDirectory() as folder,  # spectral reads files, in the encoding of the locale
        warnings.catch_warnings(),
    ):
        try:
            decoded = read_text(path, LONGEST_HEADER)
        except UnicodeDecodeError:
            decoded = path.read_bytes().decode("latin-1")
        plain = Path(folder) / "plain.hdr"
        plain.write_bytes(decoded.encode("ascii", "xmlcharrefreplace"))
        warnings.simplefilter("ignore")  # capitals in keys
        read = spectral.envi.read_envi_header(str(plain))
    header = {key: from_ascii(value) for key, value in read.items()}
    if "spectral library" in str(header.get("file type", "")).lower():
        raise InputError(path, "it is a spectral library, a table of spectra", "Give an image")
    lacking = [key for key in ("samples", "lines", "bands", "data type", "interleave") if key not in header]
    if lacking:
        raise InputError(path, f"its header has no {', '.join(lacking)}", "Add what is missing to the header")
    return header


def _memory_map(path: Path, header: dict[str, Any], data: Path) -> NDArray[Any]:
    """(lines, samples, bands)."""
    from spectral.io.envi import envi_to_dtype

    interleave = str(header["interleave"]).lower()
    if interleave not in AXES:
        raise InputError(
            path,
            f"its interleave is {header['interleave']!r}",
            f"{did_you_mean(interleave, AXES)}ENVI has {', '.join(AXES)}",
        )
    sides = [_whole(path, header, key) for key in ("bands", "lines", "samples")]
    kind = str(header["data type"])
    if kind not in envi_to_dtype:
        raise InputError(path, f"its data type is {kind!r}", f"ENVI has {', '.join(envi_to_dtype)}")
    order = ">" if _whole(path, header, "byte order", 0) else "<"
    offset = _whole(path, header, "header offset", 0)
    shape = tuple(sides[axis] for axis in AXES[interleave])
    dtype = np.dtype(envi_to_dtype[kind]).newbyteorder(order)
    wanted, there = offset + math.prod(shape) * dtype.itemsize, data.stat().st_size
    if min(shape) < 1 or offset < 0 or there < wanted:
        raise InputError(
            path,
            f"{data.name} is shorter than the header says ({there} of {wanted} bytes)",
            "Put the complete data file beside its .hdr and check the header",
        )
    image: NDArray[Any] = np.memmap(data, dtype, "r", offset, shape)
    places = AXES[interleave]
    return image.transpose([places.index(axis) for axis in (1, 2, 0)])


def transform_of(map_info: list[str]) -> Transform | None:
    """The transform of a `map info` entry: reference pixel (counted from 1), its map position, pixel sizes, rotation.

    None where the numbers are missing.
    """
    try:
        column, row, x, y, across, down = (float(entry) for entry in map_info[1:7])
    except ValueError:
        return None
    turned = [
        entry.partition("=")[2]
        for entry in map_info
        if entry.lower().replace(" ", "").startswith("rotation=")
    ]
    angle = math.radians(float(turned[0])) if turned else 0.0
    a, b = across * math.cos(angle), down * math.sin(angle)
    d, e = across * math.sin(angle), -down * math.cos(angle)
    return a, b, x - a * (column - 1) - b * (row - 1), d, e, y - d * (column - 1) - e * (row - 1)


def _crs(header: dict[str, Any]) -> str | None:
    """WKT, or the code of a UTM zone."""
    system = header.get("coordinate system string")
    if system:
        return ",".join(system) if isinstance(system, list) else str(system).strip("{}")
    info = header.get("map info")
    if not isinstance(info, list) or len(info) < 10 or info[0].upper() != "UTM" or "84" not in info[9]:
        return None
    if not re.fullmatch("[0-9]{1,2}", info[7]) or not 1 <= int(info[7]) <= 60:
        return None
    return f"EPSG:{'326' if info[8].lower().startswith('n') else '327'}{int(info[7]):02d}"


def _numbers(path: Path, header: dict[str, Any], key: str, bands: int) -> NDArray[np.float64] | None:
    """An entry as (bands,) float64, None if the header has none; one number counts for every band."""
    if key not in header:
        return None
    try:
        numbers = np.array([float(entry) for entry in _list(header[key])])
    except ValueError as error:
        raise InputError(
            path, f"its {key} is {header[key]!r}", "Correct the header: numbers are wanted"
        ) from error
    if len(numbers) not in (1, bands):
        raise InputError(path, f"{len(numbers)} values of {key} for {bands} bands", "Correct the header")
    return np.broadcast_to(numbers, bands).copy()


def _whole(path: Path, header: dict[str, Any], key: str, fallback: int = -1) -> int:
    try:
        return int(header.get(key, fallback))
    except (TypeError, ValueError) as error:
        raise InputError(
            path, f"its {key} is {header[key]!r}", "Give a whole number in the header"
        ) from error


def _list(value: Any) -> list[str]:
    return [entry for entry in value if entry] if isinstance(value, list) else [str(value)]


def as_ascii(value: Any) -> Any:
    """Texts as ASCII, because spectral reads and writes in the encoding of the locale; numbers as they are."""
    if isinstance(value, list):
        return [as_ascii(entry) for entry in value]
    return value.encode("ascii", "xmlcharrefreplace").decode() if isinstance(value, str) else value


def from_ascii(value: Any) -> Any:
    """The inverse of `as_ascii`."""
    if isinstance(value, list):
        return [from_ascii(entry) for entry in value]
    return re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), value)

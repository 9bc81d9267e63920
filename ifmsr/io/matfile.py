"""Reading one variable, or a window of it, from a MATLAB file of any version.

A file of version 7.3 is HDF5. MATLAB writes its axes reversed and the attribute MATLAB_class beside every variable; a
file without that attribute comes from another program, with the axes as they are.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.io import hdf5
from ifmsr.io.entries import from_entries
from ifmsr.io.hdf5 import opened
from ifmsr.io.layout import Layout, bands_first
from ifmsr.io.mat_tags import check_arrays
from ifmsr.io.room import check_room
from ifmsr.io.stored import Stored
from ifmsr.io.windows import Window, cut
from ifmsr.untrusted import bytes_on_disk, decoding

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
HDF5_STARTS = (0, 512)  # other programs' files begin with it, MATLAB's after a header of 512 bytes
TYPES = {
    "double": "f8",
    "single": "f4",
    "uint8": "u1",
    "int8": "i1",
    "uint16": "u2",
    "int16": "i2",
    "uint32": "u4",
    "int32": "i4",
    "uint64": "u8",
    "int64": "i8",
}
"""MATLAB's name of a type -> NumPy's."""
LONGEST_TEXT = 2**20  # characters


def read_mat(
    path: Path, key: str | None = None, layout: Layout | None = None, beside: tuple[int, int] | None = None
) -> Stored:
    """A cube of a .mat file; `key` as in `ifmsr.io.hdf5.chosen`, the others as in `ifmsr.io.layout.bands_first`.

    Raises
    ------
    InputError : as `read_variable`; none or several variables fit.
    """
    found = variables(path)
    name = hdf5.chosen(path, found, key)
    metadata = _metadata(path)
    array = bands_first(path, read_variable(path, name), layout or metadata.get("layout"), beside)
    return Stored(
        path, array, **from_entries(path, {**_spectrum(path, found, len(array)), **metadata}, len(array))
    )


def variables(path: str | Path) -> dict[str, tuple[int, ...]]:
    """The numeric arrays in a .mat file and their shapes in the order of `read_variable`; nothing of them is read.

    Raises
    ------
    InputError : the file is missing, truncated, or no .mat file; it is of v7.3 and h5py is not installed.
    """
    with _one_error(path):
        if not _is_hdf5(path):
            import scipy.io

            check_arrays(Path(path))
            return {name: shape for name, shape, kind in scipy.io.whosmat(str(path)) if kind in TYPES}
        with opened(path, "a .mat file") as file:
            return {
                name: item.shape[::-1] if _by_matlab(item) else item.shape
                for name, item in hdf5.data_sets(Path(path), file).items()
            }


def read_variable(path: str | Path, key: str, window: Window | None = None) -> NDArray[Any]:
    """The array called `key` in MATLAB's order, e.g. (H, W, B), or only a window of its first two axes.

    From a v7.3 file only the window is read; older files are always read whole.

    Raises
    ------
    InputError : the file is missing, truncated or no .mat file, or has no numeric array `key` (the error
        lists those it has), or it does not fit into memory; the file is of v7.3 and h5py is not installed.
    """
    found = variables(path)
    if key not in found:
        listed = ", ".join(f"{name} {shape}" for name, shape in found.items()) or "none"
        raise InputError(
            path,
            f"no numeric variable {key!r} (it has: {listed})",
            "Name one of those, or get the file again if it was cut off",
        )
    with _one_error(path):
        if not _is_hdf5(path):
            import scipy.io

            kinds = {name: kind for name, _, kind in scipy.io.whosmat(str(path))}
            check_room(path, found[key], TYPES[kinds[key]], bytes_on_disk(Path(path)))
            array = scipy.io.loadmat(str(path), variable_names=[key])[key]
            return array if window is None else cut(array, window)
        with opened(path, "a .mat file") as file:
            item = file[key]
            shape = found[key] if window is None else (*window[2:], *found[key][2:])
            check_room(path, shape, item.dtype, bytes_on_disk(Path(path)) if window is None else None)
            if window is None:
                return item[()].T if _by_matlab(item) else item[()]
            top, left, height, width = window
            if _by_matlab(item):
                return item[..., left : left + width, top : top + height].T
            return item[top : top + height, left : left + width]


def largest(path: str | Path, key: str) -> float:
    """The largest value of a v7.3 variable, read in blocks, so that memory stays small."""
    with opened(path, "a .mat file") as file:
        array = file[key]
        blocks = array.iter_chunks() if array.chunks else range(len(array))
        return max(float(np.max(array[block])) for block in blocks)


def _spectrum(path: Path, found: dict[str, tuple[int, ...]], bands: int) -> dict[str, Any]:
    """The variables of telling names that hold one number per band."""
    names = {"wavelengths": "wavelengths", "wavelength": "wavelengths", "fwhm": "fwhm"}
    return {
        names[name]: read_variable(path, name)
        for name, shape in found.items()
        if name in names and math.prod(shape) == bands
    }


def _metadata(path: Path) -> dict[str, Any]:
    """The metadata that `ifmsr.io.arrays.write_mat` has stored beside the cube; {} if there are none."""
    if _is_hdf5(path):
        return {}
    import scipy.io

    with _one_error(path):
        texts = {name: shape for name, shape, kind in scipy.io.whosmat(str(path)) if kind == "char"}
        if math.prod(texts.get("metadata", (0,))) not in range(1, LONGEST_TEXT):
            return {}
        stored = scipy.io.loadmat(str(path), variable_names=["metadata"])["metadata"]
        text = str(stored.ravel()[0]) if stored.dtype.kind == "U" and stored.size == 1 else ""
    try:
        entries = json.loads(text)
    except ValueError:  # another program's variable of that name
        return {}
    return entries if isinstance(entries, dict) else {}


def _is_hdf5(path: str | Path) -> bool:
    """Whether a .mat file is of v7.3, which is HDF5."""
    with open(path, "rb") as file:
        head = file.read(max(HDF5_STARTS) + len(HDF5_SIGNATURE))
    return any(head[start:].startswith(HDF5_SIGNATURE) for start in HDF5_STARTS)


def _by_matlab(item: Any) -> bool:
    """Whether MATLAB wrote a data set, with its axes reversed."""
    return "MATLAB_class" in item.attrs


@contextmanager
def _one_error(path: str | Path) -> Iterator[None]:
    """Whatever a missing or damaged .mat file makes scipy and h5py raise becomes one InputError."""
    with decoding(path, "a .mat file"):
        if not Path(path).is_file():
            raise FileNotFoundError(path)
        yield

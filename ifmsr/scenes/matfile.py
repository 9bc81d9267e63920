"""Reading one variable, or a window of it, from a MATLAB file of any version."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.extras import require
from ifmsr.scenes.base import Window, cut

# what scipy and h5py were seen to raise on truncated, garbled or foreign files, besides MatReadError
DAMAGE = (OSError, EOFError, ValueError, TypeError, LookupError, RuntimeError, MemoryError)
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
HDF5_STARTS = (0, 512)  # other programs' files begin with it, MATLAB's after a header of 512 bytes


def variables(path: str | Path) -> dict[str, tuple[int, ...]]:
    """The numeric arrays in a .mat file and their shapes in MATLAB's order; nothing of them is read.

    Raises
    ------
    InputError : the file is missing, truncated, or no .mat file; it is of v7.3 and h5py is not installed.
    """
    with _one_error(path):
        if not _is_hdf5(path):
            import scipy.io

            numeric = {
                "double",
                "single",
                "uint8",
                "int8",
                "uint16",
                "int16",
                "uint32",
                "int32",
                "uint64",
                "int64",
            }
            return {name: shape for name, shape, kind in scipy.io.whosmat(str(path)) if kind in numeric}
        with _open_hdf5(path) as file:
            return {name: item.shape[::-1] for name, item in file.items() if _is_numeric(item)}


def read_variable(path: str | Path, key: str, window: Window | None = None) -> NDArray[Any]:
    """The array called `key` in MATLAB's order, e.g. (H, W, B), or only a window of its first two axes.

    From a v7.3 file (HDF5, axes reversed on disk) only the window is read; older files are always read whole.

    Raises
    ------
    InputError : the file is missing, truncated or no .mat file, or has no numeric array `key` (the error
        lists those it has); it is of v7.3 and h5py is not installed.
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

            array = scipy.io.loadmat(str(path), variable_names=[key])[key]
            return array if window is None else cut(array, window)
        with _open_hdf5(path) as file:
            if window is None:
                return file[key][()].T
            top, left, height, width = window
            return file[key][..., left : left + width, top : top + height].T


def largest(path: str | Path, key: str) -> float:
    """The largest value of a v7.3 variable, read in blocks, so that memory stays small."""
    with _one_error(path), _open_hdf5(path) as file:
        array = file[key]
        blocks = array.iter_chunks() if array.chunks else range(len(array))
        return max(float(np.max(array[block])) for block in blocks)


def _is_hdf5(path: str | Path) -> bool:
    """Whether a .mat file is of v7.3, which is HDF5."""
    with open(path, "rb") as file:
        head = file.read(max(HDF5_STARTS) + len(HDF5_SIGNATURE))
    return any(head[start:].startswith(HDF5_SIGNATURE) for start in HDF5_STARTS)


def _open_hdf5(path: str | Path) -> Any:
    """The `h5py.File`. Raises InputError if h5py is not installed."""
    require("h5py")
    import h5py

    return h5py.File(path)


@contextmanager
def _one_error(path: str | Path) -> Iterator[None]:
    """Whatever a missing or damaged .mat file makes scipy and h5py raise becomes one InputError."""
    if not Path(path).is_file():
        raise InputError(path, "there is no such file", "Check the path")
    from scipy.io.matlab import MatReadError

    try:
        yield
    except InputError:
        raise
    except (*DAMAGE, MatReadError, zlib.error) as error:
        problem = f"cannot be read as a .mat file ({error})"
        raise InputError(path, problem, "Download or copy the file again") from error


def _is_numeric(item: Any) -> bool:
    return hasattr(item, "shape") and item.dtype.kind in "uif"

"""NumPy files, and the writer of .mat files."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ifmsr.errors import InputError
from ifmsr.files import write_atomically
from ifmsr.io.cube import Cube
from ifmsr.io.entries import from_entries, metadata_of
from ifmsr.io.hdf5 import chosen
from ifmsr.io.layout import Layout, bands_first
from ifmsr.io.npz import Arrays, read_npy
from ifmsr.io.stored import Stored
from ifmsr.untrusted import decoding


def read_numpy(
    path: Path, key: str | None = None, layout: Layout | None = None, beside: tuple[int, int] | None = None
) -> Stored:
    """The array of a .npy file or one of a .npz file; `key` as in `ifmsr.io.hdf5.chosen`, see also `bands_first`.

    Raises
    ------
    InputError : the file is missing or damaged, holds objects, does not fit into memory; none or several arrays fit.
    """
    with decoding(path, "a NumPy file", "Save it again"):
        if path.suffix.lower() == ".npy":
            return Stored(path, bands_first(path, read_npy(path), layout, beside))
        with Arrays(path) as arrays:
            name = chosen(path, {name: shape for name, (shape, _) in arrays.headers.items()}, key)
            metadata = json.loads(str(arrays["metadata"])) if "metadata" in arrays else {}
            vectors = {
                entry: arrays[entry]
                for entry, (shape, _) in arrays.headers.items()
                if entry in ("wavelengths", "wavelength", "fwhm") and len(shape) == 1
            }
            array = bands_first(path, arrays[name], layout or metadata.get("layout"), beside)
        if "wavelength" in vectors:
            vectors.setdefault("wavelengths", vectors.pop("wavelength"))
        return Stored(path, array, **from_entries(path, {**vectors, **metadata}, len(array)))


def write_npy(path: Path, cube: Cube) -> None:
    """The stored numbers (B, h, w) alone: a .npy file has no place for metadata."""
    write_atomically(path, lambda file: np.save(file, cube.stored()))


def write_npz(path: Path, cube: Cube) -> None:
    """The stored numbers (B, h, w) as `cube`, the band centres as `wavelengths`, the rest as JSON in `metadata`."""
    arrays: dict[str, Any] = {"cube": cube.stored(), "metadata": np.array(metadata_of(cube, "CHW"))}
    if cube.wavelengths is not None:
        arrays["wavelengths"] = cube.wavelengths
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def write_mat(path: Path, cube: Cube) -> None:
    """The stored numbers (h, w, B) as `cube`, the band centres as `wavelengths`, the rest as JSON in `metadata`.

    Raises InputError if the cube is larger than a .mat file of version 5 can hold.
    """
    from scipy.io import savemat

    array = np.moveaxis(cube.stored(), 0, -1)
    if array.nbytes >= 2**31:
        raise InputError(
            path, f"a cube of {array.nbytes / 2**30:.1f} GiB", "Write .tif, .hdr or .npz: .mat ends at 2 GiB"
        )
    variables: dict[str, Any] = {"cube": array, "metadata": metadata_of(cube, "HWC")}
    if cube.wavelengths is not None:
        variables["wavelengths"] = cube.wavelengths
    write_atomically(path, lambda file: savemat(file, variables, do_compression=True))

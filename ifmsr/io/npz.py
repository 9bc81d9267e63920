"""NumPy's own files, each array measured against memory and its file before it is read."""

import io
import zipfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ifmsr.io.room import check_room
from ifmsr.untrusted import bytes_on_disk, check_bytes

Header = tuple[tuple[int, ...], np.dtype[Any]]
LONGEST_HEADER = 2**16
"""Bytes; NumPy refuses longer ones only after reading them."""
MOST_ARRAYS = 10_000


class Arrays:
    """The arrays of an open .npz file by name, none of which is read before its size was checked.

    Objects, which are pickles, are never read. Raises whatever zipfile and NumPy raise for damaged files: use it inside
    `ifmsr.untrusted.decoding`.

    Attributes
    ----------
    headers : name -> shape and type.
    """

    def __init__(self, path: Path):
        self.path = path
        self._archive = zipfile.ZipFile(path)
        try:
            members = self._archive.namelist()
            if len(members) > MOST_ARRAYS:
                raise ValueError(f"it has {len(members)} arrays")
            self._members = {name.removesuffix(".npy"): name for name in members}
            self.headers: dict[str, Header] = {}
            for name, member in self._members.items():
                with self._archive.open(member) as file:
                    self.headers[name] = header_of(file)
        except BaseException:
            self._archive.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The array. Raises InputError if it does not fit into memory or is inflated beyond belief."""
        check_room(self.path, *self.headers[name], self._archive.getinfo(self._members[name]).compress_size)
        with self._archive.open(self._members[name]) as file:
            return npy.read_array(file, allow_pickle=False)

    def optional(self, name: str) -> NDArray[Any] | None:
        """The array, or None if there is none of that name."""
        if name not in self:
            return None
        return self[name]


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a .npy file. Raises InputError if it does not fit into memory, or what NumPy raises."""
    with path.open("rb") as file:
        shape, dtype = header_of(file)
        check_room(path, shape, dtype)
        wanted, there = int(np.prod(shape, dtype=object)) * dtype.itemsize, path.stat().st_size - file.tell()
        if wanted > there:
            raise ValueError(f"it ends after {there} of {wanted} bytes")
        check_bytes(path, f"an array of shape {shape}", wanted, bytes_on_disk(path))
        file.seek(0)
        return npy.read_array(file, allow_pickle=False)


def map_npy(path: Path) -> NDArray[Any]:
    """The array of a .npy file as a read-only memory map. Raises what NumPy raises."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def header_of(file: IO[bytes]) -> Header:
    """Shape and type of the array that a .npy stream begins with."""
    version = npy.read_magic(file)
    first = file.read(2 if version == (1, 0) else 4)
    length = int.from_bytes(first, "little")
    if length > LONGEST_HEADER:
        raise ValueError(f"its header is {length} bytes long")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(io.BytesIO(first + file.read(length)))
    return shape, dtype

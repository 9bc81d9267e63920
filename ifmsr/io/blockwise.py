"""Results that are written block by block, in the formats that can be."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.files import replacing, reserve
from ifmsr.io import envi_writing, geotiff
from ifmsr.io.cube import Array, Cube
from ifmsr.io.writing import ENVI


class Sink:
    """A result (B, H, W) that is written block by block: float values in, the file's numbers out."""

    def __init__(self, numbers: Any, cube: Cube):
        self.numbers, self.cube = numbers, cube

    def __setitem__(self, place: tuple[slice, slice, slice], values: Array) -> None:
        self.numbers[place] = replace(self.cube, values=values).stored()


@contextmanager
def _npy_target(path: Path, cube: Cube) -> Iterator[NDArray[Any]]:
    with replacing(path) as temporary:
        numbers = np.lib.format.open_memmap(temporary, "w+", np.dtype(cube.dtype), cube.values.shape)
        reserve(temporary)
        yield numbers
        numbers.flush()
        del numbers


TARGETS: dict[str, Callable[[Path, Cube], AbstractContextManager[Any]]] = {
    ".npy": _npy_target,
    ".tif": geotiff.block_target,
    ".tiff": geotiff.block_target,
    **dict.fromkeys(ENVI, envi_writing.block_target),
}


@contextmanager
def block_target(path: Path, cube: Cube) -> Iterator[Sink]:
    """A result to be written block by block: ``target[:, rows, columns] = values``.

    The file appears, whole, when the context ends; after a failure what was there before is unchanged.

    Parameters
    ----------
    path : its suffix is one of `TARGETS`.
    cube : the metadata; its values only have the shape.

    Raises
    ------
    InputError : as `ifmsr.io.write_cube`.
    """
    with TARGETS[path.suffix.lower()](path, cube) as numbers:
        yield Sink(numbers, cube)

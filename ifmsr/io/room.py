"""Whether an array of a stated size fits into memory, asked before anything of it is read."""

from math import prod

import numpy as np
from numpy.typing import DTypeLike

from ifmsr.untrusted import check_bytes

FLOAT32 = 4  # bytes; every cube becomes float32


def check_room(where: object, shape: tuple[int, ...], dtype: DTypeLike, on_disk: int | None = None) -> None:
    """Raise InputError, naming `where`, if the stored array and its float32 copy exceed the free memory.

    `on_disk` : bytes of a file that may be compressed or sparse; see `ifmsr.untrusted.check_bytes`.
    """
    shape = tuple(int(side) for side in shape)
    wanted = prod(shape) * (np.dtype(dtype).itemsize + FLOAT32)
    check_bytes(where, f"an array of shape {shape}", wanted, on_disk)

"""Whether an array of a stated size fits into memory, asked before anything of it is read."""

from math import prod

import numpy as np
import psutil
from numpy.typing import DTypeLike

from ifmsr.errors import InputError

FLOAT32 = 4  # bytes; every cube becomes float32


def check_room(where: object, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """Raise InputError, naming `where`, if the stored array and its float32 copy exceed the free memory."""
    wanted = prod(int(side) for side in shape) * (np.dtype(dtype).itemsize + FLOAT32)
    free = psutil.virtual_memory().available
    if wanted > free:
        raise InputError(
            where,
            f"an array of shape {tuple(shape)} takes {wanted / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free",
            "Crop it to the part you need, or use a machine with more memory",
        )

"""Where tensors are computed: on the CPU or a GPU.

Code between `computing_on(device)` makes its tensors there without naming the device at every place: PyTorch's default
device is the one sought. What comes from NumPy arrays is moved by `here`.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from textwrap import shorten
from typing import Any, TypeVar

import psutil
import torch
from torch import Tensor

from ifmsr.errors import InputError, shown
from ifmsr.precision import tf32_off

KNOWN_DEVICES = 'Give "cpu", "cuda" or "cuda:1"'
CPU = torch.device("cpu")

Result = TypeVar("Result")


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """`device` if given, else the GPU if there is one, else the CPU.

    Raises InputError if there is no such device here.
    """
    if not isinstance(device, str | torch.device | None):
        raise InputError("device", f"found {shown(device)}", KNOWN_DEVICES)
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=chosen).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = shorten(str(error), 80, placeholder=" ...")
        raise InputError("device", f"{device!r} cannot be used ({reason})", KNOWN_DEVICES) from error
    return chosen


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken on `device`."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


@contextmanager
def computing_on(device: torch.device) -> Iterator[None]:
    """New tensors are made on `device`, and float32 is not replaced by TF32.

    On a CPU that is the default already, and stays so without a price for every operation.
    """
    with tf32_off(), nullcontext() if device == torch.get_default_device() else device:
        yield


def here(value: Any) -> Any:
    """A tensor, or the tensors of a tuple or list, on the device that new tensors are made on; all else as it is."""
    return moved(value, torch.get_default_device())


def moved(value: Any, device: torch.device) -> Any:
    """A tensor, or the tensors of a tuple or list, on `device`; all else as it is."""
    match value:
        case Tensor():
            return value.to(device)
        case tuple() if hasattr(value, "_make"):
            return type(value)(*(moved(part, device) for part in value))
        case tuple() | list():
            return type(value)(moved(part, device) for part in value)
    return value


def or_on_cpu(compute: Callable[[torch.device], Result], device: torch.device) -> Result:
    """``compute(device)``, or on the CPU, with a warning, if the memory of another device does not suffice."""
    try:
        return compute(device)
    except torch.OutOfMemoryError:
        if device.type == "cpu":
            raise
    warnings.warn(f"not enough memory on {device}: computing on the CPU", stacklevel=2)
    return compute(CPU)

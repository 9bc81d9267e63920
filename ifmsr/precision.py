"""What a device computes convolutions in: bfloat16 if it can, and float32 that no GPU rounds to TF32."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

import torch

Precision = Literal["float32", "bfloat16"]  # what convolutions are computed in
BFLOAT16_NOTE = "; inference in bfloat16"  # at the end of a row's schedule


@cache
def usable_precision(precision: Precision, device: torch.device) -> Precision:
    """`precision` if `device` can compute in it, else ``"float32"``, with a warning that says why, once a process."""
    fault = bfloat16_fault(device) if precision == "bfloat16" else ""
    if not fault:
        return precision
    warnings.warn(f"no bfloat16 on {device}, computing in float32: {fault}", stacklevel=2)
    return "float32"


def bfloat16_fault(device: torch.device) -> str:
    """Why `device` cannot compute in bfloat16; "" if it can.

    PyTorch can emulate it on any processor, but ten to a hundred times slower than float32: that does not count.
    """
    if device.type == "cpu":
        return onednn_fault(torch.bfloat16)
    if device.type == "cuda":
        with torch.cuda.device(device):
            if not torch.cuda.is_bf16_supported(including_emulation=False):
                return f"{torch.cuda.get_device_name(device)} has no instructions for it"
    return ""


@cache
def onednn_fault(dtype: torch.dtype) -> str:
    """Why oneDNN cannot convolve numbers of `dtype` on this processor; "" if it can, as a tiny convolution shows."""
    if not torch.backends.mkldnn.is_available():
        return "this PyTorch was built without oneDNN"
    one = torch.ones(1, 1, 1, 1, dtype=dtype)
    try:
        torch.mkldnn_convolution(one, one, None, (0, 0), (1, 1), (1, 1), 1)
    except RuntimeError as error:
        return str(error).partition("\n")[0]
    return ""


@contextmanager
def float32_by_default() -> Iterator[None]:
    """New tensors are float32 inside, whatever `torch.set_default_dtype` chose; also a decorator of functions."""
    chosen = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(chosen)


@contextmanager
def tf32_off() -> Iterator[None]:
    """Float32 convolutions and matrix products in float32 inside, whatever was set; also a decorator of functions.

    GPUs since Ampere otherwise take TF32 for them, which has three digits.
    """
    cudnn, operations = torch.backends.cudnn, _operations()
    settings = [operation.fp32_precision for operation in operations]
    convolutions, matrices = _told(lambda: cudnn.allow_tf32), _told(torch.get_float32_matmul_precision)
    cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    for operation in operations:
        operation.fp32_precision = "ieee"
    try:
        yield
    finally:
        if convolutions is not None:
            cudnn.allow_tf32 = convolutions
        if matrices is not None:
            torch.set_float32_matmul_precision(matrices)
        for operation, setting in zip(operations, settings, strict=True):
            operation.fp32_precision = setting


def tf32_allowed() -> bool:
    """Whether a GPU may take TF32 for float32 now."""
    if operations := _operations():
        return any(operation.fp32_precision == "tf32" for operation in operations)
    return torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32


def _operations() -> list[Any]:
    """What has an `fp32_precision` of its own, since PyTorch 2.9; the older settings stand beside it."""
    cudnn = torch.backends.cudnn
    if not hasattr(cudnn, "conv"):
        return []
    cpus = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    return [cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul, cpus]


def _told(read: Callable[[], Any]) -> Any:
    """One of the older settings; None if PyTorch refuses to tell it because `fp32_precision` says otherwise."""
    try:
        return read()
    except RuntimeError:
        return None

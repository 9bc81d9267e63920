"""Precision of convolutions: bfloat16 where a device supports it, and float32 without TF32."""

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
    """`precision` if `device` supports it, else ``"float32"``, with a warning that says why, once per process."""
    fault = bfloat16_fault(device) if precision == "bfloat16" else ""
    if not fault:
        return precision
    warnings.warn(f"no bfloat16 on {device}, computing in float32: {fault}", stacklevel=2)
    return "float32"


def bfloat16_fault(device: torch.device) -> str:
    """The reason why `device` does not support bfloat16; "" if it does.

    PyTorch's emulation, ten to a hundred times slower than float32, does not count as support.
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
    """The reason why oneDNN cannot convolve `dtype` on this processor; "" if a small test convolution succeeds."""
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
    """Context manager and decorator: new tensors are float32, whatever `torch.set_default_dtype` has chosen."""
    chosen = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(chosen)


@contextmanager
def tf32_off() -> Iterator[None]:
    """Context manager and decorator: GPUs compute float32 convolutions and matrix products without TF32.

    TF32, the default of PyTorch for convolutions on GPUs since Ampere, has a precision of three digits.
    """
    cudnn, operations = torch.backends.cudnn, _operations()
    settings = [operation.fp32_precision for operation in operations]
    convolutions = _legacy_setting(lambda: cudnn.allow_tf32)
    matrices = _legacy_setting(torch.get_float32_matmul_precision)
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
    """Whether GPUs may use TF32 for float32 under the current settings."""
    if operations := _operations():
        return any(operation.fp32_precision == "tf32" for operation in operations)
    return torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32


def _operations() -> list[Any]:
    """The backends with an `fp32_precision` setting (since PyTorch 2.9, in addition to the legacy settings)."""
    cudnn = torch.backends.cudnn
    if not hasattr(cudnn, "conv"):
        return []
    cpus = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    return [cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul, cpus]


def _legacy_setting(read: Callable[[], Any]) -> Any:
    """Read a legacy setting; None if PyTorch refuses because `fp32_precision` contradicts it."""
    try:
        return read()
    except RuntimeError:
        return None

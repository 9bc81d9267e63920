"""Common functions of the benchmarks: the machine, its measured peak performance, time, memory, and CSV files."""

import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ifmsr.devices import choose_device
from ifmsr.errors import InputError
from ifmsr.experiments.measuring import machine, watched
from ifmsr.files import write_text
from ifmsr.paths import RESULTS
from ifmsr.precision import Precision, bfloat16_fault, tf32_off
from ifmsr.scenes import DataSet, open_dataset

FOLDER = RESULTS / "performance"
PEAK_MACS = 64 * 64 * 9  # per pixel of a 64 -> 64 3x3 convolution


def precisions() -> list[Precision]:
    """The precisions that this device supports, float32 first; prints why if bfloat16 is not supported."""
    if fault := bfloat16_fault(choose_device()):
        print(f"not measured: bfloat16: {fault}")
        return ["float32"]
    return ["float32", "bfloat16"]


def seconds(function: Callable[[], object], repeats: int = 1, device: torch.device | None = None) -> float:
    """The shortest time of several runs in seconds, including queued work of the device."""
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return best


@tf32_off()
def conv_peak(device: torch.device, dtype: torch.dtype, backward: bool = False) -> float:
    """Peak performance: multiply-adds per second of a 64 -> 64 3x3 convolution, channels-last.

    With `backward`, forward and both gradients count as three times the multiply-adds.
    """
    shape = (64, 64, 256, 256) if device.type == "cuda" else (1, 64, 24, 512)
    x = torch.rand(shape, device=device).to(dtype).contiguous(memory_format=torch.channels_last)
    layer = torch.nn.Conv2d(64, 64, 3, padding=1, device=device, dtype=dtype)
    layer.to(memory_format=torch.channels_last)
    if not backward:
        with torch.inference_mode():
            best = seconds(lambda: layer(x), 60, device)
    else:
        x.requires_grad_(True)
        gradient = torch.ones_like(layer(x))
        best = seconds(lambda: layer(x).backward(gradient), 30, device)
    pixels = shape[0] * shape[2] * shape[3]
    return PEAK_MACS * pixels * (3 if backward else 1) / best


def cave() -> DataSet | None:
    """The CAVE data set; None if it is not available, and prints why."""
    try:
        return open_dataset("cave")
    except InputError as error:
        print(f"not measured: {error}")
        return None


def write_rows(name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write the rows, each with the columns of `machine`, to ``results/performance/<name>.csv``."""
    frame = pd.DataFrame([{**row, **machine()} for row in rows])
    print(frame.drop(columns=list(machine())).to_string(index=False))
    return write_text(FOLDER / f"{name}.csv", frame.to_csv(index=False, float_format="%.5g"))


def alone(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Run `function` in its own process and add `peak_mb` to its row, the process's peak of anonymous memory in MB.

    Pages of mapped files are not counted, because the system can reclaim them at any time.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_watched, (function, torch.get_num_threads(), *arguments))


@tf32_off()
def _watched(function: Callable[..., dict[str, Any]], threads: int, *arguments: Any) -> dict[str, Any]:
    torch.set_num_threads(threads)
    with watched() as peak:
        row = function(*arguments)
    return {**row, "peak_mb": round(peak.megabytes)}

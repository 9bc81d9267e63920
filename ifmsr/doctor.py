"""What this installation has, in one line or as a report for bug reports: versions, device, extras, data, weights."""

import os
import platform
from pathlib import Path

import torch

from ifmsr.devices import choose_device, free_memory
from ifmsr.extras import EXTRAS, missing
from ifmsr.paths import CHECKOUT, weights_folders
from ifmsr.precision import bfloat16_fault
from ifmsr.runs import git_state, versions
from ifmsr.scenes import DATASETS, download


def environment() -> str:
    """One line for the start of a notebook: the versions of ifmsr and PyTorch, and the device.

    >>> environment().startswith("ifmsr ")
    True
    """
    device = choose_device()
    hint = "" if device.type == "cuda" else " (no GPU found: only long trainings need one)"
    return f"ifmsr {versions()['ifmsr']}, torch {torch.__version__}, device {device}{hint}"


def report() -> str:
    """The report as several lines of plain text. Missing data and weights are listed and raise no error."""
    device = choose_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    fault = bfloat16_fault(device)
    found = [download.check(dataset) for dataset in DATASETS]
    lines = [
        "versions: " + ", ".join(f"{package} {number}" for package, number in versions().items()),
        f"commit: {git_state() or ('not in git' if CHECKOUT else 'none: an installed package')}",
        f"device: {device} ({name}), {free_memory(device) / 2**30:.1f} GiB free",
        f"bfloat16: {f'no ({fault})' if fault else 'yes'}",
        f"threads: {torch.get_num_threads()} of {os.cpu_count()} processors",
        *(_extra(extra) for extra in EXTRAS),
        *(_weights(folder) for folder in weights_folders()),
        *(
            f"data: {found_set.dataset}: {len(found_set.present)} of {found_set.published}"
            for found_set in found
        ),
        "For what is missing and where to put it: ifmsr data check",
    ]
    return "\n".join(lines)


def _weights(folder: Path) -> str:
    """One line on the weights in a folder."""
    names = sorted(path.stem for path in folder.glob("*.safetensors"))
    return f"weights in {folder}: {', '.join(names) or 'none'}"


def _extra(extra: str) -> str:
    """One line that says whether an extra of the installation is complete."""
    lacking = missing(extra)
    what = f'without {", ".join(lacking)} (pip install "ifmsr[{extra}]")' if lacking else "installed"
    return f"extra {extra}: {what}"

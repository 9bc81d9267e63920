"""The names, order and number of digits in all tables and figures."""

import re
from collections.abc import Iterable

from ifmsr.methods.registry import method_names, title_of
from ifmsr.scenes.datasets import DATASETS

DIGITS = {"PSNR": 2, "SSIM": 3, "SAM": 2, "ERGAS": 2, "RMSE": 3}  # decimals, as in the paper
HIGHER_IS_BETTER = ("PSNR", "SSIM")
PAPER_METHODS = ("LTTR", "CMS", "PZRes-Net", "MHF-net", "MoG-DCN", "UAL", "IFMSR")
"""The methods of the paper's tables and figures, by title and in its order."""
_HEADINGS = {
    "PSNR": "PSNR (dB)",
    "psnr": "PSNR (dB)",
    "SAM": "SAM (degrees)",
    "sam": "SAM (degrees)",
    "val_psnr": "validation PSNR (dB)",
    "best_val_psnr": "best validation PSNR (dB)",
    "lr": "learning rate",
    "training_seconds": "training time (seconds)",
    "peak_mb": "peak memory (MB)",
    "before_mb": "memory before (MB)",
    "beyond_mb": "memory beyond (MB)",
    "gmacs": "billion multiply-adds",
    "peak_gmacs": "billion multiply-adds at the peak",
    "cpu_seconds": "CPU seconds",
    "cpu_seconds_per_megapixel": "CPU seconds per megapixel",
    "predicted_gb": "predicted memory (GB)",
    "real_gb": "real memory (GB)",
    "patch_bands": "bands of patches",
    "patch_bands_per_batch": "bands of patches per batch",
    "patch_bands_per_second": "bands of patches per second",
    "paper_schedule_minutes": "minutes of the paper's schedule",
    "times_fewer_than_ifmsr": "times fewer than IFMSR",
}


def heading(column: str) -> str:
    """A column of a table of results in words, with its unit, for readers of tables and axes."""
    return _HEADINGS.get(column, column.replace("_", " "))


def dataset_label(dataset: str) -> str:
    """A data set's printed name; an unknown data set's name is returned unchanged."""
    return DATASETS[dataset].title if dataset in DATASETS else dataset


def caveat(dataset: str) -> str:
    """The remark to print with results on a data set, given by its name or printed name; "" if there is none."""
    known = {name: kind.caveat for key, kind in DATASETS.items() for name in (key, kind.title)}
    return known.get(dataset, "")


def method_label(method: str) -> str:
    """A method's printed name, its `title`; an unknown method's name is returned unchanged."""
    return title_of(method) if method in method_names() else method


def paper_order(methods: Iterable[str]) -> list[str]:
    """Methods by name in the order of figures: bicubic, the paper's methods in its order, then the others.

    A variant of a method, whose title is the method's and a remark, stands beside it.
    """
    places = {title: place for place, title in enumerate(("Bicubic", *PAPER_METHODS))}

    def place(method: str) -> tuple[int, bool]:
        title = method_label(method)
        base = re.split(r", | \(", title)[0]
        return places.get(base, len(places)), title != base

    return sorted(methods, key=place)

"""The names, order and number of digits in all tables and figures."""

from ifmsr.methods.registry import method_names, title_of
from ifmsr.scenes.datasets import DATASETS

DIGITS = {"PSNR": 2, "SSIM": 3, "SAM": 2, "ERGAS": 2, "RMSE": 3}  # decimals, as in the paper
HIGHER_IS_BETTER = ("PSNR", "SSIM")


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

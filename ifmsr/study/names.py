"""The names, order and digits that every table and figure prints."""

from ifmsr.methods.registry import method_names, title_of
from ifmsr.scenes.datasets import DATASETS

DIGITS = {"PSNR": 2, "SSIM": 3, "SAM": 2, "ERGAS": 2, "RMSE": 3}  # as many as the paper prints
HIGHER_IS_BETTER = ("PSNR", "SSIM")


def dataset_label(dataset: str) -> str:
    """A data set's name as tables and figures print it; an unknown one's as it is."""
    return DATASETS[dataset].title if dataset in DATASETS else dataset


def caveat(dataset: str) -> str:
    """What has to stand beside numbers of a data set, by its name or its printed one; "" for nothing."""
    known = {name: kind.caveat for key, kind in DATASETS.items() for name in (key, kind.title)}
    return known.get(dataset, "")


def method_label(method: str) -> str:
    """A method's name as tables and figures print it, its `title`; an unknown one's as it is."""
    return title_of(method) if method in method_names() else method

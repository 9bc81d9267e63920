"""The registry of data sets by name; a data set's module is imported when it is used.

Installed packages add data sets by the entry points ``ifmsr.datasets``, programs by `register_dataset`.
"""

from functools import partial
from pathlib import Path
from typing import Any

from ifmsr import paths
from ifmsr.errors import InputError, did_you_mean
from ifmsr.registry import Registry
from ifmsr.scenes.base import DataSet


def _check_dataset(name: str, dataset: Any) -> None:
    where = f"data set {name!r}"
    if not (isinstance(dataset, type) and issubclass(dataset, DataSet)):
        raise InputError(where, f"{dataset!r} is no DataSet", "Derive it from ifmsr.scenes.DataSet")
    wanted = ("title", "bands", "published", "default_split", "obtain")
    if missing := [attribute for attribute in wanted if not hasattr(dataset, attribute)]:
        raise InputError(where, f"its class has no {', '.join(missing)}", "See ifmsr.scenes.DataSet")
    if not hasattr(dataset, "name"):
        dataset.name = name


DATASETS: Registry[type[DataSet]] = Registry(
    "data set",
    "ifmsr.datasets",
    {
        "cave": "ifmsr.scenes.cave:Cave",
        "harvard": "ifmsr.scenes.harvard:Harvard",
        "chikusei": "ifmsr.scenes.chikusei:Chikusei",
        "worldview2": "ifmsr.scenes.worldview2:WorldView2",
        "indian-pines": "ifmsr.scenes.indian_pines:IndianPines",
    },
    _check_dataset,
)
"""Name -> data set class, which takes the folder of the data."""


def register_dataset(name: str, dataset: Any = None) -> Any:
    """Register a data set, also for the command line: ``@register_dataset("my-data")``.

    Parameters
    ----------
    name : lower-case letters, digits and hyphens; not used by another data set.
    dataset : a subclass of `DataSet`, which takes the folder of the data. Without it, this is a decorator.

    Raises
    ------
    InputError : the name is taken or cannot be a name, or the class is no `DataSet` or lacks one of its attributes.
    """
    if dataset is None:
        return partial(register_dataset, name)
    return DATASETS.register(name, dataset)


def open_dataset(name: str, root: str | Path | None = None) -> DataSet:
    """Open the data set `name` in the folder `root`; by default `<data root>/<name>` (see `ifmsr.paths`).

    Raises
    ------
    InputError : no data set of that name, or none of its files in the folder; the message says where it was
        looked for and how to get it.
    """
    return dataset_type(name)(dataset_root(name, root))


def dataset_type(name: str) -> type[DataSet]:
    """The class of a data set. Raises InputError, which lists the names, for an unknown name."""
    if name not in DATASETS:
        raise InputError(
            f"data set {name!r}",
            "there is no such data set",
            f"{did_you_mean(name, DATASETS)}Choose one of {', '.join(DATASETS)}",
        )
    return DATASETS[name]


def dataset_root(name: str, root: str | Path | None = None) -> Path:
    """The folder of a data set: `root` if given, else `<data root>/<name>`."""
    return Path(root).expanduser() if root is not None else paths.data_root() / name

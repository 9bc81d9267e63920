"""Every data set by name, and how to add one. A data set's module is imported when it is used.

An installed package announces its own in the entry points ``ifmsr.datasets``; a program calls `register_dataset`.
"""

from functools import partial
from pathlib import Path
from typing import Any

from ifmsr import paths
from ifmsr.errors import InputError
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
"""name -> data set, a class that is called with the folder it is looked for in."""


def register_dataset(name: str, dataset: Any = None) -> Any:
    """Make a data set known by `name`, on the command line too: ``@register_dataset("my-data")``.

    Parameters
    ----------
    name : small letters, digits and hyphens; not taken by another data set.
    dataset : a class derived from `DataSet`, called with the folder it is looked for in; left out, this is a decorator.

    Raises
    ------
    InputError : the name is taken or cannot be a name, or the class is no `DataSet` or lacks one of its attributes.
    """
    if dataset is None:
        return partial(register_dataset, name)
    return DATASETS.register(name, dataset)


def open_dataset(name: str, root: str | Path | None = None) -> DataSet:
    """The data set called `name`, from the folder `root`, or from `<data root>/<name>` (see `ifmsr.paths`).

    Raises
    ------
    InputError : no data set of that name, or nothing of it in the folder; the message says where it was
        looked for and how to get it.
    """
    return dataset_type(name)(dataset_root(name, root))


def dataset_type(name: str) -> type[DataSet]:
    """The class behind a data set's name. Raises InputError, listing the names, for another one."""
    if name not in DATASETS:
        raise InputError(
            f"data set {name!r}", "there is no such data set", f"Choose one of {', '.join(DATASETS)}"
        )
    return DATASETS[name]


def dataset_root(name: str, root: str | Path | None = None) -> Path:
    """The folder that a data set is looked for in: `root` if given, else `<data root>/<name>`."""
    return Path(root).expanduser() if root is not None else paths.data_root() / name

"""Every data set by name."""

from pathlib import Path

from ifmsr import paths
from ifmsr.errors import InputError
from ifmsr.scenes.base import DataSet
from ifmsr.scenes.cave import Cave
from ifmsr.scenes.chikusei import Chikusei
from ifmsr.scenes.harvard import Harvard
from ifmsr.scenes.indian_pines import IndianPines
from ifmsr.scenes.worldview2 import WorldView2

DATASETS: dict[str, type[Cave | Harvard | Chikusei | WorldView2 | IndianPines]] = {
    kind.name: kind for kind in (Cave, Harvard, Chikusei, WorldView2, IndianPines)
}


def open_dataset(name: str, root: str | Path | None = None) -> DataSet:
    """The data set called `name`, from the folder `root`, or from `<data root>/<name>` (see `ifmsr.paths`).

    Raises
    ------
    InputError : no data set of that name, or nothing of it in the folder; the message says where it was
        looked for and how to get it.
    """
    return dataset_type(name)(dataset_root(name, root))


def dataset_type(name: str) -> type[Cave | Harvard | Chikusei | WorldView2 | IndianPines]:
    """The class behind a data set's name. Raises InputError, listing the names, for another one."""
    if name not in DATASETS:
        raise InputError(
            f"data set {name!r}", "there is no such data set", f"Choose one of {', '.join(DATASETS)}"
        )
    return DATASETS[name]


def dataset_root(name: str, root: str | Path | None = None) -> Path:
    """The folder that a data set is looked for in: `root` if given, else `<data root>/<name>`."""
    return Path(root).expanduser() if root is not None else paths.data_root() / name

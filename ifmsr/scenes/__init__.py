"""Where cubes come from: the published data sets, one file each, and anyone's own images (`own.py`).

>>> from ifmsr.scenes import open_dataset
>>> scene = open_dataset("indian-pines").load("test")
>>> scene.cube.shape, scene.rgb().shape
((200, 144, 48), (3, 144, 48))
"""

from pathlib import Path

from ifmsr import paths
from ifmsr.errors import InputError
from ifmsr.scenes.base import DataSet, Split, Window
from ifmsr.scenes.cave import Cave
from ifmsr.scenes.chikusei import Chikusei
from ifmsr.scenes.harvard import Harvard
from ifmsr.scenes.indian_pines import IndianPines
from ifmsr.scenes.response import nikon_d700
from ifmsr.scenes.scene import Observation, Scene
from ifmsr.scenes.worldview2 import WorldView2

DATASETS: dict[str, type[Cave | Harvard | Chikusei | WorldView2 | IndianPines]] = {
    kind.name: kind for kind in (Cave, Harvard, Chikusei, WorldView2, IndianPines)
}

__all__ = [
    "DATASETS",
    "DataSet",
    "Observation",
    "Scene",
    "Split",
    "Window",
    "dataset_root",
    "nikon_d700",
    "open_dataset",
]


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

"""Paths of the project's folders.

In a checkout (an editable installation, or the tests) they are the folders of the checkout, whatever the current folder
is. If the package is installed from a wheel, results and data are looked for in the current folder, and nothing is
written beside the installed package.
"""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def is_checkout(folder: Path) -> bool:
    """Whether `folder` is the source tree, not for example site-packages."""
    return (folder / "pyproject.toml").is_file() and (folder / "results" / "paper").is_dir()


CHECKOUT = is_checkout(PACKAGE.parent)
ROOT = PACKAGE.parent if CHECKOUT else Path()
RESULTS = ROOT / "results"
WEIGHTS = RESULTS / "weights"
SHIPPED = RESULTS if CHECKOUT else PACKAGE / "shipped"
"""Read-only folder with ``weights/`` and ``paper/``; a wheel does not contain the large weights (see ``setup.py``)."""


def in_project(path: str | Path) -> Path:
    """`path` itself if it is absolute, else the path relative to the project's root.

    A file of ``results/weights`` that does not exist is looked for in the other `weights_folders`.
    """
    place = ROOT / path
    if place.parent != WEIGHTS or place.exists():
        return place
    return find_weights(place.name) or place


def data_root() -> Path:
    """The folder of the data sets: `IFMSR_DATA` if set, else `data/` in the checkout or the current folder.

    It contains `cave/`, `harvard/`, `chikusei/` and `worldview2/`.
    """
    return Path(os.environ.get("IFMSR_DATA", ROOT / "data")).expanduser()


def weights_folders() -> list[Path]:
    """The folders in which weights are looked for: `IFMSR_WEIGHTS` if set, `results/weights`, and the package's own."""
    own = os.environ.get("IFMSR_WEIGHTS")
    folders = [Path(own).expanduser()] if own else []
    return list(dict.fromkeys([*folders, WEIGHTS, SHIPPED / "weights"]))


def find_weights(name: str) -> Path | None:
    """The first file of this name in the `weights_folders`, or None."""
    return next((folder / name for folder in weights_folders() if (folder / name).is_file()), None)

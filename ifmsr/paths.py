"""Where the project's folders are.

In a checkout (an editable installation, or the tests) they are its own, whatever the current folder: notebooks run
from their own folder under nbval and from the caller's under papermill. Installed from a wheel, results and data are
looked for in the current folder, and nothing is ever written beside the installed package.
"""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def is_checkout(folder: Path) -> bool:
    """Whether `folder` is the source tree and not, say, site-packages."""
    return (folder / "pyproject.toml").is_file() and (folder / "results" / "paper").is_dir()


CHECKOUT = is_checkout(PACKAGE.parent)
ROOT = PACKAGE.parent if CHECKOUT else Path()
RESULTS = ROOT / "results"
WEIGHTS = RESULTS / "weights"
SHIPPED = RESULTS if CHECKOUT else PACKAGE / "shipped"
"""Read only: ``weights/`` and ``paper/``; in a wheel without the large weights (see ``setup.py``)."""


def in_project(path: str | Path) -> Path:
    """`path` itself if it is absolute, else the same path counted from the project's root.

    A file of ``results/weights`` that is not there is looked for in the other `weights_folders`.
    """
    place = ROOT / path
    if place.parent != WEIGHTS or place.exists():
        return place
    return find_weights(place.name) or place


def data_root() -> Path:
    """The folder that holds the data sets: `IFMSR_DATA` if set, else `data/` in the checkout or the current folder.

    `cave/`, `harvard/`, `chikusei/` and `worldview2/` are looked for inside it.
    """
    return Path(os.environ.get("IFMSR_DATA", ROOT / "data")).expanduser()


def weights_folders() -> list[Path]:
    """Where weights are looked for by name: `IFMSR_WEIGHTS` if set, `results/weights`, what the package ships."""
    own = os.environ.get("IFMSR_WEIGHTS")
    folders = [Path(own).expanduser()] if own else []
    return list(dict.fromkeys([*folders, WEIGHTS, SHIPPED / "weights"]))


def find_weights(name: str) -> Path | None:
    """The first file of this name in the `weights_folders`, or None."""
    return next((folder / name for folder in weights_folders() if (folder / name).is_file()), None)

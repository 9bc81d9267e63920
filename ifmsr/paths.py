"""Where the project's folders are, whatever the current directory.

Notebooks run from their own folder under nbval and from the caller's under papermill, so nothing in the
project may depend on the current directory.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
RESULTS = ROOT / "results"
WEIGHTS = RESULTS / "weights"


def in_project(path: str | Path) -> Path:
    """`path` itself if it is absolute, else the same path counted from the project's root."""
    return ROOT / path


def data_root() -> Path:
    """The folder that holds the data sets: `IFMSR_DATA` if set, else `data/` beside the package.

    `cave/`, `harvard/`, `chikusei/` and `worldview2/` are looked for inside it.
    """
    return Path(os.environ.get("IFMSR_DATA", ROOT / "data")).expanduser()

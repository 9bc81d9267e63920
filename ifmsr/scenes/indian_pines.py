"""Indian Pines: one real AVIRIS scene of 145 x 145 pixels and 200 bands that needs no download."""

from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.scenes.base import DataSet, Split, Window, cut, to_cube, within
from ifmsr.scenes.scene import Scene

MAXIMUM = 9604  # the cube's largest value, and its fixed scale here
WINDOWS: dict[str, Window] = {
    "train": (0, 0, 144, 72),
    "validation": (0, 72, 144, 24),
    "test": (0, 96, 144, 48),
    "full": (0, 0, 144, 144),
}


class IndianPines(DataSet):
    """Three parts of the Indian Pines cube that ships inside the package `tensorly`.

    `train`, `validation` and `test` are columns 0-71, 72-95 and 96-143 of rows 0-143; the view `full` is all
    144 x 144 (the last row and column are left out, so that scales 4 and 8 divide every side). Values (955 to
    9604) are divided by 9604. Band centres are left unset: the water-absorption bands are cut out and
    the published lists of what is left disagree. The colour image is bands 29, 19 and 9, counted from 0.

    The data: Baumgardner et al., 2015, doi:10.4231/R7RX991C, CC BY 3.0.
    """

    name: ClassVar[str] = "indian-pines"
    bands: ClassVar[int] = 200
    published: ClassVar[int] = 1
    default_split: ClassVar[str] = "spatial"
    obtain: ClassVar[str] = "Install the package tensorly, which holds it: pip install tensorly"
    views = ("full",)

    def __init__(self, root: str | Path | None = None):
        self.root = None
        self.names = [name for name in WINDOWS if name not in self.views]

    def load(self, name: str, window: Window | None = None) -> Scene:
        """One of the three parts, or `full`."""
        if name not in WINDOWS:
            raise self.unknown(name)
        place = within(f"indian-pines scene {name}", WINDOWS[name], window)
        cube = to_cube("tensorly's Indian Pines", cut(_image(), place), MAXIMUM)
        return Scene(name, cube, rgb_bands=(29, 19, 9))

    def split(self, name: str) -> Split:
        """`spatial`: the three parts, which share no pixel."""
        if name != "spatial":
            raise InputError(f"indian-pines split {name!r}", "there is no such split", "Choose spatial")
        return Split(("train",), ("validation",), ("test",))


@lru_cache(maxsize=1)
def _image() -> NDArray[Any]:
    """The cube (145, 145, 200) in sensor units."""
    try:
        from tensorly.datasets import load_indian_pines
    except ImportError as error:
        raise InputError(
            "indian-pines", "the package tensorly is not installed", IndianPines.obtain
        ) from error
    return np.asarray(load_indian_pines()["tensor"], dtype=np.float32)

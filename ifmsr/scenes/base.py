"""The base class of data sets: names of the scenes, loading of a scene or a window of it, splits."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.io.windows import Window
from ifmsr.scenes.scene import Array, Scene, check_cube


@dataclass(frozen=True)
class Split:
    """The training, validation and test scenes of a data set, by name.

    Attributes
    ----------
    train : scenes that networks are trained on.
    validation : scenes that choose the epoch.
    test : scenes for the final evaluation only.

    Raises
    ------
    InputError : a scene is listed more than once.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        names = self.train + self.validation + self.test
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InputError("split", f"{', '.join(repeated)} listed more than once", "Use each scene once")


class DataSet(ABC):
    """Base class of data sets: a folder of scenes in their published layout; see `open_dataset`.

    Attributes
    ----------
    name : the data set's name on the command line; `ifmsr.scenes.register_dataset` sets it.
    title : the name in tables.
    bands : number of bands of each scene.
    published : number of images of the complete data set.
    default_split : the split that is used if none is given.
    obtain : one sentence that says where the data come from and where to put them.
    caveat : a reservation about all results on this data set; "" if there is none.
    quantity : what the values in [0, 1] are, for the axes of figures.
    root : the folder of the data.
    names : the available scenes; they do not overlap.
    views : whole images of which the scenes are parts; `load` accepts them too, splits do not contain them.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    bands: ClassVar[int]
    published: ClassVar[int]
    default_split: ClassVar[str]
    obtain: ClassVar[str]
    caveat: ClassVar[str] = ""
    quantity: ClassVar[str] = "value"
    root: Path | None
    names: Sequence[str]
    views: tuple[str, ...] = ()

    def __init__(self, root: str | Path):
        self.root = Path(root)

    @abstractmethod
    def load(self, name: str, window: Window | None = None) -> Scene:
        """Load the scene `name`, or only its `window` (top, left, height, width) in pixels.

        Raises
        ------
        InputError : unknown name, missing or unreadable file, wrong size or values, window outside the scene.
        """

    @abstractmethod
    def split(self, name: str) -> Split:
        """The split `name`. Raises InputError, which lists the splits, for an unknown name."""

    def unknown(self, name: str) -> InputError:
        """The error for an unknown scene name."""
        return InputError(
            f"{self.name} scene {name!r}",
            "there is no such scene here",
            f"Choose one of {', '.join([*self.names, *self.views])}",
        )


def within(where: object, parent: Window, window: Window | None) -> Window:
    """A window relative to `parent`, in the coordinates of `parent`; (top, left, height, width) each.

    `window` None is all of `parent`. Raises InputError, naming `where`, if `window` exceeds `parent`.
    """
    top, left, height, width = parent
    if window is None:
        return parent
    row, column, rows, columns = window
    inside = row >= 0 and column >= 0 and row + rows <= height and column + columns <= width
    if not inside or rows < 1 or columns < 1:
        raise InputError(
            where,
            f"the window {rows} x {columns} at ({row}, {column}) leaves the image {height} x {width}",
            "Choose a window (top, left, height, width) inside the image",
        )
    return top + row, left + column, rows, columns


def to_cube(where: object, image: NDArray[Any], maximum: float, clip_negative: bool = False) -> Array:
    """Divide an (H, W, B) image by `maximum`: (B, H, W) float32. Raises InputError, naming `where`, outside [0, 1].

    With `clip_negative`, negative values become 0.
    """
    cube = np.ascontiguousarray(np.moveaxis(image, -1, 0), dtype=np.float32) / np.float32(maximum)
    if clip_negative:
        np.maximum(cube, 0, out=cube)
    check_cube(where, cube)
    return cube


def no_folder(root: Path, looked_for: str, obtain: str) -> InputError:
    """The error for a root folder that is missing or contains nothing of the data set."""
    problem = f"{looked_for} not found in it" if root.exists() else "there is no such folder"
    return InputError(root, problem, obtain)

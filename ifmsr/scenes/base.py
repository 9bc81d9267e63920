"""What every data set can do: name its scenes, load one or a window of it, split them."""

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
    """Which scenes train, which one chooses the epoch, and which are shown to nobody before the end.

    Raises
    ------
    InputError : a scene stands in two of the three tuples, or twice in one.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        names = self.train + self.validation + self.test
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InputError(
                "split", f"{', '.join(repeated)} stand in it more than once", "Use each scene once"
            )


class DataSet(ABC):
    """A folder of scenes in their published layout; see `open_dataset`.

    Attributes
    ----------
    name : the data set's name on the command line; `ifmsr.scenes.register_dataset` sets it.
    title : the name that tables print.
    bands : bands of every scene.
    published : how many images the complete data set has.
    default_split : the split used where none is named.
    obtain : one sentence: where the data come from and where to put them.
    caveat : what has to stand beside every number of this data set; "" for nothing.
    root : the folder they were found in.
    names : the scenes at hand; they do not overlap.
    views : whole images that the scenes are cut from; `load` takes them too, splits never hold them.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    bands: ClassVar[int]
    published: ClassVar[int]
    default_split: ClassVar[str]
    obtain: ClassVar[str]
    caveat: ClassVar[str] = ""
    root: Path | None
    names: Sequence[str]
    views: tuple[str, ...] = ()

    def __init__(self, root: str | Path):
        self.root = Path(root)

    @abstractmethod
    def load(self, name: str, window: Window | None = None) -> Scene:
        """The scene called `name`, or only its `window` (top, left, height, width).

        Raises
        ------
        InputError : unknown name, missing or unreadable file, wrong size or values, window outside the scene.
        """

    @abstractmethod
    def split(self, name: str) -> Split:
        """The split called `name`. Raises InputError, listing the splits there are, for another name."""

    def unknown(self, name: str) -> InputError:
        """The error for a scene that this data set does not have."""
        return InputError(
            f"{self.name} scene {name!r}",
            "there is no such scene here",
            f"Choose one of {', '.join([*self.names, *self.views])}",
        )


def within(where: object, parent: Window, window: Window | None) -> Window:
    """`window`, counted from the corner of `parent`, in the coordinates that `parent` is given in.

    Raises InputError, naming `where`, if it leaves `parent`; `None` is the whole of it.
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
    """An (H, W, B) image divided by `maximum`: (B, H, W) float32 in [0, 1], checked, errors name `where`."""
    cube = np.ascontiguousarray(np.moveaxis(image, -1, 0), dtype=np.float32) / np.float32(maximum)
    if clip_negative:
        np.maximum(cube, 0, out=cube)
    check_cube(where, cube)
    return cube


def no_folder(root: Path, looked_for: str, obtain: str) -> InputError:
    """The error for a root folder that is missing or holds nothing of the data set."""
    problem = f"{looked_for} not found in it" if root.exists() else "there is no such folder"
    return InputError(root, problem, obtain)

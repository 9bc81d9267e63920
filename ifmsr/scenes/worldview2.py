"""WorldView-2: real satellite images of 8 bands, each with an image of higher resolution of the same area."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.io.matfile import read_variable, variables
from ifmsr.io.reading import read_guide, read_stored
from ifmsr.io.windows import cut
from ifmsr.scenes.base import DataSet, Split, Window, no_folder, to_cube, within
from ifmsr.scenes.scene import Array, Observation, Scene

WAVELENGTHS = np.array([427.0, 478.0, 546.0, 608.0, 659.0, 724.0, 831.0, 908.0])
RED_GREEN_BLUE = (4, 2, 1)  # bands 5, 3, 2 counted from 1
ELEVEN_BITS = 2047
COLOSSEUM_TRAIN_ROWS = 209


class WorldView2(DataSet):
    """The WorldView-2 data set: one or two images in the folder `root`.

    `imgWV2` : `imgWV2.mat` with `I_MS` (320, 320, 8), `I_PAN`, `RGB_indexes` (counted from 1) and `ratio`.
    `roman-colosseum` : `roman-colosseum.mat` with `MS` (h, w, 8) and `RGB` (4h, 4w, 3), or
    `roman-colosseum_ms.tif` or `.npy` (h, w, 8) beside `roman-colosseum_rgb.tif`, `.npy` or `.png`.

    Each image is a view; its scenes `<view>-train`, `-validation` and `-test` share no pixel. The Roman Colosseum has
    the first 209 rows for training (paper, section IV), the last eighth of their columns for validation, and the other
    rows for testing. `imgWV2` is split by columns: one half for training, one fifth for validation, the others for
    testing.

    Integers are divided by 2047 (11 bits), 8-bit integers by 255. No response is used: the RGB image of a scene is its
    bands 5, 3 and 2.

    Raises
    ------
    InputError : `root` does not exist or contains neither image.
    """

    name: ClassVar[str] = "worldview2"
    title: ClassVar[str] = "WorldView-2"
    bands: ClassVar[int] = 8
    published: ClassVar[int] = 2
    default_split: ClassVar[str] = "spatial"
    quantity: ClassVar[str] = "value / 2047"
    obtain: ClassVar[str] = (
        "Put imgWV2.mat (the WorldView-2 example of the open pansharpening toolboxes, with I_MS and I_PAN) "
        "or the sample of the Roman Colosseum as roman-colosseum.mat (with MS and RGB) into this folder"
    )

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self._files = {}
        for path in sorted(self.root.glob("*")):
            if path.name in ("imgWV2.mat", "roman-colosseum.mat"):
                self._files[path.stem] = path
            elif path.name in ("roman-colosseum_ms.tif", "roman-colosseum_ms.npy"):
                self._files.setdefault("roman-colosseum", path)
        if not self._files:
            raise no_folder(self.root, "imgWV2.mat or roman-colosseum.mat", self.obtain)
        self.views = tuple(self._files)
        self.names = [f"{view}-{part}" for view in self.views for part in ("train", "validation", "test")]

    def load(self, name: str, window: Window | None = None) -> Scene:
        """Load a view (`imgWV2`, `roman-colosseum`), one of its parts (`imgWV2-test`), or a window of it."""
        view, part = (name, "") if name in self.views else name.rpartition("-")[::2]
        if view not in self.views or name not in (*self.views, *self.names):
            raise self.unknown(name)
        pair = read_pair(self._files[view])
        place = within(f"worldview2 scene {name}", _window(view, part, pair.ms.shape), window)
        cube = to_cube(pair.path, cut(pair.ms, place), pair.maximum)
        return Scene(name, cube, WAVELENGTHS, rgb_bands=pair.rgb_bands)

    def split(self, name: str) -> Split:
        """The name of a view: its three parts. `spatial`: the parts of all available views."""
        if name != "spatial" and name not in self.views:
            choices = ", ".join(["spatial", *self.views])
            raise InputError(
                f"worldview2 split {name!r}", "there is no such split", f"Choose one of {choices}"
            )
        views = self.views if name == "spatial" else (name,)
        train, validation, test = (
            tuple(f"{view}-{part}" for view in views) for part in ("train", "validation", "test")
        )
        return Split(train, validation, test)


@dataclass(frozen=True)
class Pair:
    """One WorldView-2 product: `ms` (h, w, 8) in the unit of the file, and the high-resolution image `fine`.

    `fine` is panchromatic, (rh, rw) in the unit of `ms`, or an RGB image, (3, rh, rw) in [0, 1].
    """

    path: Path
    ms: NDArray[Any]
    fine: NDArray[Any]
    rgb_bands: tuple[int, int, int] = RED_GREEN_BLUE

    @property
    def maximum(self) -> float:
        """The value that is scaled to 1."""
        return _maximum(self.ms)


def read_pair(path: str | Path) -> Pair:
    """Read one product in any of the layouts of `WorldView2`.

    Raises
    ------
    InputError : a file or variable is missing or unreadable, or the cube does not have 8 bands.
    """
    path = Path(path)
    if path.suffix == ".mat" and "I_MS" in variables(path):
        red, green, blue = (int(index) - 1 for index in read_variable(path, "RGB_indexes").ravel())
        pair = Pair(path, read_variable(path, "I_MS"), read_variable(path, "I_PAN"), (red, green, blue))
    elif path.suffix == ".mat":
        rgb = read_variable(path, "RGB")
        pair = Pair(path, read_variable(path, "MS"), to_cube(path, rgb, _maximum(rgb)))
    else:
        pair = Pair(path, np.moveaxis(read_stored(path).array, 0, -1), _rgb_beside(path))
    if pair.ms.ndim != 3 or pair.ms.shape[2] != WorldView2.bands:
        raise InputError(
            path, f"its cube has shape {pair.ms.shape}, not (height, width, 8)", WorldView2.obtain
        )
    return pair


def real_observation(path: str | Path, scale: int = 4) -> Observation:
    """A real observation without ground truth, for the paper's figure 6.

    `lr` is the 8-band cube at its own resolution. `rgb` is the RGB image of the file if there is one (Roman Colosseum).
    `imgWV2.mat` has only a panchromatic image; there the RGB image is computed by ratio (Brovey) pansharpening: the
    red, green and blue bands are upsampled bicubically, multiplied by PAN / mean(R, G, B) and clipped to [0, 1]. Its
    detail is thus measured, its colour interpolated. (Upsampled values below one digital count are set to one count.)

    Raises
    ------
    InputError : as `read_pair`, or the high-resolution image is not `scale` times as large as the cube.
    """
    pair = read_pair(path)
    lr = to_cube(path, pair.ms, pair.maximum)
    expected = tuple(scale * side for side in lr.shape[1:])
    if pair.fine.shape[-2:] != expected:
        raise InputError(
            path,
            f"its fine image is {pair.fine.shape[-2:]}, not {expected}",
            f"Choose the right scale, not {scale}",
        )
    if pair.fine.ndim == 3:
        return Observation(lr, pair.fine, scale)
    pan = to_cube(path, pair.fine[..., np.newaxis], pair.maximum)
    return Observation(lr, _brovey(lr[list(pair.rgb_bands)], pan, scale), scale)


def _brovey(rgb: Array, pan: Array, scale: int) -> Array:
    """Ratio (Brovey) pansharpening of (3, h, w) by (1, rh, rw) -> (3, rh, rw) in [0, 1]."""
    import torch
    from torch.nn.functional import interpolate

    fine = (
        interpolate(torch.from_numpy(rgb)[None], scale_factor=scale, mode="bicubic")[0]
        .clamp(1 / ELEVEN_BITS, 1)
        .numpy()
    )
    return np.asarray(fine * (pan / fine.mean(axis=0)), dtype=np.float32).clip(0, 1)


def _rgb_beside(path: Path) -> Array:
    for suffix in (".tif", ".npy", ".png"):
        beside = path.with_name(path.stem.removesuffix("_ms") + "_rgb" + suffix)
        if beside.exists():
            return read_guide(beside).values
    raise InputError(path, "no RGB image beside it", f"Put {path.stem.removesuffix('_ms')}_rgb.tif there")


def _maximum(array: NDArray[Any]) -> float:
    if array.dtype.kind == "f":
        return 1.0
    return 255.0 if array.dtype == np.uint8 else float(ELEVEN_BITS)


def _window(view: str, part: str, shape: tuple[int, ...]) -> Window:
    """The window of a part in its image; widths are multiples of 8 if the image is wide enough."""
    height, width = shape[:2]
    if not part:
        return (0, 0, height, width)
    if view == "roman-colosseum":
        if part == "test":
            return (COLOSSEUM_TRAIN_ROWS, 0, height - COLOSSEUM_TRAIN_ROWS, width)
        kept = width * 7 // 8 // 8 * 8
        columns = (0, kept) if part == "train" else (kept, width - kept)
        return (0, columns[0], COLOSSEUM_TRAIN_ROWS, columns[1])
    half, fifth = width // 2 // 8 * 8, width // 5 // 8 * 8
    left, across = {
        "train": (0, half),
        "validation": (half, fifth),
        "test": (half + fifth, width - half - fifth),
    }[part]
    return (0, left, height, across)

"""Chikusei: one airborne scene of 2517 x 2335 pixels and 128 bands, 363 to 1018 nm, read window by window."""

import contextlib
import json
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from ifmsr.errors import InputError
from ifmsr.files import write_text
from ifmsr.io import envi, matfile
from ifmsr.scenes.base import DataSet, Split, Window, no_folder, to_cube, within
from ifmsr.scenes.scene import Scene
from ifmsr.scenes.splits import hold_out
from ifmsr.untrusted import read_json

HEIGHT, WIDTH, BANDS = 2517, 2335, 128
WAVELENGTHS = np.linspace(363.0, 1018.0, BANDS)
TRAIN_ROWS = 2000
TRAIN_SIZE = (200, 194)
TEST_SIZE = (256, 256)


class Chikusei(DataSet):
    """The Chikusei data set, from the published .mat (v7.3, `chikusei`) or ENVI (.hdr) file under `root`.

    The scenes are windows of one image. `train-00-00` to `train-09-11` are non-overlapping images of 200 x 194 pixels
    from the first 2000 rows (paper, section IV; columns from 2328 on are not used). `test-0-0` to `test-1-8` are images
    of 256 x 256 pixels from the other 517 rows (a size that all scales divide; 5 rows and 31 columns are not used). The
    view `full` is the whole image, which is best read by windows.

    Values are divided by the maximum of the whole image, as is usual with this data set. Negative values, an artefact
    of the atmospheric correction, become 0. The maximum is computed once, block by block, and stored in
    `chikusei_maximum.json` beside the file. No response is used: the RGB image is the three bands nearest to 640, 550
    and 460 nm.

    Raises
    ------
    InputError : no such file under `root`, or it cannot be read, or its shape is not 2517 x 2335 x 128.
    """

    name: ClassVar[str] = "chikusei"
    title: ClassVar[str] = "Chikusei"
    bands: ClassVar[int] = BANDS
    published: ClassVar[int] = 1
    root: Path
    default_split: ClassVar[str] = "spatial"
    quantity: ClassVar[str] = "reflectance / maximum"
    obtain: ClassVar[str] = (
        "Download Hyperspec_Chikusei (MATLAB or ENVI) from https://naotoyokoya.com/Download.html and put "
        "HyperspecVNIR_Chikusei_20140729.mat, or .hdr with its .bsq, into this folder"
    )
    views = ("full",)

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self.path = self._find()
        self._windows = _windows()
        self.names = [name for name in self._windows if name not in self.views]

    def load(self, name: str, window: Window | None = None) -> Scene:
        """Load one scene, or a window of it; only the needed bytes are read."""
        if name not in self._windows:
            raise self.unknown(name)
        place = within(f"chikusei scene {name}", self._windows[name], window)
        if self.path.suffix == ".mat":
            image = matfile.read_variable(self.path, "chikusei", place)
        else:
            image = envi.read_envi(self.path, place)
        cube = to_cube(self.path, image, self.maximum, clip_negative=True)
        red, green, blue = (int(np.abs(WAVELENGTHS - nm).argmin()) for nm in (640, 550, 460))
        return Scene(name, cube, WAVELENGTHS, rgb_bands=(red, green, blue))

    def split(self, name: str) -> Split:
        """`spatial`: the paper's training images, of which six are held out for validation, and the test images."""
        if name != "spatial":
            raise InputError(f"chikusei split {name!r}", "there is no such split", "Choose spatial")
        train, validation = hold_out([name for name in self.names if name.startswith("train")], count=6)
        return Split(train, validation, tuple(name for name in self.names if name.startswith("test")))

    @cached_property
    def maximum(self) -> float:
        """The largest value of the whole image, in the unit of the file."""
        note = self.path.with_name("chikusei_maximum.json")
        stamp = [self.path.name, self.path.stat().st_size, self.path.stat().st_mtime_ns]
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = read_json(note, "the maximum of the image", "Delete it")
            if kept["file"] == stamp:
                return float(kept["maximum"])
        is_mat = self.path.suffix == ".mat"
        maximum = matfile.largest(self.path, "chikusei") if is_mat else envi.largest(self.path)
        if not np.isfinite(maximum) or maximum <= 0:
            raise InputError(self.path, f"its largest value is {maximum}", "Download the file again")
        with contextlib.suppress(OSError):  # in a read-only folder the maximum is computed again next time
            write_text(note, json.dumps({"file": stamp, "maximum": maximum}))
        return maximum

    def _find(self) -> Path:
        for path in sorted(self.root.rglob("*.mat")):
            if "chikusei" in (shapes := matfile.variables(path)):
                return _checked(path, shapes["chikusei"])
        headers = [path for path in sorted(self.root.rglob("*.hdr")) if "Ground_Truth" not in path.name]
        if not headers:
            raise no_folder(
                self.root, "a .mat file with the variable chikusei, or an ENVI .hdr,", self.obtain
            )
        return _checked(headers[0], envi.open_envi(headers[0]).shape)


def _checked(path: Path, shape: tuple[int, ...]) -> Path:
    if shape != (HEIGHT, WIDTH, BANDS):
        expected = f"{HEIGHT} x {WIDTH} x {BANDS}"
        raise InputError(
            path, f"its image is {' x '.join(map(str, shape))}, not {expected}", "Download it again"
        )
    return path


def _windows() -> dict[str, Window]:
    """Scene name -> its window in the whole image."""
    windows: dict[str, Window] = {"full": (0, 0, HEIGHT, WIDTH)}
    height, width = TRAIN_SIZE
    for row in range(TRAIN_ROWS // height):
        for column in range(WIDTH // width):
            windows[f"train-{row:02d}-{column:02d}"] = (row * height, column * width, height, width)
    height, width = TEST_SIZE
    for row in range((HEIGHT - TRAIN_ROWS) // height):
        for column in range(WIDTH // width):
            windows[f"test-{row}-{column}"] = (TRAIN_ROWS + row * height, column * width, height, width)
    return windows

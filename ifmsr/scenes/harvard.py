"""Harvard: 50 scenes of 1040 x 1392 pixels and 31 bands, 420 to 720 nm."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from ifmsr.errors import InputError
from ifmsr.io.matfile import read_variable
from ifmsr.io.windows import cut
from ifmsr.scenes.base import DataSet, Split, Window, no_folder, to_cube, within
from ifmsr.scenes.response import nikon_d700
from ifmsr.scenes.scene import Scene
from ifmsr.scenes.splits import split_by_seed


class Harvard(DataSet):
    """The Harvard data set: all .mat files under `root`, each with the variable `ref` (H, W, 31).

    `ref` is a floating-point cube without a fixed full scale. A cube whose maximum exceeds 1 is divided by this
    maximum; other cubes are not scaled. The maximum is that of the whole cube, so a window has the same values as the
    scene.

    The spectral response function is the 31-column Nikon D700 table by band position, as in the released programs,
    although the table is given for 400 to 700 nm and Harvard's bands are 20 nm higher. `resample_srf` would interpolate
    it to the actual wavelengths.

    Raises
    ------
    InputError : `root` does not exist or contains no .mat file.
    """

    name: ClassVar[str] = "harvard"
    title: ClassVar[str] = "Harvard"
    bands: ClassVar[int] = 31
    published: ClassVar[int] = 50
    default_split: ClassVar[str] = "seed-0"
    quantity: ClassVar[str] = "relative radiance"
    obtain: ClassVar[str] = (
        "Download the 50 daylight scenes of the Harvard real-world hyperspectral images (CZ_hsdb) from "
        "http://vision.seas.harvard.edu/hyperspec/ and put the .mat files into this folder"
    )

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self._files = {file.stem: file for file in sorted(self.root.rglob("*.mat"))}
        self.names = list(self._files)
        if not self.names:
            raise no_folder(self.root, "a .mat file", self.obtain)

    def load(self, name: str, window: Window | None = None) -> Scene:
        """Load one scene, or its window; the whole file is read in either case."""
        if name not in self._files:
            raise self.unknown(name)
        path = self._files[name]
        image = read_variable(path, "ref")
        if image.ndim != 3 or image.shape[2] != self.bands:
            raise InputError(
                path, f"ref has shape {image.shape}, not (height, width, 31)", "Download the file again"
            )
        if not np.isfinite(image).all():
            raise InputError(path, "ref holds NaN or infinite values", "Download the file again")
        height, width = image.shape[:2]
        maximum = max(1.0, float(image.max()))
        cube = to_cube(path, cut(image, within(path, (0, 0, height, width), window)), maximum)
        return Scene(name, cube, np.arange(420.0, 721.0, 10.0), srf=nikon_d700())

    def split(self, name: str) -> Split:
        """`seed-<n>`: 80 % of the available scenes for training (paper, section IV), two of these for validation."""
        return split_by_seed(self.name, name, self.names, validation=min(2, len(self.names) // 5))

"""CAVE: 32 indoor scenes of 512 x 512 pixels and 31 bands, 400 to 700 nm."""

import csv
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.io.images import read_image
from ifmsr.io.windows import cut
from ifmsr.scenes.base import DataSet, Split, Window, no_folder, to_cube, within
from ifmsr.scenes.response import PUBLISHED, nikon_d700
from ifmsr.scenes.scene import Array, Scene
from ifmsr.scenes.splits import cave_split

SIDE = 512
URL = "https://www.cs.columbia.edu/CAVE/databases/multispectral/zip/complete_ms_data.zip"


def published_files() -> dict[PurePosixPath, tuple[int, str]]:
    """The 1,024 files of the data set: path -> (bytes, SHA-256)."""
    with (PUBLISHED / "cave_sha256.csv").open(newline="", encoding="utf-8") as file:
        return {
            PurePosixPath(row["path"]): (int(row["bytes"]), row["sha256"]) for row in csv.DictReader(file)
        }


def published_scenes() -> list[str]:
    """The names of the 32 scenes."""
    return sorted({path.parts[1].removesuffix("_ms") for path in published_files()})


def scene_folder(root: Path, scene: str) -> Path | None:
    """The folder of a scene's files, or None.

    `root` is `complete_ms_data` or the folder that contains it. The scene's folder may be nested twice, as published
    (`balloons_ms/balloons_ms/`), or once.
    """
    folder = f"{scene}_ms"
    for parent in (root / "complete_ms_data", root):
        for candidate in (parent / folder / folder, parent / folder):
            if candidate.is_dir():
                return candidate
    return None


class Cave(DataSet):
    """The CAVE data set: 32 scenes of 512 x 512 pixels and 31 bands; see `scene_folder` for the layout of `root`.

    RGB images are simulated with the spectral response function of the Nikon D700 (paper, section IV). A scene's
    photograph is its file ``<scene>_RGB.bmp``, if that is there: the cube rendered for a screen by the data's authors.

    Raises
    ------
    InputError : `root` does not exist or contains no CAVE scene.
    """

    name: ClassVar[str] = "cave"
    title: ClassVar[str] = "CAVE"
    bands: ClassVar[int] = 31
    published: ClassVar[int] = 32
    root: Path
    default_split: ClassVar[str] = "figure4"
    quantity: ClassVar[str] = "reflectance"
    obtain: ClassVar[str] = (
        "Run `ifmsr data fetch cave`, or unpack the archive from "
        f"{URL} so that this folder holds complete_ms_data/balloons_ms/"
    )

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self.names = [scene for scene in published_scenes() if scene_folder(self.root, scene)]
        if not self.names:
            raise no_folder(self.root, "a scene folder like complete_ms_data/balloons_ms", self.obtain)

    def load(self, name: str, window: Window | None = None) -> Scene:
        """Load one scene, (31, 512, 512), or its window; whole PNG files are decoded in either case."""
        folder = scene_folder(self.root, name)
        if folder is None:
            raise self._missing(name)
        window = within(f"cave scene {name}", (0, 0, SIDE, SIDE), window)
        files = [folder / f"{name}_ms_{band:02d}.png" for band in range(1, self.bands + 1)]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise InputError(
                folder, f"{len(missing)} of 31 bands are missing: {', '.join(missing)}", self.obtain
            )
        image = np.stack([cut(_read_band(file, name), window) for file in files], axis=-1)
        cube, wavelengths = to_cube(folder, image, 1), np.arange(400.0, 701.0, 10.0)
        picture = _read_photograph(folder / f"{name}_RGB.bmp", window)
        return Scene(name, cube, wavelengths, srf=nikon_d700(), photograph=picture)

    def split(self, name: str) -> Split:
        """`figure4`, `names-20-12`, `random-0` to `random-4` or `seed-<n>`, always over all 32 scenes."""
        return cave_split(name)

    def _missing(self, name: str) -> InputError:
        if name not in published_scenes():
            return self.unknown(name)
        problem = f"scene {name} is not here (only {len(self.names)} of 32 are)"
        return InputError(self.root, problem, self.obtain)


def _read_photograph(path: Path, window: Window) -> NDArray[np.uint8] | None:
    """A window of a scene's picture (3, h, w), or None if there is no such file."""
    if not path.is_file():
        return None
    pixels = read_image(path)
    if pixels.shape != (SIDE, SIDE, 3) or pixels.dtype != np.uint8:
        raise InputError(
            path,
            f"found {pixels.dtype} of shape {pixels.shape}, not 8-bit RGB",
            "Fetch the published file again, or remove it",
        )
    return np.ascontiguousarray(np.moveaxis(cut(pixels, window), -1, 0))


def _read_band(path: Path, scene: str) -> Array:
    """One band (512, 512) in [0, 1]: 16-bit grey; `watercolors` alone is 8-bit RGBA with R = G = B."""
    pixels = read_image(path)
    if pixels.shape[:2] != (SIDE, SIDE):
        raise InputError(
            path, f"its size is {pixels.shape[:2]}, not {(SIDE, SIDE)}", "Fetch the published file again"
        )
    if pixels.dtype == np.uint16 and pixels.ndim == 2:
        return (pixels / 65535).astype(np.float32)
    if scene == "watercolors" and pixels.dtype == np.uint8 and pixels.ndim == 3:
        red, others = pixels[..., 0], pixels[..., 1:3]
        if (others == red[..., np.newaxis]).all():
            return (red / 255).astype(np.float32)
    raise InputError(
        path,
        f"found {pixels.dtype} of shape {pixels.shape}, not 16-bit grey",
        "Fetch the published file again",
    )

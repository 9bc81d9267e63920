"""Ordinary pictures: PNG, JPEG, BMP."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.extras import require
from ifmsr.io.room import check_room
from ifmsr.io.stored import Stored
from ifmsr.untrusted import bytes_on_disk, decoding

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
FORMATS = ("PNG", "JPEG", "BMP")
"""The decoders that a file may choose by its content: others start programs (EPS) or fetch other files."""
NO_LIGHT = {"cmyk": "inks (CMYK)", "cielab": "CIELAB", "icclab": "CIELAB", "itulab": "CIELAB"}
"""Colour spaces that are no measurement of light in three channels."""
ORIENTATION = 274  # of EXIF and of TIFF


def read_image(path: str | Path) -> NDArray[Any]:
    """The stored numbers of a PNG, JPEG or BMP, upright: (H, W) or (H, W, channels), uint8 or uint16.

    Raises
    ------
    InputError : the file is missing, truncated, or no image; its colours are inks (CMYK) or CIELAB; it has 16 bits per
        colour, and rasterio is not installed.
    """
    from PIL import Image, ImageOps

    with decoding(path, "an image", "Fetch or copy the file again"), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path, formats=FORMATS) as image:
            check_room(
                path, (image.height, image.width, _bytes_per_pixel(image)), "u1", bytes_on_disk(Path(path))
            )
            if image.mode in ("CMYK", "LAB"):
                space = NO_LIGHT[{"CMYK": "cmyk", "LAB": "cielab"}[image.mode]]
                raise InputError(path, f"its colours are {space}", "Save it as RGB")
            if image.format == "PNG" and _deep_colour(path):
                deep = _turned(_read_deep(Path(path)), image.getexif().get(ORIENTATION, 1))
                return np.moveaxis(deep, 0, -1)
            upright_image = ImageOps.exif_transpose(image)
            if image.mode in ("P", "PA", "1"):
                upright_image = upright_image.convert("RGBA" if "transparency" in image.info else "RGB")
            return np.array(upright_image)


def read_picture(path: Path) -> Stored:
    """A picture as (channels, H, W); where it has transparency, that is `alpha`."""
    image = read_image(path)
    array = image[np.newaxis] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    if len(array) in (2, 4):
        return Stored(path, array[:-1], alpha=array[-1] > 0)
    return Stored(path, array)


def upright(
    path: Path, array: NDArray[Any], alpha: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """(B, H, W) and (H, W) of a TIFF turned as its orientation tag says."""
    orientation = orientation_of(path)
    return _turned(array, orientation), None if alpha is None else _turned(alpha, orientation)


def orientation_of(path: Path) -> int:
    """The orientation tag of a TIFF, 1 (upright) without one."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=["TIFF"]) as image:
                return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # a kind of TIFF that Pillow does not know; GDAL has read it
        return 1


def _turned(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(..., H, W) as it is to be seen; orientations as EXIF numbers them."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(-1, -2)
    if orientation in (2, 3, 6, 7):
        array = array[..., ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[..., ::-1, :]
    return array


def _bytes_per_pixel(image: Any) -> int:
    """Of the decoded picture: 4 bytes for modes of 32 bits and for palettes, which become colours."""
    return 4 if image.mode in ("I", "F", "P", "PA", "1") else 2 * len(image.getbands())


def _deep_colour(path: str | Path) -> bool:
    """Whether a PNG has colours of 16 bits, of which Pillow keeps 8."""
    with open(path, "rb") as file:
        head = file.read(26)
    return head[24] == 16 and head[25] in (2, 4, 6)


def _read_deep(path: Path) -> NDArray[Any]:
    """(channels, H, W) uint16, as stored."""
    require("rasterio")
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, driver="PNG") as source:
            return np.asarray(source.read())

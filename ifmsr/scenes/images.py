"""Reading one ordinary image file, with one clear error for everything that can go wrong."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.extras import require


def read_image(path: str | Path) -> NDArray[Any]:
    """The stored numbers of a PNG, JPEG or BMP: (H, W) or (H, W, channels), uint8 or uint16.

    Pillow reads 16-bit grey files exactly, but keeps only the upper 8 bits of 16-bit colour ones.

    Raises
    ------
    InputError : the file is missing, truncated, or no image.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB") if image.mode in ("P", "1") else image)
    except FileNotFoundError as error:
        raise InputError(
            path, "there is no such file", "Check the path, or fetch the data set again"
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(
            path, f"cannot be read as an image ({error})", "Fetch or copy the file again"
        ) from error


def read_tiff(path: str | Path) -> NDArray[Any]:
    """The stored numbers of a TIFF, with its axes in the file's order.

    Raises
    ------
    InputError : the file is missing, truncated, or no TIFF; tifffile is not installed, or imagecodecs, which
        compressed files need.
    """
    require("tifffile")
    import tifffile

    try:
        return np.asarray(tifffile.imread(path))
    except FileNotFoundError as error:
        raise InputError(path, "there is no such file", "Check the path") from error
    except Exception as error:  # a damaged TIFF raises whatever its broken tag or codec happens to raise
        if "imagecodecs" in str(error):
            require("imagecodecs")
        raise InputError(path, f"cannot be read as a TIFF ({error})", "Copy the file again") from error

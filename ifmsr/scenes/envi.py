"""Reading a window of an ENVI image (.hdr beside .bsq, .bil, .bip, .img ...), memory-mapped."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.extras import require
from ifmsr.scenes.base import Window, cut


def open_envi(path: str | Path) -> NDArray[Any]:
    """The image as a memory map (H, W, B); only what is indexed is read.

    Raises
    ------
    InputError : header or data file missing, damaged, or the data file is shorter than the header says; spectral is
        not installed.
    """
    require("spectral")
    import spectral

    if not Path(path).is_file():
        raise InputError(path, "there is no such file", "Check the path")
    fix = "Put the complete data file (.bsq, .bil, .bip or .img) beside its .hdr and check the header"
    try:
        image = spectral.envi.open(str(path)).open_memmap(interleave="bip")
    except (OSError, ValueError, KeyError, TypeError, spectral.io.spyfile.SpyException) as error:
        raise InputError(path, f"cannot be read as an ENVI image ({error})", fix) from error
    if image is None:
        raise InputError(path, "its data file is shorter than the header says", fix)
    return image


def read_envi(path: str | Path, window: Window | None = None) -> NDArray[Any]:
    """The image (H, W, B), or only a window of it, as an ordinary array in the file's own numbers."""
    image = open_envi(path)
    return np.array(image if window is None else cut(image, window))


def largest(path: str | Path, rows: int = 64) -> float:
    """The largest value of the image, read in blocks of rows; each is let go, so that memory stays small."""
    starts = range(0, len(open_envi(path)), rows)
    return max(float(np.max(open_envi(path)[start : start + rows])) for start in starts)

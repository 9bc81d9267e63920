"""Folders with one picture per band, as CAVE's scenes are."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.io.geotiff import read_geotiff
from ifmsr.io.images import PICTURES, read_image
from ifmsr.io.room import check_room
from ifmsr.io.stored import Stored


def read_band_folder(folder: Path, repeated: bool = False) -> Stored:
    """A folder of pictures that end in a number, one per band in the order of the numbers, as CAVE's scenes are.

    Bands of 31 in such a folder are CAVE's: 400 to 700 nm.

    Raises
    ------
    InputError : no or one such picture, a number that is missing or there twice, pictures of several sizes, colours.
    """
    numbered: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        found = re.search(r"(\d+)$", path.stem)
        if path.suffix.lower() not in (*PICTURES, ".tif", ".tiff") or not found:
            continue
        if int(found[1]) in numbered:
            raise InputError(
                folder, f"{numbered[int(found[1])].name} and {path.name} are the same band", "Leave one"
            )
        numbered[int(found[1])] = path
    if len(numbered) < 2:
        inside = [path for path in folder.iterdir() if path.is_dir()]
        if not numbered and not repeated and len(inside) == 1:  # CAVE's archive repeats the scene's folder
            return read_band_folder(inside[0], repeated=True)
        raise InputError(
            folder, "it holds no pictures that end in a band number", "Give a folder of band_01.png ..."
        )
    places = sorted(numbered)
    gaps = [before + 1 for before, after in pairwise(places) if after > before + 1]
    if gaps:
        raise InputError(folder, f"band {', '.join(map(str, gaps))} is missing", "Complete the folder")
    first = _grey(numbered[places[0]])
    check_room(folder, (len(places), *first.shape), first.dtype)
    bands = [first, *(_grey(numbered[place]) for place in places[1:])]
    sizes = {(band.shape, band.dtype) for band in bands}
    if len(sizes) > 1:
        listed = ", ".join(sorted(f"{kind} {shape}" for shape, kind in sizes))
        raise InputError(folder, f"its pictures differ: {listed}", "Give every band the same size and type")
    cave = len(bands) == 31 and folder.name.endswith("_ms")
    return Stored(folder, np.stack(bands), np.arange(400.0, 701.0, 10.0) if cave else None)


def _grey(path: Path) -> NDArray[Any]:
    """One band (H, W); colours that are all the same count as grey."""
    picture = path.suffix.lower() in PICTURES
    image = read_image(path) if picture else np.moveaxis(read_geotiff(path).array, 0, -1)
    if image.ndim == 3 and (image[..., :3] == image[..., :1]).all():
        image = image[..., 0]
    if image.ndim != 2:
        raise InputError(path, f"a picture of shape {image.shape}", "Give one grey picture per band")
    return image

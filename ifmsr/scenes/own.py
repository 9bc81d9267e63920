"""Anyone's own cubes and colour images, from the usual file types."""

from math import inf
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.scenes.base import to_cube
from ifmsr.scenes.envi import read_envi
from ifmsr.scenes.images import read_image, read_tiff
from ifmsr.scenes.matfile import read_variable, variables
from ifmsr.scenes.scene import Array

Layout = Literal["HWC", "CHW"]
PICTURES = (".png", ".jpg", ".jpeg", ".bmp")


def load_cube(
    path: str | Path, key: str | None = None, maximum: float | None = None, layout: Layout | None = None
) -> Array:
    """A cube (B, H, W) float32 in [0, 1] from .npy, .npz, .mat, .tif, .png, .jpg, .bmp or ENVI .hdr.

    Parameters
    ----------
    path : the file.
    key : the variable of a .npz or .mat file; not needed if the file has only one array of three axes.
    maximum : the value that becomes 1. Integers are divided by their type's largest value where it is not
        given (a 12-bit sensor in 16-bit files wants maximum=4095); floats must lie in [0, 1] already.
    layout : "HWC" (bands last) or "CHW" (bands first). Where it is not given, the smallest axis is taken for
        the bands: give it for cubes with more bands than rows or columns.

    Raises
    ------
    InputError : the file is missing, unreadable or of another type; no or several candidate variables; not
        three axes; the band axis is ambiguous; values are not finite or not in [0, 1] after scaling.
    """
    path = Path(path)
    array = read_raw(path, key)
    if array.ndim == 2:
        array = array[..., np.newaxis]
        layout = "HWC"
    if array.ndim != 3:
        raise InputError(path, f"an array of shape {array.shape}", "Give an image with three axes")
    if (layout or _layout(path, array.shape)) == "CHW":
        array = np.moveaxis(array, 0, -1)
    return to_cube(path, array, _maximum(path, array, maximum))


def load_image(path: str | Path, key: str | None = None, maximum: float | None = None) -> Array:
    """A colour image (3, H, W) float32 in [0, 1], read by the rules of `load_cube`.

    A fourth channel (transparency) is dropped.

    Raises
    ------
    InputError : as `load_cube`, or the image has neither three nor four channels.
    """
    layout: Layout | None = "HWC" if Path(path).suffix.lower() in PICTURES else None
    image = load_cube(path, key, maximum, layout)
    if image.shape[0] not in (3, 4):
        raise InputError(path, f"{image.shape[0]} channels", "Give a colour image with red, green and blue")
    return image[:3]


def read_raw(path: Path, key: str | None = None) -> NDArray[Any]:
    """The numbers in a file, unscaled, axes in its order; types and errors as for `load_cube`."""
    kind = path.suffix.lower()
    if kind in (".npy", ".npz"):
        return _read_numpy(path, key)
    if kind == ".mat":
        return read_variable(path, key or _only_cube(path, variables(path)))
    if kind in (".tif", ".tiff"):
        return read_tiff(path)
    if kind in PICTURES:
        return read_image(path)
    if kind == ".hdr":
        return read_envi(path)
    raise InputError(
        path, f"unknown file type {kind!r}", "Give .npy, .npz, .mat, .tif, .png, .jpg, .bmp or .hdr"
    )


def _read_numpy(path: Path, key: str | None) -> NDArray[Any]:
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content as arrays:
            key = key or _only_cube(path, {name: arrays[name].shape for name in arrays})
            if key in arrays:
                return arrays[key]
            listed = ", ".join(arrays)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(path, "there is no such file", "Check the path") from error
    except Exception as error:  # numpy lets zip, header and codec errors through as they are
        raise InputError(path, f"cannot be read as a NumPy file ({error})", "Save it again") from error
    raise InputError(path, f"no array {key!r}", f"Choose one of {listed}")


def _only_cube(path: Path, shapes: dict[str, tuple[int, ...]]) -> str:
    cubes = [name for name, shape in shapes.items() if len(shape) == 3]
    if len(cubes) != 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
        raise InputError(path, f"{len(cubes)} arrays with three axes (found: {listed})", "Name one with key=")
    return cubes[0]


def _layout(path: Path, shape: tuple[int, ...]) -> Layout:
    smallest = min(shape)
    if shape.count(smallest) > 1 or shape[1] == smallest:
        raise InputError(
            path,
            f"the band axis of shape {shape} is ambiguous",
            'Say layout="HWC" if the bands come last, layout="CHW" if they come first',
        )
    return "CHW" if shape[0] == smallest else "HWC"


def _maximum(path: Path, array: NDArray[Any], maximum: float | None) -> float:
    if maximum is not None:
        if not 0 < maximum < inf:
            raise InputError(
                "maximum", f"{maximum} for {path}", "Give the positive value that shall become 1"
            )
        return maximum
    if array.dtype.kind in "iu":
        return float(np.iinfo(array.dtype).max)
    if array.dtype.kind == "f":
        return 1.0
    raise InputError(path, f"values of type {array.dtype}", "Give integers or real numbers")

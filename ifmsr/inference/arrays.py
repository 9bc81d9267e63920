"""Arrays and tensors of users as an `Observation`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ifmsr.errors import InputError
from ifmsr.scenes.scene import Array, Observation


def observation_of(lr: Any, rgb: Any, scale: Any, srf: Any) -> Observation:
    """The observation of arrays or tensors; pixels with NaN in some band, or masked, are invalid."""
    (lr, lr_valid), (rgb, rgb_valid) = _image("lr", lr), _image("rgb", rgb)
    return Observation(lr, rgb, scale, None if srf is None else _float32("srf", srf), lr_valid, rgb_valid)


def _image(name: str, values: Any) -> tuple[Array, NDArray[np.bool_] | None]:
    """An image with zeros in its invalid pixels, and where it is valid: None if everywhere."""
    image = _float32(name, values)
    if image.ndim != 3 or not np.isnan(image).any():
        return image, None
    valid = np.logical_not(np.isnan(image.max(axis=0)))
    if not valid.any():
        raise InputError(name, "no pixel is valid: each is NaN in some band", "Give at least one valid pixel")
    return np.where(valid, image, np.float32(0)), valid


def _float32(name: str, values: Any) -> Array:
    try:
        if isinstance(values, Tensor):  # NumPy has no bfloat16
            values = (values.float() if values.is_floating_point() else values).numpy(force=True)
        masked = values.filled(np.nan) if isinstance(values, np.ma.MaskedArray) else values
        array = np.asarray(masked)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(name, f"it is no array ({error})", "Give a NumPy array or a torch tensor") from error
    if array.dtype.kind != "f":
        raise InputError(
            name, f"its type is {array.dtype}", "Divide by the largest possible value to get [0, 1]"
        )
    with np.errstate(over="ignore"):  # infinite values are refused by name
        return array.astype(np.float32, copy=False)

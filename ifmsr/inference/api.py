"""From an Observation to a cube with any method: `super_resolve`, and `load_method` for repeated use."""

import warnings
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ifmsr.assessment import Assessment, Guide, assess_observation, demand_no_doubt
from ifmsr.errors import InputError, InputWarning, as_path, check_choice, whole
from ifmsr.fields import fitted
from ifmsr.files import sha256
from ifmsr.inference.assessed import Assessed
from ifmsr.inference.devices import choose_device
from ifmsr.inference.learned import Learned
from ifmsr.methods.base import Method
from ifmsr.methods.registry import CLASSICAL, NETWORKS, VARIANTS, method_names
from ifmsr.precision import BFLOAT16_NOTE, Precision, float32_by_default, usable_precision
from ifmsr.scenes.scene import Array, Observation
from ifmsr.weights import load_weights, shipped_weights


@float32_by_default()
def load_method(
    name: str,
    scale: int,
    weights: str | Path | None = None,
    device: str | None = None,
    precision: Precision = "float32",
    memory: int | None = None,
) -> Method:
    """A ready method by name.

    Parameters
    ----------
    name : one of `ifmsr.methods.method_names`.
    scale : which of the shipped weights to take, see `shipped_name`.
    weights : a file of one's own instead.
    precision, memory : see `run_network`.

    Raises
    ------
    InputError : the name is unknown, the weights are missing, damaged or another network's, or the device is not
        there.
    """
    check_choice("method", name, method_names())
    check_choice("precision", precision, get_args(Precision))
    scale = whole("scale", scale)
    if name in CLASSICAL:
        return CLASSICAL[name]()
    network, variant = VARIANTS.get(name, (name, ""))
    path = shipped_weights(shipped_name(network, scale)) if weights is None else as_path("weights", weights)
    choose_device(device)  # before minutes of other methods' work
    memory = None if memory is None else whole("memory", memory, least=1)
    net, metadata = load_weights(path)
    if metadata["network"] != network:
        raise InputError(path, f"weights of {metadata['network']}", f"Give weights of {network}")
    precision = usable_precision(precision, choose_device(device))
    schedule = metadata["schedule"] + (BFLOAT16_NOTE if precision == "bfloat16" else "")
    learned = Learned(net, schedule, sha256(path)[:12], device, precision, memory)
    return net.as_method(learned, variant, device, precision)


def shipped_name(network: str, scale: int) -> str:
    """Name of the shipped weights, ``<network>-x<scale>`` or, if one network serves every scale, ``<network>``."""
    return network if NETWORKS[network].scale_free else f"{network}-x{scale}"


@float32_by_default()
def super_resolve(
    lr: Any,
    rgb: Any,
    scale: int,
    method: str = "auto",
    srf: Any = None,
    weights: str | Path | None = None,
    device: str | None = None,
    precision: Precision = "float32",
    memory: int | None = None,
    with_error: bool = False,
    guide: Guide = "auto",
    strict: bool = False,
) -> Any:
    """Super-resolve one hyperspectral cube with the help of an aligned RGB guide.

    The pair is assessed first (`assess`): the guide's tone curve is undone, and what to doubt about the result is said
    in an `ifmsr.InputWarning`.

    Parameters
    ----------
    lr : (B, h, w) NumPy array or torch tensor in [0, 1]. Pixels that are NaN or masked in some band are invalid: they
        take no part, and the result is NaN there. Pixels without any spectrum are found, and stay as they are.
    rgb : (3, scale h, scale w), likewise; where it is invalid, the result is the cube's upsampling. A guide that does
        not lie on the cube is registered; the result lies on the guide's pixels, NaN beyond the cube.
    scale : the number of guide pixels per LR pixel in each direction, a whole number.
    method : one of `ifmsr.methods.method_names`. ``"auto"`` is `subspace-net`, whose correction counts as far as the LR
        cube supports it; the rest is the training-free method's result.
    srf : (3, B) spectral response of the RGB camera, rows summing to 1, if known.
    weights : a network's weights file instead of the shipped one.
    device : ``"cpu"``, ``"cuda"``, ...; default: the GPU if there is one.
    precision : ``"bfloat16"`` makes networks about twice as fast on processors that have it; others compute in
        float32, with a warning.
    memory : bytes that IFMSR may take for feature maps; the result is the same, and images of any size pass.
    with_error : also return how far off each pixel is expected to be; only ``"subspace-net"`` predicts it.
    guide : the guide's tone curve: ``"linear"`` (proportional to light), ``"srgb"`` (an ordinary picture), or
        ``"auto"``, decided from the two images.
    strict : raise InputError instead of warning.

    Returns
    -------
    (B, scale h, scale w) float32 in [0, 1], of `lr`'s kind and on its device; `with_error`: a pair of that and the
    expected absolute error (scale h, scale w), mean over bands.

    Raises
    ------
    InputError : values outside [0, 1], sizes that do not fit, no valid pixel, an unknown method, missing weights;
        `strict`: a pair that does not fit.

    Examples
    --------
    >>> lr, rgb = np.full((8, 6, 6), 0.5, np.float32), np.full((3, 24, 24), 0.5, np.float32)
    >>> super_resolve(lr, rgb, scale=4, method="bicubic").shape
    (8, 24, 24)
    """
    observation = _observation(lr, rgb, scale, srf)
    check_choice("method", method, method_names())
    with_error, strict = fitted("with_error", with_error, bool), fitted("strict", strict, bool)
    ready = Assessed.of(load_method(method, observation.scale, weights, device, precision, memory))
    assessment = assess_observation(observation, guide)
    if strict:
        demand_no_doubt(assessment)
    for doubt in assessment.warnings:
        warnings.warn(doubt, InputWarning, stacklevel=3)  # past the decorator
    results = run_assessed(ready, assessment, with_error)
    alike = [
        torch.from_numpy(result).to(lr.device) if isinstance(lr, Tensor) else result for result in results
    ]
    return tuple(alike) if with_error else alike[0]


@float32_by_default()
def run_assessed(method: Assessed, assessment: Assessment, with_error: bool = False) -> tuple[Array, ...]:
    """The cube (B, H, W), and `with_error` each pixel's expected absolute error (H, W).

    Pixels without data are what they were in the delivered cube: NaN if they were marked as invalid or lie beyond it,
    and otherwise black or saturated.

    Raises InputError if the method does not predict its error.
    """
    results: tuple[Array, ...] = (
        method.run_with_error(assessment) if with_error else (method.run(assessment),)
    )
    measured = assessment.measured
    if measured is None:
        return results
    results = tuple(np.where(measured, result, np.float32(np.nan)) for result in results)
    if assessment.grid is None:
        delivered = assessment.delivered
        valid, scale = delivered.lr_valid, delivered.scale
        kept = ~measured if valid is None else ~measured & valid.repeat(scale, 0).repeat(scale, 1)
        values = delivered.lr.repeat(scale, 1).repeat(scale, 2)
        results = (np.where(kept, values, results[0]), *results[1:])
    return results


@float32_by_default()
def assess(lr: Any, rgb: Any, scale: int, srf: Any = None, guide: Guide = "auto") -> Assessment:
    """Assess an LR cube and its RGB guide: blur, shift, noise, response, tone curve, registration, doubts.

    Parameters and errors are those of `super_resolve`, which assesses every pair in the same way.

    Examples
    --------
    >>> lr, rgb = np.full((8, 6, 6), 0.5, np.float32), np.full((3, 24, 24), 0.5, np.float32)
    >>> assess(lr, rgb, scale=4).tone
    'linear'
    """
    return assess_observation(_observation(lr, rgb, scale, srf), guide)


def _observation(lr: Any, rgb: Any, scale: Any, srf: Any) -> Observation:
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

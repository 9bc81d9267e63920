"""From an Observation to a cube with any method: `super_resolve`, and `load_method` for repeated use."""

import warnings
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from ifmsr.assessment import Assessment, Guide, assess_observation, demand_no_doubt
from ifmsr.devices import choose_device
from ifmsr.errors import InputError, InputWarning, as_path, check_choice, whole
from ifmsr.fields import fitted
from ifmsr.files import sha256
from ifmsr.inference.arrays import observation_of
from ifmsr.inference.assessed import Assessed, run_assessed
from ifmsr.inference.blocks import in_blocks
from ifmsr.inference.learned import Learned
from ifmsr.methods.base import Method, RunsOnDevices
from ifmsr.methods.registry import CLASSICAL, NETWORKS, VARIANTS, method_names
from ifmsr.precision import BFLOAT16_NOTE, Precision, float32_by_default, usable_precision
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
        method = CLASSICAL[name]()
        return method.on(device) if isinstance(method, RunsOnDevices) else method
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
    memory : bytes that a block of a large image may take, or IFMSR's feature maps; images of any size pass. ``"auto"``,
        `subspace-net` and `closed-form` solve guides of more than four megapixels in blocks (`ifmsr.Blocks`), unless
        these have to be registered.
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
    >>> import numpy as np
    >>> lr, rgb = np.full((8, 6, 6), 0.5, np.float32), np.full((3, 24, 24), 0.5, np.float32)
    >>> super_resolve(lr, rgb, scale=4, method="bicubic").shape
    (8, 24, 24)
    """
    observation = observation_of(lr, rgb, scale, srf)
    check_choice("method", method, method_names())
    with_error, strict = fitted("with_error", with_error, bool), fitted("strict", strict, bool)
    ready = Assessed.of(load_method(method, observation.scale, weights, device, precision, memory))
    blocks = in_blocks(ready, observation, guide, memory)
    assessment = assess_observation(observation, guide) if blocks is None else blocks.assessment
    if strict:
        demand_no_doubt(assessment)
    for doubt in assessment.warnings:
        warnings.warn(doubt, InputWarning, stacklevel=3)  # past the decorator
    results = run_assessed(ready, assessment, with_error) if blocks is None else blocks.whole(with_error)
    alike = [
        torch.from_numpy(result).to(lr.device) if isinstance(lr, Tensor) else result for result in results
    ]
    return tuple(alike) if with_error else alike[0]


@float32_by_default()
def assess(lr: Any, rgb: Any, scale: int, srf: Any = None, guide: Guide = "auto") -> Assessment:
    """Assess an LR cube and its RGB guide: blur, shift, noise, response, tone curve, registration, doubts.

    Parameters and errors are those of `super_resolve`, which assesses every pair in the same way.

    Examples
    --------
    >>> import numpy as np
    >>> lr, rgb = np.full((8, 6, 6), 0.5, np.float32), np.full((3, 24, 24), 0.5, np.float32)
    >>> assess(lr, rgb, scale=4).tone
    'linear'
    """
    return assess_observation(observation_of(lr, rgb, scale, srf), guide)

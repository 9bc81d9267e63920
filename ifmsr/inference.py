"""From an Observation to a cube with any method: devices, precision and memory live here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
import torch
from torch import Tensor

from ifmsr.errors import InputError, check_choice
from ifmsr.files import sha256
from ifmsr.methods import CLASSICAL, METHODS
from ifmsr.methods.base import Method, Network
from ifmsr.paths import WEIGHTS
from ifmsr.scenes.scene import Array, Observation
from ifmsr.weights import load_weights

Precision = Literal["float32", "bfloat16"]
CPU_PASS = 2**26  # bytes of one pass on a CPU: larger ones leave its caches and are several times slower


def choose_device(device: str | None = None) -> torch.device:
    """`device` if given, else the GPU if there is one, else the CPU."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken on `device`."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def run_network(
    net: Network, observation: Observation, device: str | None = None, precision: Precision = "float32"
) -> Array:
    """One observation through a network, as many bands at a time as half of the free memory holds.

    On a CPU a pass stays near its caches (`CPU_PASS`). Returns (B, H, W) float32 clipped to [0, 1].
    """
    where = choose_device(device)
    net = net.to(where).eval()
    lr = torch.from_numpy(observation.lr)[None].to(where)
    rgb = torch.from_numpy(observation.rgb)[None].to(where)
    per_band = net.working_floats * 4 * rgb[0, 0].numel()
    memory = free_memory(where) // 2
    if where.type == "cpu":
        memory = min(memory, CPU_PASS)
    bands_per_pass = max(1, min(lr.shape[1], memory // per_band))
    with torch.inference_mode(), torch.autocast(where.type, torch.bfloat16, precision == "bfloat16"):
        sr = net(lr, rgb, bands_per_pass=bands_per_pass)
    return sr[0].float().clamp(0, 1).cpu().numpy()


@dataclass
class Learned:
    """A trained network as a Method.

    `schedule` says how it was trained; `fingerprint` (start of the weights' SHA-256) tells trainings apart.
    """

    net: Network
    schedule: str
    fingerprint: str
    device: str | None = None
    precision: Precision = "float32"

    @property
    def title(self) -> str:
        """The network's printed name."""
        return self.net.title

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1]. Raises InputError for another scale than trained."""
        trained = self.net.config.scale
        if observation.scale != trained:
            raise InputError(
                "scale", f"{self.title} was trained for x{trained}", f"Use weights for x{observation.scale}"
            )
        return run_network(self.net, observation, self.device, self.precision)


def load_method(
    name: str,
    scale: int,
    weights: str | Path | None = None,
    device: str | None = None,
    precision: Precision = "float32",
) -> Method:
    """A ready method by name.

    Parameters
    ----------
    name : one of `ifmsr.methods.METHODS`.
    scale : which of the shipped weights to take, ``results/weights/<name>-x<scale>.safetensors``.
    weights : a file of one's own instead.

    Raises
    ------
    InputError : the name is unknown, or the weights are missing, damaged or another network's.
    """
    check_choice("method", name, METHODS)
    if name in CLASSICAL:
        return CLASSICAL[name]()
    path = Path(weights or WEIGHTS / f"{name}-x{scale}.safetensors")
    net, metadata = load_weights(path)
    if metadata["network"] != name:
        raise InputError(path, f"weights of {metadata['network']}", f"Give weights of {name}")
    schedule = metadata["schedule"] + (f"; inference in {precision}" if precision != "float32" else "")
    return Learned(net, schedule, sha256(path)[:12], device, precision)


def super_resolve(
    lr: Any,
    rgb: Any,
    scale: int,
    method: str = "ifmsr",
    srf: Any = None,
    weights: str | Path | None = None,
    device: str | None = None,
) -> Any:
    """Super-resolve one hyperspectral cube with the help of an aligned colour image.

    Parameters
    ----------
    lr : (B, h, w) NumPy array or torch tensor in [0, 1].
    rgb : (3, scale h, scale w), likewise.
    method : one of `ifmsr.methods.METHODS`.
    srf : (3, B) spectral response of the colour camera, rows summing to 1, if known.
    weights : a network's weights file instead of the shipped one.
    device : ``"cpu"``, ``"cuda"``, ...; default: the GPU if there is one.

    Returns
    -------
    (B, scale h, scale w) float32 in [0, 1], of `lr`'s kind and on its device.

    Raises
    ------
    InputError : values outside [0, 1], NaN, sizes that do not fit, an unknown method, missing weights.

    Examples
    --------
    >>> lr, rgb = np.full((8, 6, 6), 0.5, np.float32), np.full((3, 24, 24), 0.5, np.float32)
    >>> super_resolve(lr, rgb, scale=4, method="bicubic").shape
    (8, 24, 24)
    """
    observation = Observation(
        _float32("lr", lr), _float32("rgb", rgb), scale, None if srf is None else _float32("srf", srf)
    )
    sr = load_method(method, scale, weights, device)(observation)
    return torch.from_numpy(sr).to(lr.device) if isinstance(lr, Tensor) else sr


def _float32(name: str, values: Any) -> Array:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.dtype.kind != "f":
        raise InputError(
            name, f"its type is {array.dtype}", "Divide by the largest possible value to get [0, 1]"
        )
    return array.astype(np.float32, copy=False)

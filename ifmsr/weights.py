"""Files of network weights: safetensors with the network's name, configuration and training as metadata."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from ifmsr.errors import InputError, as_path
from ifmsr.files import sha256, write_atomically
from ifmsr.methods.base import Network
from ifmsr.methods.registry import NETWORKS
from ifmsr.paths import find_weights, weights_folders
from ifmsr.untrusted import check_bytes, decoding, read_json

OURS = "Use one written by ifmsr"
USUAL = 1024
SPARE = 4  # how many more tensors than it keeps a network may register: some are made twice


def save_weights(path: str | Path, net: Network, network: str, schedule: str) -> Path:
    """Store the weights, configuration and training schedule of a network in one .safetensors file.

    Floating-point tensors are stored in half precision, which halves the file and changes no test scene of CAVE by more
    than 0.006 dB. A tensor with values beyond the range of half precision keeps its type. Trainings resume from their
    checkpoints, which are float32.
    """
    metadata = {"network": network, "config": json.dumps(asdict(net.config)), "schedule": schedule}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and (half := tensor.half()).isfinite().all():
            tensors[name] = half
    return write_atomically(path, lambda file: file.write(in_order(save(tensors, metadata))))


def in_order(content: bytes) -> bytes:
    """A .safetensors file with its metadata sorted by name, so that equal weights are equal files.

    The library writes them in a random order.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    ordered = json.dumps(header, separators=(",", ":")).encode()
    ordered += b" " * (-len(ordered) % 8)  # the format aligns the tensors to 8 bytes
    return len(ordered).to_bytes(8, "little") + ordered + content[start:]


def shipped_weights(name: str) -> Path:
    """The file ``<name>.safetensors`` in the first of `ifmsr.paths.weights_folders` that contains it.

    Raises
    ------
    InputError : no folder contains it. If one has its card, the weights are too large for the installed package, and
        the message says how to get them.
    """
    path = find_weights(f"{name}.safetensors")
    if path is not None:
        return path
    if find_weights(f"{name}.json"):
        raise InputError(
            f"{name}.safetensors",
            "these weights are too large to be installed with the package",
            "Take them from results/weights of the source repository (git clone --depth 1): set the environment "
            "variable IFMSR_WEIGHTS to that folder, or name the file (weights=..., --weights)",
        )
    looked = ", ".join(map(str, weights_folders()))
    raise InputError(
        f"{name}.safetensors",
        f"there are no such weights in {looked}",
        "Train the network (ifmsr train) and name its file (weights=..., --weights)",
    )


def load_weights(path: str | Path) -> tuple[Network, dict[str, Any]]:
    """Load a file of `save_weights`, after comparing it with the SHA-256 on its card, if it has one.

    Returns
    -------
    The network on the CPU in evaluation mode, and its metadata with the keys "network", "config" and "schedule".

    Raises
    ------
    InputError : the file is missing, damaged, changed or not written by `save_weights`; its network is not registered;
        names or shapes do not fit its configuration; a weight is NaN or infinite.
    """
    path = as_path("weights", path)
    if not os.path.isfile(path):
        raise InputError(path, "there is no such file", "Train the network first or name another file")
    card = path.with_suffix(".json")
    if digest_on(card) not in ("", sha256(path)):
        raise InputError(
            path, f"its SHA-256 is not the one on its card {card.name}", "Check the file out again"
        )
    with decoding(path, "a weights file of ours", OURS):
        check_bytes(path, "its content", path.stat().st_size)
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        metadata = {name: metadata[name] for name in ("network", "config", "schedule")}
        network, metadata["config"] = metadata["network"], json.loads(metadata["config"])
    if network not in NETWORKS:
        raise InputError(
            path,
            f"its network {network!r} is not known here",
            "Install or import the package that registers it",
        )
    kind = NETWORKS[network]
    with decoding(path, "a weights file of ours", OURS):
        check_settings(metadata["config"], state)
        with torch.device("meta"), _at_most(state):  # shapes alone: a setting of 10^9 takes no memory here
            shapes = {
                name: tensor.shape for name, tensor in kind.build(**metadata["config"]).state_dict().items()
            }
    if shapes != {name: tensor.shape for name, tensor in state.items()}:
        raise InputError(path, "its weights do not fit their configuration", "Train again")
    with decoding(path, "a weights file of ours", OURS):
        net = kind.build(**metadata["config"])
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise InputError(
            path, f"NaN or infinite values in {', '.join(broken)}", "Train again from an earlier state"
        )
    with decoding(path, "a weights file of ours", OURS):
        net.load_state_dict(state)
    return net.eval(), metadata


def check_settings(config: Any, state: Mapping[str, Tensor]) -> None:
    """Raise ValueError if a configuration is none, or has a number that no network of these weights can have.

    A number of layers is at most the number of tensors, a width at most the longest side of one; the smallest bound is
    `USUAL`, for settings that shape no weight.
    """
    if not isinstance(config, dict):
        raise ValueError(f"its configuration is {type(config).__name__}")
    most = max([USUAL, len(state), *(side for tensor in state.values() for side in tensor.shape)])
    for name, value in config.items():
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, int | float) and not abs(number) <= most for number in numbers):
            raise ValueError(f"its {name} is {str(value)[:40]}")


@contextmanager
def _at_most(state: Mapping[str, Tensor]) -> Iterator[None]:
    """Stop the construction of a network that registers many more tensors than `state` has."""
    left = SPARE * len(state) + SPARE

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("its configuration asks for more layers than it has")

    hooks = [
        register_module_parameter_registration_hook(count),
        register_module_buffer_registration_hook(count),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def digest_on(card: str | Path) -> str:
    """The SHA-256 on a card (see `ifmsr.experiments.cards`); ``""`` if the file is missing or not a card."""
    try:
        return str(read_json(card, "a card", "Restore it").get("sha256", ""))
    except InputError:
        return ""

"""Files of network weights: safetensors with the network's name, configuration and training as metadata."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ifmsr.errors import InputError, as_path
from ifmsr.files import sha256, write_atomically
from ifmsr.methods.base import Network
from ifmsr.methods.registry import NETWORKS
from ifmsr.paths import find_weights, weights_folders


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
    return write_atomically(path, lambda file: file.write(save(tensors, metadata)))


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
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        metadata = {name: metadata[name] for name in ("network", "config", "schedule")}
        network, metadata["config"] = metadata["network"], json.loads(metadata["config"])
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise not_ours(path, error) from error
    if network not in NETWORKS:
        raise InputError(
            path,
            f"its network {network!r} is not known here",
            "Install or import the package that registers it",
        )
    kind = NETWORKS[network]
    try:
        net = kind.build(**metadata["config"])
    except (TypeError, ValueError, RuntimeError) as error:
        raise not_ours(path, error) from error
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise InputError(
            path, f"NaN or infinite values in {', '.join(broken)}", "Train again from an earlier state"
        )
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            path, f"weights that do not fit their configuration ({error})", "Train again"
        ) from error
    return net.eval(), metadata


def not_ours(path: str | Path, error: Exception) -> InputError:
    """The error for a file that `save_weights` did not write."""
    return InputError(path, f"not a weights file of ours ({error})", "Use one written by ifmsr")


def digest_on(card: str | Path) -> str:
    """The SHA-256 on a card (see `ifmsr.experiments.cards`); ``""`` if the file is missing or not a card."""
    try:
        content = json.loads(Path(card).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(content.get("sha256", "")) if isinstance(content, dict) else ""

"""Seconds, memory, multiply-adds (MACs) and bytes moved of closed-form and SubspaceNet on a scene of CAVE's size.

`seconds_at_peak` is what the multiply-adds alone would take at the speed of a large convolution, `seconds_at_copy` what
reading the inputs and writing the results of every operation would take at the speed of a large copy; images that stay
in a processor's cache are faster than that.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import alone, conv_peak, precisions, seconds, write_rows
from benchmarks.inference import MACS, scene
from ifmsr.degradation.estimation import estimated_pair
from ifmsr.devices import choose_device, computing_on
from ifmsr.inference.api import load_method
from ifmsr.precision import Precision

COPIED = 2**28  # bytes of the copy that shows the memory's speed


class BytesMoved(TorchDispatchMode):
    """Counts the bytes that operations read and write; views move none."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        aliases = [returned.alias_info for returned in func._schema.returns]
        if not any(alias is not None and not alias.is_write for alias in aliases):
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
            self.total += sum(tensor.nbytes for tensor in tensors)
        return result


def memory_speed(device: torch.device) -> float:
    """Bytes per second that a large copy reads and writes."""
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED / seconds(lambda: target.copy_(source), 5, device)


def estimation() -> dict[str, float]:
    """Time of the estimation of kernel, shift and noise alone."""
    observation, device = scene()[1], choose_device()
    with computing_on(device):
        return {"seconds": seconds(lambda: estimated_pair(observation), 3, device)}


def whole(name: str, precision: Precision) -> dict[str, float]:
    """Time and MACs of a whole method, including the estimation."""
    observation, device = scene()[1], choose_device()
    method = load_method(name, observation.scale, precision=precision)
    best = seconds(lambda: method(observation), 3)
    with FlopCounterMode(display=False) as counter:
        method(observation)
    with BytesMoved() as moved:
        method(observation)
    macs = counter.get_total_flops() / 2
    ifmsr = MACS * len(observation.lr) * observation.rgb[0].size
    return {
        "seconds": best,
        "gmacs": macs / 1e9,
        "times_fewer_than_ifmsr": ifmsr / macs,
        "seconds_at_peak": macs / conv_peak(device, torch.float32),
        "gigabytes_moved": moved.total / 1e9,
        "seconds_at_copy": moved.total / memory_speed(device),
    }


def main() -> None:
    """Measure the estimation and each method, each in its own process."""
    rows = [{"method": "estimation", "precision": "float32", **alone(estimation)}]
    rows.append({"method": "closed-form", "precision": "float32", **alone(whole, "closed-form", "float32")})
    for precision in precisions():
        rows.append(
            {"method": "subspace-net", "precision": precision, **alone(whole, "subspace-net", precision)}
        )
    write_rows("beyond", rows)

"""Seconds, memory and multiply-adds (MACs) of closed-form and SubspaceNet on a whole scene of CAVE's size."""

from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import alone, precisions, seconds, write_rows
from benchmarks.inference import MACS, scene
from ifmsr.degradation.estimation import estimate_degradation
from ifmsr.inference.api import load_method
from ifmsr.precision import Precision


def estimation() -> dict[str, float]:
    """Time of the estimation of kernel, shift and noise alone."""
    observation = scene()[1]
    return {"seconds": seconds(lambda: estimate_degradation(observation), 3)}


def whole(name: str, precision: Precision) -> dict[str, float]:
    """Time and MACs of a whole method, including the estimation."""
    observation = scene()[1]
    method = load_method(name, observation.scale, precision=precision)
    best = seconds(lambda: method(observation), 3)
    with FlopCounterMode(display=False) as counter:
        method(observation)
    macs = counter.get_total_flops() / 2
    ifmsr = MACS * len(observation.lr) * observation.rgb[0].size
    return {"seconds": best, "gmacs": macs / 1e9, "times_fewer_than_ifmsr": ifmsr / macs}


def main() -> None:
    """Measure the estimation and each method, each in its own process."""
    rows = [{"method": "estimation", "precision": "float32", **alone(estimation)}]
    rows.append({"method": "closed-form", "precision": "float32", **alone(whole, "closed-form", "float32")})
    for precision in precisions():
        rows.append(
            {"method": "subspace-net", "precision": precision, **alone(whole, "subspace-net", precision)}
        )
    write_rows("beyond", rows)

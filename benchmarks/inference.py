"""Speed of IFMSR on a whole scene of CAVE's size: the plain network, strips, and strips in bfloat16."""

import torch

from benchmarks.common import alone, conv_peak, precisions, seconds, write_rows
from ifmsr.degradation.protocol import degrade
from ifmsr.devices import choose_device
from ifmsr.errors import InputError
from ifmsr.inference.networks import run_network
from ifmsr.metrics import psnr
from ifmsr.paths import WEIGHTS
from ifmsr.precision import Precision
from ifmsr.scenes import open_dataset
from ifmsr.scenes.scene import Array, Observation
from ifmsr.weights import load_weights

SCENE = "balloons"
PLAIN_BANDS = slice(10, 13)  # only three bands, because the plain network is slow
MACS = 1_720_256  # of the full network, per pixel and band


def scene() -> tuple[Array, Observation]:
    """A CAVE scene and its observation; without CAVE, tiles of Indian Pines of the same size."""
    try:
        chosen = open_dataset("cave").load(SCENE)
        return chosen.cube, degrade(chosen, 4)
    except InputError:
        part = open_dataset("indian-pines").load("train")
        tiled = torch.from_numpy(part.cube[: 31 * 6 : 6]).repeat(1, 4, 8)[:, :512, :512].numpy()
        return tiled, degrade(type(part)(part.name, tiled, rgb_bands=(5, 3, 1)), 4)


def whole(precision: Precision) -> dict[str, float]:
    """Time, performance and PSNR of the inference in strips, all bands."""
    truth, observation = scene()
    device, dtype = choose_device(), getattr(torch, precision)
    net = load_weights(WEIGHTS / "ifmsr-x4.safetensors")[0]
    peak = conv_peak(device, dtype)
    repeats = 1 if device.type == "cpu" else 5
    results: list[Array] = []
    taken = seconds(lambda: results.append(run_network(net, observation, precision=precision)), repeats)
    sr = results[-1]
    useful = MACS * truth.size / taken
    peak = max(peak, conv_peak(device, dtype))
    return {
        "seconds": taken,
        "gmacs": useful / 1e9,
        "peak_gmacs": peak / 1e9,
        "share": useful / peak,
        "psnr": psnr(truth, sr),
    }


def plain() -> dict[str, float]:
    """Time and performance of the plain network, extrapolated from three bands, and its difference from the strips."""
    truth, observation = scene()
    device = choose_device()
    net = load_weights(WEIGHTS / "ifmsr-x4.safetensors")[0].to(device)
    lr, rgb = (torch.from_numpy(x)[None].to(device) for x in (observation.lr, observation.rgb))
    bands = torch.arange(truth.shape[0], device=device)[PLAIN_BANDS]
    peak = conv_peak(device, torch.float32)
    results = []
    with torch.inference_mode():
        taken = seconds(
            lambda: [results.append(net(lr, rgb, bands=band)) for band in bands.split(1)], 1, device
        )
    sr = torch.cat(results, dim=1)[0].clamp(0, 1).cpu()
    around = slice(PLAIN_BANDS.start - 1, PLAIN_BANDS.stop + 1)  # bands see their neighbours
    few = Observation(observation.lr[around], observation.rgb, observation.scale)
    strips = torch.from_numpy(run_network(net, few))[1:-1]
    useful = MACS * sr.numel() / taken
    peak = max(peak, conv_peak(device, torch.float32))
    return {
        "seconds": taken * truth.shape[0] / len(bands),
        "gmacs": useful / 1e9,
        "peak_gmacs": peak / 1e9,
        "share": useful / peak,
        "strips_differ_by": float((sr - strips).abs().max() / sr.abs().max()),
    }


def main() -> None:
    """Measure each variant in its own process."""
    rows = [
        {"variant": "plain network, float32", **alone(plain)},
        *({"variant": f"strips, {precision}", **alone(whole, precision)} for precision in precisions()),
    ]
    write_rows("inference", [{**row, "speedup": rows[0]["seconds"] / row["seconds"]} for row in rows])

"""IFMSR's time and memory against the number of pixels, with feature maps in memory and in files."""

import torch

from benchmarks.common import FOLDER, alone, seconds, write_rows
from ifmsr.devices import choose_device, free_memory
from ifmsr.figures import save_figure, scaling_figure
from ifmsr.inference.fast_ifmsr.maps import Workspace
from ifmsr.inference.fast_ifmsr.run import CPU_STRIP
from ifmsr.inference.fast_ifmsr.strip_network import StripIFMSR
from ifmsr.inference.fast_ifmsr.thread_pool import ThreadPool
from ifmsr.methods.ifmsr.network import IFMSR, similar_patches

SIDES = ((512, 512), (720, 720), (1040, 1392), (2048, 2048))
LITTLE = 1 << 28  # memory limit in bytes that moves whole feature maps to files


def one(height: int, width: int, memory: int | None) -> dict[str, float]:
    """Time per band of an image of three bands; the patch search and the part common to all bands are separate."""
    torch.manual_seed(0)
    net, device = IFMSR().eval().to(choose_device()), choose_device()
    lr = torch.rand(1, 3, height // 4, width // 4, device=device)
    rgb = torch.rand(1, 3, height, width, device=device)
    search = seconds(lambda: similar_patches(rgb, 12, 3), 1, device)
    budget = memory or free_memory(device) // 2
    strip = CPU_STRIP if device.type == "cpu" else height * width
    workers = torch.get_num_threads() if device.type == "cpu" else 1
    made: list[StripIFMSR] = []
    with torch.inference_mode(), Workspace(device, budget) as workspace, ThreadPool(workers) as pool:
        arguments = net, lr, rgb, torch.float32, workspace, pool, 1, strip
        shared = seconds(lambda: made.append(StripIFMSR(*arguments)), 1, device) - search
        band = seconds(lambda: made[0].bands(lr), 2, device)  # the first run also allocates memory
    megapixels = height * width / 1e6
    return {
        "megapixels": megapixels,
        "search_seconds": search,
        "shared_seconds": shared,
        "seconds_per_band": band,
        "seconds_per_megapixel": band / megapixels,
    }


def main() -> None:
    """Measure each size in its own process, and plot the results."""
    rows = [
        {"maps": maps, "height": height, "width": width, **alone(one, height, width, memory)}
        for maps, memory in (("in memory", None), ("in files", LITTLE))
        for height, width in SIDES
    ]
    save_figure(scaling_figure(write_rows("scaling", rows)), FOLDER / "scaling")

"""IFMSR's time and memory against the number of pixels, with maps in memory and with maps in files."""

import torch

from benchmarks.common import FOLDER, alone, seconds, write_rows
from ifmsr.figures import save_figure, scaling_figure
from ifmsr.inference import choose_device, network
from ifmsr.methods.ifmsr import IFMSR, similar_patches

SIDES = ((512, 512), (720, 720), (1040, 1392), (1440, 1440), (2048, 2048))
LITTLE = 1 << 28  # bytes of whole feature maps, where they are to go to files
BANDS = 3


def one(height: int, width: int, memory: int | None) -> dict[str, float]:
    """A pass over three bands of an image; the patch search is timed apart and taken off."""
    torch.manual_seed(0)
    net, device = IFMSR().eval().to(choose_device()), choose_device()
    lr = torch.rand(1, BANDS, height // 4, width // 4, device=device)
    rgb = torch.rand(1, 3, height, width, device=device)
    search = seconds(lambda: similar_patches(rgb, 12, 3), 1, device)
    budget = memory or network.free_memory(device) // 2
    with torch.inference_mode():
        taken = seconds(lambda: network._in_strips(net, lr, rgb, "float32", budget), 1, device)
    megapixels = height * width / 1e6
    return {
        "megapixels": megapixels,
        "search_seconds": search,
        "seconds": taken - search,
        "seconds_per_band": (taken - search) / BANDS,
        "seconds_per_megapixel": (taken - search) / BANDS / megapixels,
    }


def main() -> None:
    """Every size in a process of its own, and the plot."""
    rows = [
        {"maps": maps, "height": height, "width": width, **alone(one, height, width, memory)}
        for maps, memory in (("in memory", None), ("in files", LITTLE))
        for height, width in SIDES
    ]
    save_figure(scaling_figure(write_rows("scaling", rows)), FOLDER / "scaling")

"""Training throughput with samples from the data loader, samples made on the device, and a compiled network.

A patch-band is one band of one patch, forward and backward; its useful multiply-adds (MACs) are those of the plain
network's convolutions and matrix products, counted during a step. On a GPU the paper's network and batch are measured
in bfloat16, with all bands in one step and with one step per band; on a CPU the first and the last width of
``ifmsr-test-family``, with its one step per band on two patches, in ten minutes.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import conv_peak, write_rows
from ifmsr.devices import choose_device
from ifmsr.scenes import Scene, open_dataset
from ifmsr.training import PRESETS, Patches, TrainConfig
from ifmsr.training.loop import in_batches, loaded
from ifmsr.training.on_device import Batches, OnDevice
from ifmsr.training.state import State

WARM = 3  # warm-up batches, which compile and allocate
PAPER = PRESETS["paper"]
SCHEDULE = PAPER.epochs * 26 * PAPER.crops_per_scene * 31  # patch-bands of CAVE's split figure4


def configurations(device: torch.device) -> list[TrainConfig]:
    """The configurations that are measured on this device."""
    if device.type == "cuda":
        paper = replace(PAPER, precision="bfloat16").on(device)
        return [replace(paper, steps="batched"), paper]
    recipe = replace(PRESETS["ifmsr-test-family"], precision="float32")
    return [replace(recipe, options={"features": features}) for features in (16, 64)]


def scene() -> Scene:
    """31 bands of Indian Pines, which needs no download; throughput does not depend on the content."""
    part = open_dataset("indian-pines").load("train")
    return Scene(part.name, part.cube[20:51].copy(), rgb_bands=(9, 5, 1))


def patch_bands(config: TrainConfig, scenes: list[Scene]) -> int:
    """The number of patch-bands per batch."""
    bands = config.bands_per_step if config.steps == "batched" else 0
    return config.batch * (bands or len(scenes[0].cube))


def useful(config: TrainConfig, scenes: list[Scene], device: torch.device, folder: Path) -> float:
    """Multiply-adds of one patch-band, forward and backward."""
    state = State(config, scenes, folder, device)
    made = OnDevice(Patches(scenes, config), device)
    batch = made.make(made.prepare(range(config.batch)))
    with FlopCounterMode(display=False) as counter:
        state.learn(*batch)
    return counter.get_total_flops() / 2 / patch_bands(config, scenes)


def seconds(batches: Batches, count: int, device: torch.device, state: State | None = None) -> float:
    """Time per batch after `WARM` warm-up batches: of the samples, and of the training step if there is a `state`."""

    def run(some: Iterator[tuple[torch.Tensor, ...]]) -> None:
        for lr, rgb, truth in some:
            if state:
                state.learn(lr, rgb, truth)
            else:
                for part in (lr, rgb, truth):
                    part.to(device, non_blocking=True)
        if state:
            state.read_losses()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with closing(batches):
        run(islice(batches, WARM))
        start = perf_counter()
        run(islice(batches, count))
        return (perf_counter() - start) / count


def measure(config: TrainConfig, device: torch.device, count: int) -> list[dict[str, Any]]:
    """Measure one configuration in all variants, on `count` batches each."""
    scenes = [scene()]
    config = replace(config, crops_per_scene=config.batch * (WARM + count), checkpoint_every=1e9)
    patches = Patches(scenes, config)
    made, numbers = OnDevice(patches, device), in_batches(range(len(patches)), config.batch)
    peak = conv_peak(device, getattr(torch, config.precision), backward=True)
    rows = []
    with TemporaryDirectory() as folder:
        macs = useful(config, scenes, device, Path(folder))
        for way, compiled in (("loader", False), ("on device", False), ("on device", True)):
            pinned = device.type == "cuda"
            batches = partial(loaded, patches, 0, pinned) if way == "loader" else made.batches
            samples = seconds(batches(numbers), count, device)
            state = State(config, scenes, Path(folder), device, compiled)
            whole = seconds(batches(numbers), count, device, state)
            rate = patch_bands(config, scenes) / whole
            rows.append(
                {
                    "samples": way,
                    "compiled": compiled,
                    "steps": config.steps,
                    "features": state.net.config.features,
                    "precision": config.precision,
                    "patch_bands_per_batch": patch_bands(config, scenes),
                    "seconds_of_samples": samples,
                    "seconds_per_batch": whole,
                    "patch_bands_per_second": rate,
                    "gmacs": macs * rate / 1e9,
                    "peak_gmacs": peak / 1e9,
                    "share": macs * rate / peak,
                    "paper_schedule_minutes": None if config.options else SCHEDULE / rate / 60,
                }
            )
    return rows


def main() -> None:
    """Measure all configurations of this device."""
    device = choose_device()
    count = 40 if device.type == "cuda" else 2
    write_rows(
        "training", [row for config in configurations(device) for row in measure(config, device, count)]
    )

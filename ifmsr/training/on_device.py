"""The samples of `ifmsr.training.patches.Patches`, made batch by batch on the training device.

Random numbers come from the same generators on the CPU, so every sample equals that of `Patches` up to float rounding.
Pixels are computed on the device: one gather crops, augments and pads all patches of a batch, one grouped convolution
applies all blur kernels, and two matrix products down-sample each patch by its own method.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.protocol import CONVOLVED, Mode, border, interpolate
from ifmsr.devices import free_memory
from ifmsr.precision import tf32_off
from ifmsr.scenes.scene import Scene
from ifmsr.training.patches import Patches, SampleParameters

MODES: tuple[Mode, ...] = ("bicubic", "bilinear", "strided", "block")

Batches = Generator[tuple[Tensor, ...], None, None]

Work = TypeVar("Work")
Result = TypeVar("Result")


class Recipe(NamedTuple):
    """The random parameters of a batch: N samples of B bands, side s, padded side p, kernel side k, scale r.

    `sources` (N, p, p) is the index of the scene pixel that each padded pixel is copied from, `kernels` are
    (N, 1, k, k), `modes` (N,) are indices into `MODES`, `noise` is (N, B, s / r, s / r).
    """

    sources: Tensor
    kernels: Tensor
    modes: Tensor
    noise: Tensor


class OnDevice:
    """Batches of `patches` made on `device`, which holds all scenes as float32: 4 (B + 3) bytes per pixel.

    Nothing here waits for the device. `prepare` runs on the CPU, possibly in a thread; `make` only queues copies from
    pinned memory and kernels on the caller's stream.
    """

    def __init__(self, patches: Patches, device: torch.device):
        self.patches, self.device = patches, device
        side, scale = patches.config.side, patches.config.scale
        sizes = [scene.cube[0].size for scene in patches.scenes]
        self.starts = np.cumsum([0, *sizes])
        self.pixels = torch.empty(len(patches.scenes[0].cube) + 3, sum(sizes), device=device)
        for scene, part in zip(patches.scenes, self.pixels.split(sizes, dim=1), strict=True):
            part.copy_(torch.from_numpy(np.concatenate([scene.cube, scene.rgb()])).flatten(1))
        self.samplers = torch.stack([sampler(mode, side, scale) for mode in MODES]).to(device)

    @staticmethod
    def fits(scenes: Sequence[Scene], device: torch.device) -> bool:
        """Whether the scenes take at most half of the device's free memory."""
        return (
            sum(4 * (len(scene.cube) + 3) * scene.cube[0].size for scene in scenes)
            <= free_memory(device) // 2
        )

    def batches(self, batches: Iterable[Sequence[int]]) -> Batches:
        """(lr, rgb, truth) of each batch of sample numbers; the next two batches are prepared meanwhile."""
        with closing(ahead(self.prepare, batches)) as recipes:
            for recipe in recipes:
                yield self.make(recipe)

    def prepare(self, numbers: Sequence[int]) -> Recipe:
        """The random parameters of the samples `numbers`, in pinned memory if the device is a GPU."""
        config, samples = self.patches.config, [self.patches.draw(number) for number in numbers]
        firsts = [sample.degradation.first_tap(config.scale) for sample in samples]
        reach = max(
            max(-first, first + len(sample.degradation.kernel) - 1)
            for first, sample in zip(firsts, samples, strict=True)
        )
        kernels = np.zeros((len(samples), 1, 2 * reach + 1, 2 * reach + 1), np.float32)
        for window, first, sample in zip(kernels[:, 0], firsts, samples, strict=True):
            taps = slice(reach + first, reach + first + len(sample.degradation.kernel))
            window[taps, taps] = sample.degradation.kernel
        shape = (len(self.pixels) - 3, *(config.side // config.scale,) * 2)
        recipe = Recipe(
            torch.from_numpy(np.stack([self._sources(sample, reach) for sample in samples])),
            torch.from_numpy(kernels),
            torch.tensor([MODES.index(sample.degradation.mode) for sample in samples]),
            torch.from_numpy(np.stack([sample.degradation.noise(shape) for sample in samples])),
        )
        if self.device.type != "cuda":
            return recipe
        return Recipe(*(part.pin_memory() for part in recipe))

    def _sources(self, sample: SampleParameters, reach: int) -> np.ndarray:
        """(p, p): the index of the scene pixel behind every pixel of an augmented crop, padded by `reach`."""
        along, width = np.arange(self.patches.config.side), self.patches.scenes[sample.scene].cube.shape[2]
        crop = (sample.top + along[:, None]) * width + sample.left + along  # (s, s)
        return self.starts[sample.scene] + np.pad(
            sample.augmentation(crop), reach, mode=border(sample.degradation.mode)
        )

    @tf32_off()
    def make(self, recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the pixels: lr (N, B, s / r, s / r), rgb (N, 3, s, s), truth (N, B, s, s)."""
        sources, kernels, modes, noise = (part.to(self.device, non_blocking=True) for part in recipe)
        (n, bands), side, padded = noise.shape[:2], self.patches.config.side, sources.shape[-1]
        held = self.pixels.index_select(1, sources.flatten()).view(-1, n, padded, padded)  # (B + 3, N, p, p)

        image = held[:bands].view(1, bands * n, padded, padded)
        blurred = F.conv2d(image, kernels.repeat(bands, 1, 1, 1), groups=bands * n)
        blurred = blurred.view(bands, n, side, side).transpose(0, 1)  # (N, B, s, s)
        rows = self.samplers[modes][:, None]  # (N, 1, s / r, s)
        lr = (rows @ blurred.double() @ rows.mT).float()

        inner = slice((padded - side) // 2, (padded + side) // 2)
        moved = held[..., inner, inner].transpose(0, 1)  # (N, B + 3, s, s)
        return (lr + noise).clamp(0, 1), moved[:, bands:].contiguous(), moved[:, :bands].contiguous()


def sampler(mode: Mode, side: int, scale: int) -> Tensor:
    """(side / scale, side) matrix that down-samples along one axis; in float64, which never becomes TF32."""
    unit = torch.eye(side, dtype=torch.float64)
    if mode in CONVOLVED:
        return unit[::scale].clone()
    lit = unit[:, None, :, None].expand(-1, -1, -1, scale)  # image i is 1 in row i, 0 elsewhere
    return interpolate(lit, scale, mode)[:, 0, :, 0].T.contiguous()


def ahead(
    work: Callable[[Work], Result], items: Iterable[Work], depth: int = 2
) -> Generator[Result, None, None]:
    """Yield ``work(item)`` of every item in order, computed in one thread up to `depth` items ahead.

    Exceptions of `work` are raised here. Closing the iterator ends the thread.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(1, "samples") as pool:
        waiting = deque(pool.submit(work, item) for item in islice(remaining, depth))
        while waiting:
            done = waiting.popleft()
            result = done.result()
            waiting.extend(pool.submit(work, item) for item in islice(remaining, 1))
            yield result

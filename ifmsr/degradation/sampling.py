"""Decimation by a sampling kernel, and interpolation to the positions that it sampled, in strips of rows."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

BICUBIC = -0.75  # its parameter a
STRETCH = 8  # LR columns upsampled by one matrix
STRIP = 1 << 20  # values of an image that are worked on at once: what fits in the processor's cache


def strips(image: Tensor, step: int) -> Iterator[slice]:
    """The rows of an image (C, H, W), a few at a time: whole multiples of `step`, but for the last."""
    channels, height, width = image.shape
    rows = step * max(1, STRIP // (channels * width * step))
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def decimate(
    image: Tensor, kernel: Tensor, scale: int, of: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """D_k: (C, H, W) -> (C, H / scale, W / scale), the kernel about the middle of each scale x scale block.

    `of` maps the image pixel by pixel; what it gives is decimated instead.
    """
    kernel = trimmed(kernel, scale)
    height, width = (length // scale * scale for length in image.shape[1:])
    margin = (len(kernel) - scale) // 2
    parts = []
    for rows in strips(image[:, :height, :width], scale):
        first, last = rows.start - margin, rows.stop + margin
        part = image[:, max(0, first) : last]
        part = part if of is None else of(part)
        beyond = (margin, margin, max(0, -first), max(0, last - image.shape[1]))
        parts.append(
            F.conv2d(F.pad(part[:, None], beyond, mode="replicate"), kernel[None, None], stride=scale)
        )
    return torch.cat(parts, dim=2)[:, 0]


def trimmed(kernel: Tensor, scale: int) -> Tensor:
    """A sampling kernel without borders of zeros, as far as its middle stays and it covers a block."""
    taken = (kernel != 0).nonzero()
    if not len(taken):
        return kernel
    cut = min(int(taken.min()), len(kernel) - 1 - int(taken.max()), (len(kernel) - scale) // 2)
    return kernel[cut : len(kernel) - cut, cut : len(kernel) - cut]


def centroid(kernel: Tensor) -> tuple[float, float]:
    """Centroid of a sampling kernel, (down, right) of each block's middle, in HR pixels."""
    taps = torch.arange(kernel.shape[0]) - (kernel.shape[0] - 1) / 2
    return float(kernel.sum(1) @ taps), float(kernel.sum(0) @ taps)


def upsample(image: Tensor, kernel: Tensor, scale: int, rows: slice = slice(None)) -> Tensor:
    """(C, h, w) -> (C, H, W), bicubic, with each LR pixel at the centroid of `kernel`; only `rows` of H if given."""
    return interpolate(image, scale, centroid(kernel), bicubic, rows)


def interpolate(
    image: Tensor,
    scale: int,
    shift: tuple[float, float],
    weight: Callable[[Tensor], Tensor],
    rows: slice = slice(None),
) -> Tensor:
    """(C, h, w) -> (C, H, W), or some `rows` of it, the border replicated.

    Each LR pixel lies at its block's middle, moved by `shift` HR pixels (down, right), and counts by `weight`, a
    function of the distance in LR pixels that is 0 from 2 on.
    """
    _, h, w = image.shape
    places = lr_places(torch.arange(h * scale)[rows], shift[0], scale)
    first = places.floor()
    tall = image.new_zeros(len(image), len(places), w)
    for tap in range(-1, 3):
        weights = weight(places - first - tap)
        if weights.any():
            near = image.index_select(1, (first.long() + tap).clamp(0, h - 1).to(image.device))
            tall.addcmul_(weights.to(image)[:, None], near)

    places = lr_places(torch.arange(STRETCH * scale), shift[1], scale)
    seen = torch.arange(int(places[0].floor()) - 1, int(places[-1].floor()) + 3)
    band = weight(places - seen[:, None]).to(image)  # (seen, STRETCH scale)
    stretches = -(-w // STRETCH)
    columns = int(seen[0]) + torch.arange((stretches - 1) * STRETCH + len(seen))
    before, after = int((columns < 0).sum()), int((columns >= w).sum())
    inner = tall[:, :, max(0, int(columns[0])) : int(columns[-1]) + 1]
    borders = tall[:, :, :1].expand(-1, -1, before), tall[:, :, -1:].expand(-1, -1, after)
    wide = torch.cat([borders[0], inner, borders[1]], dim=2).unfold(2, len(seen), STRETCH)
    fine = wide.reshape(-1, len(seen)) @ band  # as one product: several times faster than a batch of them
    return fine.view(len(image), -1, stretches * len(band[0]))[:, :, : w * scale]


def lr_places(pixels: Tensor, shift: float, scale: int) -> Tensor:
    """Positions of HR pixels in LR pixels along an axis, float64."""
    return (pixels + 0.5 - shift).double() / scale - 0.5


def bicubic(distance: Tensor) -> Tensor:
    """Weights of the bicubic interpolation (a = -0.75) at distances in pixels."""
    x = distance.abs()
    near = ((BICUBIC + 2) * x - (BICUBIC + 3)) * x * x + 1
    far = ((BICUBIC * x - 5 * BICUBIC) * x + 8 * BICUBIC) * x - 4 * BICUBIC
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))


def bilinear(distance: Tensor) -> Tensor:
    """Weights of the bilinear interpolation."""
    return (1 - distance.abs()).clamp_min(0)

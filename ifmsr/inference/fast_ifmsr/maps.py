"""Whole feature maps of one pass, written and read in strips: in memory, or in files where memory does not suffice."""

import math
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from ifmsr.inference.fast_ifmsr.strips import Strip


class Workspace:
    """Hands out buffers until `memory` bytes are used up; after that they are files that the system pages in and out.

    Buffers lie on `device` while it lasts. Use it in a ``with`` block: its end removes the files.
    """

    def __init__(self, device: torch.device, memory: int):
        self.device, self.left = device, memory
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        self.files = 0

    def __enter__(self) -> "Workspace":
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder is not None:
            self.folder.cleanup()

    def take(self, size: int, dtype: torch.dtype) -> Tensor:
        """A flat buffer of `size` numbers, not initialised."""
        needed = size * dtype.itemsize
        if needed <= self.left:
            self.left -= needed
            return torch.empty(size, dtype=dtype, device=self.device)
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="ifmsr-", ignore_cleanup_errors=True)
        self.files += 1
        path = Path(self.folder.name) / f"{self.files}.map"
        return torch.from_file(str(path), shared=True, size=size, dtype=dtype)


class FeatureMap:
    """(M, H, W, C) in a buffer; strips come to and go from `device`."""

    def __init__(self, buffer: Tensor, shape: tuple[int, int, int, int], device: torch.device):
        self.values = buffer[: math.prod(shape)].view(shape)
        self.height, self.device = shape[1], device

    def strip(self, first: int, last: int) -> Strip:
        """Rows `first` to `last`, as far as the image has them."""
        first, last = max(first, 0), min(last, self.height)
        return Strip(self.values[:, first:last].permute(0, 3, 1, 2).to(self.device), first, self.height)

    def write(self, strip: Strip) -> None:
        """Keep a strip's rows."""
        self.values[:, strip.first : strip.last] = strip.x.permute(0, 2, 3, 1)


class PatchMap:
    """The same cut into patches, so that similar ones are gathered in whole blocks of memory.

    (M, rows, columns, p, p, C), the image zero-padded about its middle to whole patches as in `MCPA`.
    """

    def __init__(self, buffer: Tensor, shape: tuple[int, int, int, int], patch: int, device: torch.device):
        m, self.height, self.width, self.channels = shape
        self.rows, self.columns = -(-self.height // patch), -(-self.width // patch)
        self.top = (self.rows * patch - self.height) // 2
        self.left = (self.columns * patch - self.width) // 2
        self.patch, self.device = patch, device
        whole = (m, self.rows, self.columns, patch, patch, self.channels)
        self.values = buffer[: math.prod(whole)].view(whole)

    def blocks(self, pixels: int) -> Iterator[tuple[int, int]]:
        """Runs of whole rows of patches with about so many pixels each."""
        step = max(1, pixels // (self.patch * self.width))
        return pairwise([*range(0, self.rows, step), self.rows])

    def image_rows(self, start: int, stop: int) -> tuple[int, int]:
        """The rows of the image that some rows of patches hold."""
        first, last = (edge * self.patch - self.top for edge in (start, stop))
        return max(first, 0), min(last, self.height)

    def patch_rows(self, first: int, last: int) -> tuple[int, int]:
        """The rows of patches that some rows of the image lie in."""
        return (first + self.top) // self.patch, -(-(last + self.top) // self.patch)

    def write(self, strip: Strip) -> None:
        """Keep a strip that fills whole rows of patches."""
        p, m = self.patch, strip.x.shape[0]
        start, stop = self.patch_rows(strip.first, strip.last)
        block = strip.x.new_zeros(m, (stop - start) * p, self.columns * p, self.channels)
        inside = strip.first + self.top - start * p
        rows = slice(inside, inside + strip.x.shape[2])
        block[:, rows, self.left : self.left + self.width] = strip.x.permute(0, 2, 3, 1)
        cut = block.view(m, stop - start, p, self.columns, p, self.channels)  # (M, rows, p, columns, p, C)
        self.values[:, start:stop] = cut.permute(0, 1, 3, 2, 4, 5)

    def cropped(self, x: Tensor, start: int, stop: int) -> Strip:
        """The image's part of (M, C, (stop - start) p, columns p), features at some rows of patches."""
        first, last = self.image_rows(start, stop)
        above = first + self.top - start * self.patch
        x = x[:, :, above : above + last - first, self.left : self.left + self.width]
        return Strip(x, first, self.height)

    def gather(self, start: int, stop: int, chosen: Tensor, out: Tensor) -> None:
        """Put chosen patches together as an image, with one row more above and below.

        Parameters
        ----------
        start, stop : which rows of patches of the image to fill.
        chosen : (rows, columns) the patch to put at each place, counted row by row.
        out : (M, (stop - start) p + 2, columns p, C); what lies outside the image becomes zero.
        """
        p, m, count = self.patch, out.shape[0], stop - start
        patches = self.values.view(m, -1, p, p, self.channels)
        places = chosen.to(patches.device)

        def patches_at(row: int, last: int) -> Tensor:
            picked = patches.index_select(1, places[row:last].flatten()).to(self.device)
            return picked.view(m, last - row, self.columns, p, p, self.channels).permute(0, 1, 3, 2, 4, 5)

        body = out[:, 1:-1].unflatten(1, (count, p)).unflatten(3, (self.columns, p))
        body.copy_(patches_at(start, stop))  # (M, rows, p, columns, p, C)
        for row, edge, line in ((start - 1, p - 1, 0), (stop, 0, count * p + 1)):
            if 0 <= row < self.rows:
                only = patches[:, places[row], edge].to(self.device)  # (M, columns, p, C)
                out[:, line] = only.flatten(1, 2)
        above = self.top + 1 - start * p  # rows of `out` that lie above the image
        below = self.top + self.height + 1 - start * p  # the first one under it
        out[:, : max(above, 0)] = 0
        out[:, max(below, 0) :] = 0
        out[:, :, : self.left] = 0
        out[:, :, self.left + self.width :] = 0

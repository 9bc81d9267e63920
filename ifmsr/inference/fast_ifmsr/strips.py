"""Feature maps in strips of rows: what lets a network run in bounded memory and in a CPU's caches.

A `Strip` is a piece of a feature map that knows where it lies. `convolve` and `+` keep track of which rows are valid:
at the image's border zeros are added as in the plain network, inside the image a strip loses the rows whose
neighbours it does not have. So code over strips reads like the plain network and gives the same numbers.

All maps are channels-last in memory.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.precision import onednn_fault


@dataclass(frozen=True)
class Strip:
    """Rows `first` to `first + n` of a feature map with `height` rows: `x` is (M, C, n, W)."""

    x: Tensor
    first: int
    height: int

    @property
    def last(self) -> int:
        """The row after the strip."""
        return self.first + self.x.shape[2]

    def rows(self, first: int, last: int) -> "Strip":
        """The part of it between two rows of the image."""
        return Strip(self.x[:, :, first - self.first : last - self.first], first, self.height)

    def common(self, other: "Strip") -> tuple["Strip", "Strip"]:
        """The rows that both have, of each."""
        first, last = max(self.first, other.first), min(self.last, other.last)
        return self.rows(first, last), other.rows(first, last)

    def __add__(self, other: "Strip") -> "Strip":
        a, b = self.common(other)
        return Strip(a.x + b.x, a.first, a.height)

    def __mul__(self, other: "Strip") -> "Strip":
        a, b = self.common(other)
        return Strip(a.x * b.x, a.first, a.height)

    def relu_(self) -> "Strip":
        """ReLU in place."""
        self.x.relu_()
        return self


@dataclass(frozen=True)
class Filter:
    """A convolution without its module: weight (out, in, k, k), bias (out,) or none."""

    weight: Tensor
    bias: Tensor | None

    @property
    def reach(self) -> int:
        """How many rows and columns it looks to each side."""
        return self.weight.shape[-1] // 2


def conv2d(x: Tensor, kernel: Filter, padding: tuple[int, int]) -> Tensor:
    """A convolution, on CPUs by oneDNN wherever it can: PyTorch's own choice for 1x1 kernels is half as fast."""
    if x.device.type == "cpu" and torch.backends.mkldnn.enabled and not onednn_fault(x.dtype):
        return torch.mkldnn_convolution(x, kernel.weight, kernel.bias, padding, (1, 1), (1, 1), 1)
    return F.conv2d(x, kernel.weight, kernel.bias, padding=padding)


def bordered(strip: Strip, reach: int) -> tuple[Tensor, int, int]:
    """A strip ready for an operation that looks `reach` rows up and down.

    Returns its values, how many rows of zeros the operation must still add on both sides, and the first row of
    the operation's result.
    """
    above = reach if strip.first == 0 else 0
    below = reach if strip.last == strip.height else 0
    first = strip.first + reach - above
    if above == below:
        return strip.x, above, first
    return F.pad(strip.x, (0, 0, above, below)), 0, first


def convolve(strip: Strip, kernel: Filter) -> Strip:
    """Convolution that keeps the image's size; away from the border the strip becomes `reach` rows shorter."""
    x, rows, first = bordered(strip, kernel.reach)
    return Strip(conv2d(x, kernel, (rows, kernel.reach)), first, strip.height)

"""How the low-resolution cube comes from the high-resolution one, as a linear operator with a fast solve."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.errors import InputError


class BlurDecimate:
    """Blur by a sampling kernel and decimation: H, its adjoint H^T, and (H^T H + c I)^-1.

    LR pixel i is the sum over t of ``kernel[t]`` times HR pixel ``scale * i + (scale - k) // 2 + t`` along each
    axis, as in `ifmsr.degradation.sampling.decimate`, but HR pixels beyond a border are those of the opposite
    border. That makes H H^T, an LR image in and out, a circular convolution, so that Fourier transforms of LR
    images are all that `solve` needs (Woodbury):

        (H^T H + c I)^-1 r = (r - H^T (H H^T + c I)^-1 H r) / c

    Parameters
    ----------
    kernel : (k, k) of any sum, k >= scale, k - scale even; its type and device are the operator's.
    scale : decimation.
    size : (H, W) of the HR image, multiples of `scale`; may be smaller than the kernel.

    Raises
    ------
    InputError : kernel, scale and size do not fit together.
    """

    def __init__(self, kernel: Tensor, scale: int, size: tuple[int, int]):
        side = kernel.shape[0]
        if kernel.shape != (side, side) or side < scale or (side - scale) % 2:
            raise InputError(
                "kernel",
                f"its shape is {tuple(kernel.shape)} for scale {scale}",
                f"Give a square kernel of {scale}, {scale + 2}, {scale + 4}, ... taps a side",
            )
        if any(length % scale for length in size):
            raise InputError("size", f"{scale} does not divide {size}", "Crop the image first")
        self.kernel, self.scale, self.size = kernel, scale, size
        margin = (side - scale) // 2
        self._rows, self._columns = (
            torch.arange(-margin, length + margin, device=kernel.device) % length for length in size
        )
        impulse = kernel.new_zeros(1, size[0] // scale, size[1] // scale)
        impulse[0, 0, 0] = 1
        response = self.forward(self.adjoint(impulse))  # symmetric, so its transform is real
        self._spectrum = torch.fft.rfft2(response).real.clamp_min(0)  # of H H^T

    def forward(self, image: Tensor) -> Tensor:
        """H: (C, H, W) -> (C, H / scale, W / scale)."""
        wrapped = image[:, None, self._rows][..., self._columns]
        return F.conv2d(wrapped, self.kernel[None, None], stride=self.scale)[:, 0]

    def adjoint(self, image: Tensor) -> Tensor:
        """H^T: (C, H / scale, W / scale) -> (C, H, W)."""
        wrapped = F.conv_transpose2d(image[:, None], self.kernel[None, None], stride=self.scale)[:, 0]
        height, width = self.size
        rows = wrapped.new_zeros(len(image), height, wrapped.shape[2]).index_add_(1, self._rows, wrapped)
        return rows.new_zeros(len(image), height, width).index_add_(2, self._columns, rows)

    def solve(self, right: Tensor, weights: Tensor) -> Tensor:
        """The image z with H^T H z_i + weights_i z_i = right_i for every channel i.

        Parameters
        ----------
        right : (C, H, W).
        weights : (C,), all above zero.
        """
        weights = weights.view(-1, 1, 1)
        seen = torch.fft.rfft2(self.forward(right)) / (self._spectrum + weights)
        return (right - self.adjoint(torch.fft.irfft2(seen, s=self.lr_size))) / weights

    def minimum_norm(self, lr: Tensor) -> Tensor:
        """H^T (H H^T)^-1: the smallest HR image that gives `lr` (C, h, w), for kernels without spectral zeros."""
        return self.adjoint(torch.fft.irfft2(torch.fft.rfft2(lr) / self._spectrum, s=self.lr_size))

    @property
    def lr_size(self) -> tuple[int, int]:
        """(H / scale, W / scale)."""
        return self.size[0] // self.scale, self.size[1] // self.scale

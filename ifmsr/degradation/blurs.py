"""The sampling kernels that the six competitors' papers and programs assume, for any scale.

A *sampling kernel* is blur and decimation in one: (k, k), sum 1, k >= scale and of the same parity, counted from
the middle of each scale x scale block. LR pixel i is the sum over t of ``kernel[t]`` times high-resolution pixel
``scale * i + (scale - k) // 2 + t``.

Most of these blurs were published for x8 only; other scales keep the kernel and move with the block.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import check_choice

Kernel = NDArray[np.float64]
FIRST_RING, SECOND_RING = 3.8317, 7.0156  # where the Bessel function J1 is zero
UAL_BLURS = ((7, 1.0), (8, 6.0), (9, 4.0), (13, 8.0), (15, 3.0))  # side, standard deviation in HR pixels


def gaussian(side: int, sigma: float) -> Kernel:
    """An isotropic Gaussian about the middle of `side` x `side` taps, sum 1."""
    taps = np.exp(-0.5 * ((np.arange(side) - (side - 1) / 2) / sigma) ** 2)
    kernel = np.outer(taps, taps)
    return kernel / kernel.sum()


def motion_blur(length: int, angle: float) -> Kernel:
    """A straight line of an odd number of pixels through the middle, `angle` (radians) from the rows' direction."""
    line = np.linspace(-(length - 1) / 2, (length - 1) / 2, 8 * length)
    taps = np.arange(length) - (length - 1) / 2
    near_x = np.clip(1 - np.abs(line[:, None] * np.cos(angle) - taps), 0, None)  # (points, k), bilinear
    near_y = np.clip(1 - np.abs(line[:, None] * np.sin(angle) - taps), 0, None)
    kernel = near_y.T @ near_x
    return kernel / kernel.sum()


def airy_disc(radius: float) -> Kernel:
    """The blur of a perfect round lens, its first dark ring at `radius` pixels, cut off at the second one."""
    from scipy.special import j1

    reach = int(np.ceil(SECOND_RING / FIRST_RING * radius))
    offsets = np.arange(-reach, reach + 1)
    distance = np.hypot(offsets[:, None], offsets) * FIRST_RING / radius
    distance[reach, reach] = 1  # its value there is the limit, set below
    kernel = (2 * j1(distance) / distance) ** 2
    kernel[reach, reach] = 1
    kernel[distance > SECOND_RING] = 0
    return kernel / kernel.sum()


def embed(taps: Kernel, first: int, scale: int) -> Kernel:
    """The sampling kernel of square `taps` whose first one reads high-resolution pixel ``scale * i + first``.

    Examples
    --------
    >>> embed(np.ones((1, 1)), first=0, scale=2)  # keeps the top left pixel of each 2 x 2 block
    array([[1., 0.],
           [0., 0.]])
    """
    reach = max(0, -first, first + len(taps) - scale)  # beyond the block, on the farther side
    kernel = np.zeros((scale + 2 * reach,) * 2)
    start = first + reach
    kernel[start : start + len(taps), start : start + len(taps)] = taps
    return kernel


def ual_blur(scale: int, rng: np.random.Generator) -> Kernel:
    """One of the five Gaussians of UAL's training; odd ones lie on the block's first pixel, even ones in its middle.

    The program's generator halves the coordinates, so its widths 0.5 to 4 are 1 to 8 pixels.
    """
    side, sigma = UAL_BLURS[rng.integers(len(UAL_BLURS))]
    first = -(side // 2) if side % 2 else scale // 2 - side // 2
    return embed(gaussian(side, sigma), first, scale)


def _lttr(scale: int) -> Kernel:
    return embed(gaussian(7, 2.0), -3, scale)


def _box(scale: int) -> Kernel:
    return np.full((scale, scale), 1 / scale**2)


def _pzres_net(scale: int) -> Kernel:
    return embed(gaussian(7, 2.0), (scale - 1) // 2 - 3, scale)


def _mog_dcn(scale: int) -> Kernel:
    return embed(gaussian(8, 2.0), scale // 2 - 3, scale)


ASSUMED: dict[str, Callable[[int], Kernel]] = {
    "lttr": _lttr,
    "cms": _box,
    "pzres-net": _pzres_net,
    "mhf-net": _box,
    "mog-dcn": _mog_dcn,
}


def assumed_blur(name: str, scale: int) -> Kernel:
    """The sampling kernel of one competitor.

    ``lttr``
        Gaussian 7 x 7, standard deviation 2, about the first pixel of each block.
    ``cms``
        mean of the block.
    ``pzres-net``
        Gaussian 7 x 7, standard deviation 2, about the pixel before the block's middle.
    ``mhf-net``
        mean of the block: the program's kernel covers one block too, but its taps are in a file that is not
        public.
    ``mog-dcn``
        Gaussian 8 x 8, standard deviation 2, one pixel past the block's middle.

    Raises InputError for another name.
    """
    check_choice("blur", name, tuple(ASSUMED))
    return ASSUMED[name](scale)

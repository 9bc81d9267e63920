"""From a Scene to an Observation: blur, down-sampling and noise (paper, section IV).

The kernels come in two alignments, and which one is used changes results by several dB, so it is an
argument everywhere and is never guessed:

``released``
    as the authors' program makes them. The centre of an anisotropic kernel lies at
    ``side // 2 + (scale - side % 2) / 2`` instead of the middle, which moves the LR image by about
    1.33 px (x4) and 2.95 px (x8) along both axes; isotropic kernels are centred on the corner (0, 0).
``centred``
    the same Gaussians about the middle tap, an easier task.

Besides the paper's two draws, ``train`` and ``test``, every competitor's published degradation is a preset under
its name; those are noise-free and know no alignment.
"""

import zlib
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ifmsr.degradation.blurs import ASSUMED, assumed_blur, embed, ual_blur
from ifmsr.errors import InputError, check_choice, whole
from ifmsr.scenes.scene import Array, Observation, Scene

Alignment = Literal["released", "centred"]
Mode = Literal["bicubic", "bilinear", "strided", "block"]
Preset = Literal["test", "train", "lttr", "cms", "pzres-net", "mhf-net", "mog-dcn", "ual"]

TRAIN_MODES: tuple[Mode, ...] = ("bicubic", "bilinear", "strided")
CONVOLVED: tuple[Mode, ...] = ("strided", "block")  # blur and decimation in one strided convolution

TRAIN_SIDES = (7, 9, 13, 15, 21)
TEST_SIDE = 13
TEST_NOISE = 3 / 255


def gaussian_kernel(
    side: int,
    scale: int,
    sigma: float | None = None,
    lambda1: float | None = None,
    lambda2: float | None = None,
    theta: float = 0.0,
    alignment: Alignment = "released",
) -> NDArray[np.float64]:
    """A blur kernel of shape (side, side) that sums to 1.

    Give `sigma` (pixels) for an isotropic kernel, or `lambda1` and `lambda2` (eigenvalues of the
    covariance, pixels squared) and `theta` (radians) for an anisotropic one:
    ``exp(-z^T C^-1 z / 2)``, ``C = Q diag(lambda1, lambda2) Q^T``, Q the rotation by theta, and
    z = (x, y) counted from the centre with x along the columns.

    Raises
    ------
    InputError : neither or both kinds of width are given, a width is not positive, or `alignment` is
        unknown.

    Examples
    --------
    >>> gaussian_kernel(13, scale=4, lambda1=2.5, lambda2=10.0, theta=0.7).shape
    (13, 13)
    >>> gaussian_kernel(9, scale=4, sigma=1.3, alignment="centred").argmax()  # tap (4, 4)
    np.int64(40)
    """
    check_choice("alignment", alignment, get_args(Alignment))
    isotropic = sigma is not None
    if isotropic == (lambda1 is not None or lambda2 is not None) or (lambda1 is None) != (lambda2 is None):
        raise InputError("kernel width", "neither or both kinds given", "Give sigma, or lambda1 and lambda2")
    widths = [width for width in (sigma, lambda1, lambda2) if width is not None]
    if not all(width > 0 for width in widths):
        raise InputError("kernel width", f"found {widths}", "Give widths above zero")
    if side < 1 or scale < 1:
        raise InputError("kernel", f"side {side}, scale {scale}", "Give whole numbers of at least 1")

    middle, released = (side - 1) / 2, 0.0 if isotropic else side // 2 + 0.5 * (scale - side % 2)
    centre = middle if alignment == "centred" else released
    offsets = np.arange(side) - centre
    x, y = np.meshgrid(offsets, offsets)
    if sigma is not None:
        squares = (x**2 + y**2) / sigma**2
    else:
        along, across = np.cos(theta) * x + np.sin(theta) * y, np.cos(theta) * y - np.sin(theta) * x
        squares = along**2 / lambda1 + across**2 / lambda2
    kernel = np.exp(-0.5 * (squares - squares.min()))
    return kernel / kernel.sum()


def blur_downsample(cube: Array, kernel: NDArray[np.float64], scale: int, mode: Mode = "bicubic") -> Array:
    """Blur every band with `kernel` and keep one pixel in `scale`; no noise.

    Parameters
    ----------
    cube : (B, H, W), H and W multiples of `scale`.
    kernel : (k, k), applied as a correlation (not flipped), k odd.
    mode : ``"bicubic"`` and ``"bilinear"`` blur with a symmetric border (d c b a | a b c d), then
        interpolate without anti-aliasing (align_corners False, bicubic a = -0.75); ``"strided"`` is one
        convolution with stride `scale` and a replicated border; ``"block"`` likewise, with a sampling kernel
        counted from the block's middle (see `ifmsr.degradation.blurs`).

    Returns
    -------
    (B, H / scale, W / scale) float32, not clipped.

    Raises
    ------
    InputError : the size is no multiple of `scale`, `mode` is unknown, or the kernel is not square, or its side
        is even ("block": smaller than `scale` or of another parity).
    """
    check_choice("mode", mode, get_args(Mode))
    scale = whole("scale", scale, least=1)
    cube, kernel = np.asarray(cube, np.float32), np.asarray(kernel)
    if cube.ndim != 3 or any(side % scale for side in cube.shape[1:]):
        raise InputError(
            "cube",
            f"its shape is {cube.shape}, and scale {scale} does not divide its height and width",
            "Crop it first, for example with Scene.crop_to_multiple(scale)",
        )
    inner = scale if mode == "block" else 1  # the side that a kernel without reach would have
    reach, odd = divmod(kernel.shape[0] - inner, 2)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or odd or reach < 0:
        rule = "an odd side" if inner == 1 else f"a side of {scale}, {scale + 2}, {scale + 4}, ..."
        raise InputError("kernel", f"its shape is {kernel.shape}", f"Give a square kernel with {rule}")

    padded = np.pad(cube, ((0, 0), (reach, reach), (reach, reach)), mode=border(mode))
    weight = torch.from_numpy(kernel.astype(np.float32))[None, None]
    stride = scale if mode in CONVOLVED else 1
    blurred = F.conv2d(torch.from_numpy(padded)[:, None], weight, stride=stride)  # (B, 1, ., .)
    if mode not in CONVOLVED:
        blurred = interpolate(blurred, scale, mode)
    return blurred[:, 0].numpy()


def border(mode: Mode) -> Literal["edge", "symmetric"]:
    """How a down-sampler's blur goes on past the border, as `numpy.pad` calls it."""
    return "edge" if mode in CONVOLVED else "symmetric"


def interpolate(blurred: Tensor, scale: int, mode: Mode) -> Tensor:
    """(N, C, H, W) -> (N, C, H / scale, W / scale), ``"bicubic"`` or ``"bilinear"``."""
    return F.interpolate(
        blurred, scale_factor=1 / scale, mode=mode, align_corners=False, recompute_scale_factor=True
    )


@dataclass(frozen=True)
class Degradation:
    """A random degradation of the protocol: everything that turns a cube into its LR version.

    `kernel` is (k, k) and sums to 1, `mode` names the down-sampler, `sigma` is the noise's standard
    deviation on the [0, 1] scale, `noise_seed` makes the noise repeatable.
    """

    kernel: NDArray[np.float64]
    mode: Mode
    sigma: float
    noise_seed: tuple[int, ...]

    def __call__(self, cube: Array, scale: int) -> Array:
        """(B, H, W) -> (B, H / scale, W / scale): blur, down-sample, add noise, clip to [0, 1]."""
        lr = blur_downsample(cube, self.kernel, scale, self.mode)
        if self.sigma > 0:
            lr = lr + self.noise(lr.shape)
        return lr.clip(0, 1)

    def noise(self, shape: tuple[int, ...]) -> Array:
        """The noise added to an LR cube of this shape, the same at every call."""
        return (self.sigma * np.random.default_rng(self.noise_seed).standard_normal(shape)).astype(np.float32)

    def first_tap(self, scale: int) -> int:
        """The kernel's first tap, counted from the high-resolution pixel that it is about (of a block, its first)."""
        return -((len(self.kernel) - (scale if self.mode == "block" else 1)) // 2)

    def sampling_kernel(self, scale: int) -> NDArray[np.float64]:
        """Blur and down-sampler in one, exact away from the border; see `ifmsr.degradation.blurs` for its convention.

        That of the test degradation is 16 x 16 at even scales.
        """
        from scipy.signal import convolve2d

        if self.mode == "block":
            return self.kernel
        taps, first = _interpolation(self.mode, scale)
        both = convolve2d(self.kernel, np.outer(taps, taps))
        return embed(both, first - self.kernel.shape[0] // 2, scale)


def _interpolation(mode: Mode, scale: int) -> tuple[list[float], int]:
    """The taps of a down-sampler along one axis, and the position of the first one in its block."""
    if mode == "strided":
        return [1.0], 0
    if scale % 2:
        return [1.0], scale // 2
    if mode == "bilinear":
        return [0.5, 0.5], scale // 2 - 1
    return [-0.09375, 0.59375, 0.59375, -0.09375], scale // 2 - 2


def draw_degradation(
    scale: int,
    preset: Preset = "test",
    seed: int | tuple[int, ...] = 0,
    alignment: Alignment = "released",
) -> Degradation:
    """A random degradation of the paper's protocol; the same arguments give the same one everywhere.

    ``test``: side 13, eigenvalues U(2, 5) and U(8, 12), angle U(0, pi), bicubic, noise 3/255.
    ``train``: side from {7, 9, 13, 15, 21}; isotropic with width U(0.2, scale) or anisotropic with both
    eigenvalues U(0.2, scale), half and half; one of the three down-samplers; no noise with probability
    0.2, else n/255 with n from {1, 2, 3, 4}.
    A competitor's name: its published blur (`ifmsr.degradation.blurs`), no noise; only UAL's is drawn at random.

    Raises InputError for an unknown `preset` or `alignment`, or a `seed` that is no whole number from 0 on.
    """
    check_choice("preset", preset, get_args(Preset))
    check_choice("alignment", alignment, get_args(Alignment))
    scale = whole("scale", scale, least=1)
    words = tuple(whole("seed", word, least=0) for word in (seed if isinstance(seed, tuple) else (seed,)))
    rng = np.random.default_rng(words)
    if preset == "test":
        lambda1, lambda2, theta = rng.uniform(2, 5), rng.uniform(8, 12), rng.uniform(0, np.pi)
        kernel = gaussian_kernel(
            TEST_SIDE, scale, lambda1=lambda1, lambda2=lambda2, theta=theta, alignment=alignment
        )
        return Degradation(kernel, "bicubic", TEST_NOISE, (*words, 1))
    if preset in ASSUMED:
        return Degradation(assumed_blur(preset, scale), "block", 0.0, (*words, 1))
    if preset == "ual":
        return Degradation(ual_blur(scale, rng), "block", 0.0, (*words, 1))

    side = int(rng.choice(TRAIN_SIDES))
    if rng.random() < 0.5:
        kernel = gaussian_kernel(side, scale, sigma=rng.uniform(0.2, scale), alignment=alignment)
    else:
        lambda1, lambda2 = rng.uniform(0.2, scale, size=2)
        theta = rng.uniform(0, np.pi)
        kernel = gaussian_kernel(
            side, scale, lambda1=lambda1, lambda2=lambda2, theta=theta, alignment=alignment
        )
    mode = TRAIN_MODES[rng.integers(3)]
    sigma = 0.0 if rng.random() < 0.2 else int(rng.integers(1, 5)) / 255
    return Degradation(kernel, mode, sigma, (*words, 1))


def scene_seed(scene: Scene, seed: int) -> tuple[int, int]:
    """The seed of one scene's degradation: scenes differ under one `seed`, in whatever order they come."""
    return zlib.crc32(scene.name.encode()), seed


def degrade(
    scene: Scene,
    scale: int = 4,
    preset: Preset = "test",
    seed: int = 0,
    alignment: Alignment = "released",
) -> Observation:
    """The observation of a scene: a blurred, noisy LR cube and a clean RGB image.

    The degradation depends on the scene's name, `scale`, `preset`, `seed` and `alignment` only. It is
    ``draw_degradation(scale, preset, scene_seed(scene, seed), alignment)``.

    Raises
    ------
    InputError : the scene's size is no multiple of `scale`, it has neither a response nor RGB bands, or an
        argument is unknown.
    """
    degradation = draw_degradation(scale, preset, scene_seed(scene, seed), alignment)
    return Observation(degradation(scene.cube, scale), scene.rgb(), scale, scene.srf)

"""The five metrics of the paper's Table IV: PSNR, SSIM, SAM, ERGAS and RMSE.

Each function takes the truth and the prediction as (B, H, W) floating-point NumPy arrays or torch tensors with peak
value 1, on any device, and returns a Python float. Metrics are computed in float64, tile by tile, on the GPU if either
cube is there; the inputs are not changed.

====================  ========  ============================================================================
function              better    convention
====================  ========  ============================================================================
``psnr``              higher    dB, one mean squared error over the whole cube, peak 1; inf for equal cubes
``ssim``              higher    per band, 11 x 11 Gaussian window of sigma 1.5, 'valid', K1 = 0.01,
                                K2 = 0.03, L = 1, population covariance; mean over bands
``sam``               lower     degrees, mean over all pixels; exact zeros count as 2.2e-16
``ergas``             lower     100 / scale * sqrt(mean over bands of mse_b / mean(truth_b) ** 2)
``rmse``              lower     square root of the mean squared error over the whole cube
``evaluate``                    all five by the paper's protocol: the prediction is clipped to [0, 1] first
``psnr_band_mean``    higher    not in the paper: mean over bands of each band's PSNR
``sam_bright``        lower     not in the paper: SAM over the pixels that are not nearly black in the truth
====================  ========  ============================================================================

Source: paper, section IV (protocol); the constants are those of the authors' released program. Only
`evaluate` clips. All raise InputError, naming the argument, for cubes that are not (B, H, W) floating-point,
differ in shape, are empty, or contain NaN or infinite values.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ifmsr.errors import InputError

Cube = NDArray[np.floating[Any]] | Tensor

VALUES_A_TILE = {
    "cpu": 2**15,  # fits into the cache; torch does not parallelise smaller operations
    "cuda": 2**22,  # 32 MB of float64
}
ALL_BANDS = slice(None)
SAM_ZERO = 2.2e-16
SSIM_SIDE, SSIM_SIGMA = 11, 1.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


def psnr(truth: Cube, pred: Cube) -> float:
    """Peak signal-to-noise ratio of the whole cube in dB, peak 1: 10 log10(1 / mse); inf for equal cubes."""
    return _decibel(_mse_of_bands(_Pair.of(truth, pred)).mean().item())


def ssim(truth: Cube, pred: Cube) -> float:
    """Structural similarity, mean over bands, at most 1.

    Raises InputError also for images smaller than the 11 x 11 window.
    """
    return _ssim(_Pair.of(truth, pred))


def sam(truth: Cube, pred: Cube) -> float:
    """Spectral angle in degrees, mean over all pixels; exactly 0 for equal cubes."""
    return _sam(_Pair.of(truth, pred))


def ergas(truth: Cube, pred: Cube, scale: float) -> float:
    """Relative global error (ERGAS, without unit); `scale` is the ratio r of high to low resolution.

    Bands whose truth has mean 0 have no relative error and are omitted. If all bands are omitted, the result is 0 for
    equal cubes and inf otherwise; it is never NaN. Raises InputError for `scale` <= 0.
    """
    pair = _Pair.of(truth, pred)
    return _ergas(pair, _mse_of_bands(pair), scale)


def rmse(truth: Cube, pred: Cube) -> float:
    """Root mean squared error over the whole cube, in the unit of the cube."""
    return math.sqrt(_mse_of_bands(_Pair.of(truth, pred)).mean().item())


def evaluate(truth: Cube, pred: Cube, scale: float) -> dict[str, float]:
    """The paper's protocol: clip `pred` to [0, 1], then PSNR, SSIM, SAM, ERGAS and RMSE under those names."""
    pair = _Pair.of(truth, pred, clip=True)
    mse = _mse_of_bands(pair)
    return {
        "PSNR": _decibel(mse.mean().item()),
        "SSIM": _ssim(pair),
        "SAM": _sam(pair),
        "ERGAS": _ergas(pair, mse, scale),
        "RMSE": math.sqrt(mse.mean().item()),
    }


def psnr_band_mean(truth: Cube, pred: Cube) -> float:
    """Mean over bands of each band's PSNR in dB, peak 1; inf if one band is equal.

    Many papers report this metric. It is at least `psnr`; the difference grows with the spread of the bands' errors.
    """
    mse = _mse_of_bands(_Pair.of(truth, pred))
    return sum(map(_decibel, mse.tolist())) / len(mse)


def sam_bright(truth: Cube, pred: Cube, threshold: float = 0.05) -> float:
    """Spectral angle in degrees, mean over the pixels whose true spectrum has a mean above `threshold`.

    The angle of nearly black pixels is dominated by noise. Raises InputError if no pixel exceeds the threshold.
    """
    pair = _Pair.of(truth, pred)
    total, count = 0.0, 0
    for true, predicted in pair.tiles():
        bright = true.mean(dim=0) > threshold
        total += _angles(true, predicted)[bright].sum().item()
        count += int(bright.sum())
    if count == 0:
        raise InputError("truth", f"no pixel's mean exceeds {threshold}", "Lower the threshold, or use sam")
    return math.degrees(total / count)


def _decibel(mse: float) -> float:
    return 10 * math.log10(1 / mse) if mse > 0 else math.inf


def _mse_of_bands(pair: "_Pair") -> Tensor:
    """(B,) float64."""
    total = torch.zeros(pair.bands, dtype=torch.float64, device=pair.device)
    for true, predicted in pair.tiles():
        total += (true - predicted).square_().sum(dim=(1, 2))
    return total / (pair.height * pair.width)


def _ergas(pair: "_Pair", mse: Tensor, scale: float) -> float:
    if not (math.isfinite(scale) and scale > 0):
        raise InputError("scale", f"found {scale}", "Give the ratio of resolutions, such as 4 or 8")
    total = torch.zeros_like(mse)
    for true, _ in pair.tiles():
        total += true.sum(dim=(1, 2))
    mean = total / (pair.height * pair.width)
    seen = mean != 0
    if not seen.any():
        return math.inf if mse.any() else 0.0
    relative = mse[seen].sqrt() / mean[seen]
    return 100 / scale * math.sqrt(relative.square().mean().item())


def _sam(pair: "_Pair") -> float:
    total = sum(_angles(true, predicted).sum().item() for true, predicted in pair.tiles())
    return math.degrees(total / (pair.height * pair.width))


def _angles(true: Tensor, predicted: Tensor) -> Tensor:
    """(B, h, W) twice -> (h, W) radians. Exact for small angles, where the arc cosine is not."""
    u, v = _directions(true), _directions(predicted)
    return 2 * torch.atan2((u - v).norm(dim=0), (u + v).norm(dim=0))


def _directions(spectra: Tensor) -> Tensor:
    """(B, h, W) -> the same, with the spectrum of each pixel normalised to length 1."""
    spectra = torch.where(spectra == 0, SAM_ZERO, spectra)
    spectra = spectra / spectra.abs().amax(dim=0)  # avoids underflow of the squares
    return spectra / spectra.norm(dim=0)


def _ssim(pair: "_Pair") -> float:
    if min(pair.height, pair.width) < SSIM_SIDE:
        raise InputError(
            "truth",
            f"{pair.height} x {pair.width} pixels are less than SSIM's window",
            f"Give images of at least {SSIM_SIDE} x {SSIM_SIDE}",
        )
    offsets = np.arange(SSIM_SIDE) - SSIM_SIDE // 2
    weights = np.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    window = (weights / weights.sum()).tolist()
    total = 0.0
    for band in range(pair.bands):
        for true, predicted in pair.tiles(slice(band, band + 1), overlap=SSIM_SIDE - 1):
            total += _ssim_map(true, predicted, window).sum().item()
    inner = (pair.height - SSIM_SIDE + 1) * (pair.width - SSIM_SIDE + 1)
    return total / (pair.bands * inner)


def _ssim_map(x: Tensor, y: Tensor, window: list[float]) -> Tensor:
    """(B, h, W) twice -> (B, h - 10, W - 10): SSIM of each band where the whole window is inside."""
    mean_x, mean_y = _blur(x, window), _blur(y, window)
    variances = _blur(x * x + y * y, window) - mean_x**2 - mean_y**2
    covariance = _blur(x * y, window) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    return luminance * (2 * covariance + SSIM_C2) / (variances + SSIM_C2)


def _blur(images: Tensor, window: list[float]) -> Tensor:
    """Weighted mean under the separable window, 'valid'."""
    for axis in (-2, -1):
        size = images.shape[axis] - len(window) + 1
        images, unblurred = torch.zeros_like(images.narrow(axis, 0, size)), images
        for offset, weight in enumerate(window):
            images.add_(unblurred.narrow(axis, offset, size), alpha=weight)
    return images


@dataclass(frozen=True)
class _Pair:
    """Two checked cubes, read as float64 tiles."""

    truth: Cube
    pred: Cube
    device: torch.device
    clip: bool

    @classmethod
    def of(cls, truth: Cube, pred: Cube, clip: bool = False) -> "_Pair":
        _check("truth", truth)
        _check("pred", pred)
        if truth.shape != pred.shape:
            raise InputError(
                "pred",
                f"its shape is {tuple(pred.shape)}, but truth is {tuple(truth.shape)}",
                "Crop both to the same bands, rows and columns",
            )
        devices = [cube.device for cube in (truth, pred) if isinstance(cube, Tensor)]
        gpu = [device for device in devices if device.type == "cuda"]
        return cls(truth, pred, gpu[0] if gpu else torch.device("cpu"), clip)

    @property
    def bands(self) -> int:
        return self.truth.shape[0]

    @property
    def height(self) -> int:
        return self.truth.shape[1]

    @property
    def width(self) -> int:
        return self.truth.shape[2]

    def tiles(self, bands: slice = ALL_BANDS, overlap: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Tiles (b, h, w) of truth and prediction that cover the image, neighbours sharing `overlap` pixels."""
        values = VALUES_A_TILE[self.device.type]
        step = max(1, math.isqrt(values // len(range(self.bands)[bands])) - overlap)
        for top in range(0, self.height - overlap, step):
            for left in range(0, self.width - overlap, step):
                part = bands, slice(top, top + step + overlap), slice(left, left + step + overlap)
                true = _float64("truth", self.truth[part], self.device)
                predicted = _float64("pred", self.pred[part], self.device)
                yield true, predicted.clamp(0, 1) if self.clip else predicted


def _check(where: str, cube: Cube) -> None:
    if isinstance(cube, Tensor):
        floating = cube.is_floating_point()
    elif isinstance(cube, np.ndarray):
        floating = np.issubdtype(cube.dtype, np.floating)
    else:
        raise InputError(where, f"found a {type(cube).__name__}", "Give a NumPy array or a torch tensor")
    if not floating:
        raise InputError(where, f"its values are {cube.dtype}", "Scale them to [0, 1] as floats")
    if cube.ndim != 3 or 0 in cube.shape:
        raise InputError(where, f"its shape is {tuple(cube.shape)}", "Give one cube (bands, height, width)")


def _float64(where: str, part: Cube, device: torch.device) -> Tensor:
    if isinstance(part, Tensor):
        values = part.detach().to(device, torch.float64).contiguous()
    else:
        values = torch.from_numpy(np.array(part, dtype=np.float64, order="C")).to(device)
    if not values.isfinite().all():
        raise InputError(where, "it holds NaN or infinite values", "Find out where they come from")
    return values

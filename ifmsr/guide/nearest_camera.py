"""The measured camera whose spectral response explains a guide best."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ifmsr.degradation.pair import as_pair
from ifmsr.degradation.sampling import decimate
from ifmsr.errors import InputError
from ifmsr.scenes.cameras import camera_names, camera_response
from ifmsr.scenes.scene import Observation

FEWEST_BANDS = 6  # between `BLUE` and `RED`, for a comparison of responses that overlap
BLUE, RED = 420.0, 680.0  # nm, where all cameras see
LEAST_NOISE = 1e-6  # for cubes without noise


@dataclass(frozen=True)
class Camera:
    """A measured camera, and how well it explains a guide.

    Attributes
    ----------
    name : one of `ifmsr.scenes.cameras.camera_names`.
    misfit : mean square difference between the guide and what the camera would see of the cube, each channel scaled to
        fit best, in units of what the LR noise explains: 1 to 2 for the camera that took the guide.
    """

    name: str
    misfit: float


def nearest_camera(
    observation: Observation, kernel: Tensor, lr_noise: float, wavelengths: NDArray[np.float64]
) -> Camera | None:
    """The camera with the smallest misfit to a pair of images, or None if the cube has too few visible bands.

    Parameters
    ----------
    observation : the pair, its guide linearised.
    kernel : (k, k) the estimated sampling kernel.
    lr_noise : standard deviation of the cube's noise.
    wavelengths : (B,) band centres of the cube in nm.

    Raises
    ------
    InputError : the number of wavelengths is not that of the cube's bands.
    """
    if len(wavelengths) != len(observation.lr):
        found = f"{len(wavelengths)} wavelengths for {len(observation.lr)} bands"
        raise InputError("wavelengths", found, "Give one band centre in nm per band")
    if ((wavelengths >= BLUE) & (wavelengths <= RED)).sum() < FEWEST_BANDS:
        return None
    usable = as_pair(observation).usable(kernel)
    spectra = torch.from_numpy(observation.lr)[:, usable].double()  # (B, n)
    guide = decimate(torch.from_numpy(observation.rgb), kernel, observation.scale)[
        :, usable
    ].double()  # (3, n)
    noise = max(lr_noise, LEAST_NOISE)

    def misfit(name: str) -> float:
        response = torch.from_numpy(camera_response(name, wavelengths)).double()
        seen = response @ spectra
        response = response * ((seen * guide).sum(1) / seen.square().sum(1))[:, None]
        left = (response @ spectra - guide).square().mean()
        return float(left / (noise**2 * response.square().sum(1).mean()))

    return min((Camera(name, misfit(name)) for name in camera_names()), key=lambda camera: camera.misfit)

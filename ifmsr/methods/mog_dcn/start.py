"""What training scenes tell MoG-DCN before its first step (`MoGDCN.start_from`): three linear maps of spectra."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ifmsr.degradation.protocol import TEST_NOISE
from ifmsr.methods.base import check_bands
from ifmsr.scenes.scene import Scene


@dataclass(frozen=True)
class SpectralMaps:
    """Maps between spectra (B,) and colours (3,).

    Attributes
    ----------
    colours : (3, B) from spectra to colours, by least squares.
    lift : (B, 3) from the colours' details to the spectra's, details being what the mean of r x r pixels loses.
    noise : (B, K) orthonormal directions in which the spectra are smaller (root mean square) than the test
        degradation's noise; the weakest `at_most` of them.
    """

    colours: NDArray[np.floating]
    lift: NDArray[np.floating]
    noise: NDArray[np.floating]


def spectral_maps(scenes: Sequence[Scene], bands: int, scale: int, at_most: int) -> SpectralMaps:
    """Learn them. Raises InputError if a scene has another number of bands, or no colour image."""
    gram, cross, details = np.zeros((bands, bands)), np.zeros((bands, 3)), np.zeros((bands, bands))
    pixels = 0
    for scene in scenes:
        check_bands(scene, bands)
        cube = torch.from_numpy(scene.crop_to_multiple(scale).cube)[None]
        mean = F.interpolate(F.avg_pool2d(cube, scale), scale_factor=scale, mode="bicubic")
        x, y, d = (
            image.reshape(len(image), -1).astype(np.float64)
            for image in (scene.cube, scene.rgb(), (cube - mean)[0].numpy())
        )
        gram, cross, details = gram + x @ x.T, cross + x @ y.T, details + d @ d.T
        pixels += x.shape[1]
    colours = np.linalg.lstsq(gram, cross)[0].T
    lift = np.linalg.lstsq(colours @ details @ colours.T, colours @ details)[0].T
    powers, directions = np.linalg.eigh(gram / pixels)  # the weakest first
    return SpectralMaps(colours, lift, directions[:, powers < TEST_NOISE**2][:, :at_most])

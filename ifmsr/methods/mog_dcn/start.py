"""Initialisation of MoG-DCN from training scenes (`MoGDCN.start_from`): three linear maps of spectra."""

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
    """Linear maps between spectra (B,) and RGB values (3,).

    Attributes
    ----------
    to_rgb : (3, B) least-squares map from spectra to RGB values.
    detail_to_hsi : (B, 3) least-squares map from the detail of the RGB values to that of the spectra. Detail is the
        difference between an image and its upsampled r x r mean.
    noise : (B, K) orthonormal spectral directions with a root mean square below the noise of the test degradation; at
        most `at_most`, the weakest ones.
    """

    to_rgb: NDArray[np.floating]
    detail_to_hsi: NDArray[np.floating]
    noise: NDArray[np.floating]


def spectral_maps(scenes: Sequence[Scene], bands: int, scale: int, at_most: int) -> SpectralMaps:
    """Fit the maps to training scenes. Raises InputError if a scene has another number of bands, or no RGB image."""
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
    to_rgb = np.linalg.lstsq(gram, cross)[0].T
    detail_to_hsi = np.linalg.lstsq(to_rgb @ details @ to_rgb.T, to_rgb @ details)[0].T
    powers, directions = np.linalg.eigh(gram / pixels)  # the weakest first
    return SpectralMaps(to_rgb, detail_to_hsi, directions[:, powers < TEST_NOISE**2][:, :at_most])

"""Bicubic interpolation, the baseline of all guided methods."""

import torch
import torch.nn.functional as F

from ifmsr.scenes.scene import Array, Observation


class Bicubic:
    """Bicubic interpolation of each band (align_corners False, a = -0.75); the RGB guide is not used."""

    title = "Bicubic"
    schedule = ""

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w) -> (B, H, W), clipped to [0, 1]."""
        lr = torch.from_numpy(observation.lr)[None]
        sr = F.interpolate(lr, scale_factor=observation.scale, mode="bicubic", align_corners=False)
        return sr[0].clamp(0, 1).numpy()

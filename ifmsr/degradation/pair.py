"""The two images of an observation made ready for estimation: one unit, and a list of the pixels that count."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.defects import defective, inpainted, repaired
from ifmsr.degradation.kernels import gaussians, kernel_side
from ifmsr.degradation.sampling import decimate
from ifmsr.devices import CPU, computing_on, here
from ifmsr.scenes.scene import Observation

CLIPPED = 0.1  # of the bands: where more are at 0, noise is clipped
UNCLIPPED = 4  # pixels per band that suffice without the clipped ones
COVERED = 0.98  # of a kernel's weight on valid pixels of the guide, where an LR pixel may be compared with it


class Pair(NamedTuple):
    """One observation, the largest value of the cube and of each channel of the guide 1, whatever the units were.

    Attributes
    ----------
    lr : (B, h, w) without defects; invalid pixels hold a smooth continuation of the valid ones.
    rgb : (3, H, W) likewise.
    scale : the whole number r.
    srf : (3, B) for the pair's units, or None.
    lr_valid, rgb_valid : (h, w) and (H, W) bool.
    lr_unit, rgb_unit : what 1 is in the observation's unit, a number and (3,).
    """

    lr: Tensor
    rgb: Tensor
    scale: int
    srf: Tensor | None
    lr_valid: Tensor
    rgb_valid: Tensor
    lr_unit: float
    rgb_unit: Tensor

    def usable(self, kernel: Tensor) -> Tensor:
        """(h, w) bool: valid LR pixels whose footprint under `kernel` is valid in the guide."""
        if self.rgb_valid.all():
            return self.lr_valid
        return self.lr_valid & (decimate(self.rgb_valid[None].float(), kernel, self.scale)[0] > COVERED)

    def measured(self, usable: Tensor) -> Tensor:
        """(h, w) bool: those of the `usable` LR pixels whose noise is not clipped at 0, or all if these are too few.

        Clipped noise has a mean above 0 and a smaller variance.
        """
        unclipped = usable & ((self.lr <= 0).float().mean(0) <= CLIPPED)
        return unclipped if int(unclipped.sum()) >= UNCLIPPED * len(self.lr) else usable

    @property
    def usable_by_any(self) -> Tensor:
        """Likewise before a kernel is known: a Gaussian about the middle, as wide as a block."""
        width = float(np.log(self.scale / 2))
        return self.usable(gaussians(torch.tensor([[0, 0, width, width, 0]]), kernel_side(self.scale))[0])


def as_pair(observation: Observation, units: tuple[float, Tensor] | None = None) -> Pair:
    """The mended observation, the cube and each channel of the guide divided by their `units`: their largest values."""
    with computing_on(CPU):
        mended = mend(observation)
    lr, rgb = here((torch.from_numpy(mended.lr), torch.from_numpy(mended.rgb)))
    lr_unit, rgb_unit = units or (float(lr.max()) or 1.0, rgb.amax((1, 2)))
    rgb_unit = torch.where(rgb_unit > 0, rgb_unit, 1.0)
    srf = None if mended.srf is None else here(torch.from_numpy(mended.srf)) * (lr_unit / rgb_unit)[:, None]
    return Pair(
        lr / lr_unit,
        rgb / rgb_unit[:, None, None],
        mended.scale,
        srf,
        as_mask(mended.lr_valid, lr),
        as_mask(mended.rgb_valid, rgb),
        lr_unit,
        rgb_unit,
    )


def mend(observation: Observation) -> Observation:
    """The observation without defects of the LR cube, its invalid pixels filled with a smooth continuation.

    Defective values of single bands are replaced by what the pixel's other bands suggest; pixels without any spectrum
    become invalid, and those of the guide that are black there, too.
    """
    lr, rgb, scale = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb), observation.scale
    lr_valid, rgb_valid = as_mask(observation.lr_valid, lr), as_mask(observation.rgb_valid, rgb)
    bad = defective(lr, F.avg_pool2d(rgb, scale))
    if bad.any():
        missing = bad.all(0)
        lr = repaired(lr, bad | ~lr_valid)
        outside = F.interpolate(missing[None, None].float(), scale_factor=scale)[0, 0] > 0
        lr_valid, rgb_valid = lr_valid & ~missing, rgb_valid & ~(outside & (rgb == 0).all(0))
    elif lr_valid.all() and rgb_valid.all():
        return observation
    return replace(
        observation,
        lr=filled(lr, lr_valid).clamp(0, 1).numpy(),
        rgb=filled(rgb, rgb_valid).numpy(),
        lr_valid=lr_valid.numpy(),
        rgb_valid=rgb_valid.numpy(),
    )


def as_mask(valid: np.ndarray | None, image: Tensor) -> Tensor:
    """The mask of an image (C, h, w), all True if there is none."""
    return (
        image.new_ones(image.shape[1:], dtype=torch.bool) if valid is None else here(torch.from_numpy(valid))
    )


def filled(image: Tensor, valid: Tensor) -> Tensor:
    """`image` (C, h, w) with a smooth continuation where it is not `valid` (h, w)."""
    return image if valid.all() else inpainted(image, valid)

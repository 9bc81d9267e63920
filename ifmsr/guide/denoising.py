"""What disturbs an RGB guide, measured once and removed from it or from its parts: white noise, rounding, JPEG."""

from typing import NamedTuple

from torch import Tensor

from ifmsr.guide.jpeg import jpeg_error, missing_detail, without_artefacts
from ifmsr.guide.noise import denoise, is_cut, noise_level, rounding_step, uncut

WORTH = 5e-4  # of the guide's largest value: noise that is removed


class GuideNoise(NamedTuple):
    """Noise of a guide as delivered.

    Attributes
    ----------
    level : its standard deviation, in the guide's unit.
    cut : whether it was cut at 0.
    jpeg : whether the guide was stored as JPEG.
    missing : the share of their detail that the colours of a JPEG lack.
    worth : whether it is strong enough to be removed.
    """

    level: float
    cut: bool
    jpeg: bool
    missing: float
    worth: bool

    @classmethod
    def of(cls, rgb: Tensor, valid: Tensor) -> "GuideNoise":
        """The noise of a guide (3, H, W) in [0, 1], whose `valid` (H, W) pixels count."""
        measured, compressed = noise_level(rgb, valid), jpeg_error(rgb) if rounding_step(rgb, valid) else 0.0
        level = max(measured, compressed)
        worth, jpeg = level > WORTH * float(rgb.max()), compressed > 0
        missing = missing_detail(rgb) if jpeg else 0.0
        return cls(level, worth and not jpeg and is_cut(rgb, level, valid), jpeg, missing, worth)

    def removed_from(self, rgb: Tensor) -> Tensor:
        """The guide (3, H, W), or a part of it, without this noise and the bias of noise that was cut."""
        if not self.worth:
            return rgb
        if self.jpeg:
            return without_artefacts(rgb, self.level, self.missing).clamp(0, 1)
        clean = denoise(rgb, self.level).clamp(0, 1)
        return uncut(clean, self.level) if self.cut else clean

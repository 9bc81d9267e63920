"""What an LR cube and its RGB guide tell about themselves, and how far to trust the guide.

With y the LR cube, z the guide and f the inverse of its tone curve, both images see the same RGB values: P y = D_k f(z)
+ noise (see `ifmsr.degradation.estimation`). The *misfit* is the mean square difference of the two sides in units of
what the LR noise explains. A good pair has 1 to 2. A photograph that is not linearised, a part of the spectrum that the
guide does not see, saturated pixels, another viewpoint: each of them raises it.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ifmsr.degradation.estimation import Estimate, estimate_degradation, rgb_misfit
from ifmsr.degradation.pair import as_mask, as_pair, mend
from ifmsr.degradation.sampling import decimate
from ifmsr.errors import InputError, check_choice
from ifmsr.guide.saturation import Clipping, clipped_pixels, restore, untouched
from ifmsr.guide.tone import estimate_tone, tone_curve
from ifmsr.scenes.scene import Observation

Guide = Literal["auto", "linear", "srgb"]
GUIDES: tuple[Guide, ...] = ("auto", "linear", "srgb")

DOUBTFUL = 3.0  # misfit of a pair that does not fit
UNEXPLAINED = 0.005  # share of the guide's variance; less is no matter, whatever the noise
LEAST = 1e-12  # of a variance


@dataclass(frozen=True)
class Assessment:
    """What a pair of images tells about itself.

    Attributes
    ----------
    observation : the pair as methods get it: invalid pixels of both images filled, the guide linearised, its clipped
        pixels restored. If some were restored, a given `srf` is left out, because the guide's unit has changed.
    lr_invalid, rgb_invalid : shares of invalid pixels, given or found: no data, no spectrum.
    clipped : share of the guide's pixels that are clipped in some channel.
    tone : the guide's tone curve: "linear", "srgb", "rec709", "gamma 1.2" ... "gamma 2.6" or "free" (estimated).
    kernel : (k, k) float32 sampling kernel, blur and decimation in one; see `ifmsr.degradation.blurs`.
    shift : (down, right) in HR pixels, from the centred LR grid.
    widths : (long, short, angle): standard deviations of the kernel along its axes in HR pixels, and the angle of the
        long axis in radians, from the rows' direction.
    lr_noise : standard deviation of the LR cube's noise, in the cube's unit.
    response : (3, B + 1) spectral response, last column the offset.
    response_given : whether `response` is the given one; False if none was given or it does not fit.
    misfit : of the RGB values, in units of what the LR noise explains.
    unexplained : share of the variance of the guide's RGB values at LR resolution that the cube does not explain.
    related : whether the guide shows what the cube shows; if not, it is not used (see `ifmsr.degradation.relation`).
    warnings : what to doubt, in plain sentences; none for a good pair.
    """

    observation: Observation = field(repr=False)
    lr_invalid: float
    rgb_invalid: float
    clipped: float
    tone: str
    kernel: NDArray[np.float32] = field(repr=False)
    shift: tuple[float, float]
    widths: tuple[float, float, float]
    lr_noise: float
    response: NDArray[np.float32] = field(repr=False)
    response_given: bool
    misfit: float
    unexplained: float
    related: bool
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        """Five lines."""
        long, short, angle = (*self.widths[:2], np.degrees(self.widths[2]))
        response = "given" if self.response_given else "estimated from the images"
        explained = (
            f"the cube explains {100 * (1 - self.unexplained):.1f} % of the guide; misfit {self.misfit:.1f} "
            "(1 to 2 in a good pair)"
        )
        return "\n".join(
            [
                f"blur: standard deviations {long:.2f} and {short:.2f} px, long axis at {angle:.0f} degrees",
                f"shift of the LR grid: {self.shift[0]:+.2f} px down, {self.shift[1]:+.2f} px right",
                f"noise of the LR cube: {self.lr_noise:.5f}; spectral response: {response}; "
                f"invalid pixels: {100 * self.lr_invalid:.1f} %",
                f"tone curve of the guide: {self.tone}; clipped pixels: {100 * self.clipped:.1f} %; "
                f"invalid pixels: {100 * self.rgb_invalid:.1f} %",
                explained if self.related else "nothing confirms that the guide shows what the cube shows",
            ]
        )


def assess_observation(observation: Observation, guide: Guide = "auto") -> Assessment:
    """Assess a pair of images and prepare it for a method.

    Parameters
    ----------
    observation : the pair as it was delivered.
    guide : the guide's tone curve: ``"linear"`` and ``"srgb"`` are taken at their word, ``"auto"`` decides from the two
        images.

    Raises
    ------
    InputError : `guide` is none of the three.

    Examples
    --------
    >>> from ifmsr.degradation import degrade
    >>> from ifmsr.scenes import open_dataset
    >>> assessment = assess_observation(degrade(open_dataset("indian-pines").load("train"), 4))
    >>> assessment.tone, assessment.related, assessment.warnings
    ('linear', True, ())
    """
    check_choice("guide", guide, GUIDES)
    observation = mend(observation)
    lr, rgb, scale = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb), observation.scale
    lr_valid, rgb_valid = as_mask(observation.lr_valid, lr), as_mask(observation.rgb_valid, rgb)
    clipping = clipped_pixels(torch.where(rgb_valid, rgb, 0.0))
    measured = rgb_valid & ~clipping.any.any(0)
    if guide == "auto":
        srf = None if observation.srf is None else torch.from_numpy(observation.srf)
        curve, _ = estimate_tone(lr, rgb, scale, srf, lr_valid & untouched(~measured[None], scale, 0))
    else:
        curve = tone_curve(guide)
    if curve.name != "linear":
        observation = replace(observation, rgb=curve.linearise(rgb).numpy())
    if clipping.any.any() and measured.any():
        observation = _restored(observation, clipping)
    estimate = estimate_degradation(observation)
    unexplained = _unexplained(estimate, observation)
    return Assessment(
        observation,
        1 - float(lr_valid.float().mean()),
        1 - float(rgb_valid.float().mean()),
        float(clipping.any.any(0).float().mean()),
        curve.name,
        estimate.kernel.numpy(),
        estimate.shift,
        estimate.widths,
        estimate.noise,
        estimate.response.numpy(),
        estimate.given,
        estimate.misfit,
        unexplained,
        estimate.related,
        tuple(_doubts(estimate, unexplained)),
    )


def _restored(observation: Observation, clipping: Clipping) -> Observation:
    """The observation, its guide's clipped pixels restored, and the guide in [0, 1] again."""
    lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
    measured = as_mask(observation.rgb_valid, rgb) & ~clipping.any.any(0)
    estimate = estimate_degradation(replace(observation, rgb_valid=measured.numpy()))
    restored, _ = restore(rgb, clipping, lr, estimate, observation.scale)
    unit = max(1.0, float(restored.max()))
    return replace(observation, rgb=(restored / unit).clamp(0, 1).numpy(), srf=None)


def _unexplained(estimate: Estimate, observation: Observation) -> float:
    """Share of the guide's variance at LR resolution that the cube does not explain."""
    pair = as_pair(observation)
    usable = pair.usable(estimate.kernel)
    lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
    if usable.sum() < 2:
        return 0.0
    seen = decimate(rgb, estimate.kernel, observation.scale)[:, usable]
    left = rgb_misfit(estimate, lr, rgb, observation.scale, usable)
    return min(left / max(float(seen.var(1).mean()), LEAST), 1.0)


def _doubts(estimate: Estimate, unexplained: float) -> list[str]:
    if not estimate.related:
        return [
            "Nothing confirms that the guide shows what the cube shows: it may be of another place, mirrored, "
            "misaligned by many pixels, or too small to tell. It is not used; the result is the cube, upsampled alone."
        ]
    if estimate.misfit <= DOUBTFUL or unexplained <= UNEXPLAINED:
        return []
    return [
        f"The cube explains only {100 * (1 - unexplained):.1f} % of the guide's RGB values (misfit "
        f"{estimate.misfit:.0f}): the guide may be misaligned, saturated or partly of other wavelengths. It is "
        "followed only as far as the cube confirms it."
    ]


def demand_no_doubt(assessment: Assessment) -> None:
    """Raise InputError with the first warning of an assessment, if there is one."""
    for doubt in assessment.warnings:
        raise InputError("the pair of images", doubt.rstrip("."), "Mend it, or leave strict out")

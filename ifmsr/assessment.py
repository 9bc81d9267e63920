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
from ifmsr.degradation.sampling import decimate
from ifmsr.errors import InputError, check_choice
from ifmsr.guide.saturation import clipped_pixels, restore
from ifmsr.guide.tone import estimate_tone, tone_curve
from ifmsr.scenes.scene import Observation

Guide = Literal["auto", "linear", "srgb"]
GUIDES: tuple[Guide, ...] = ("auto", "linear", "srgb")

DOUBTFUL = 3.0  # misfit of a pair that does not fit
UNEXPLAINED = 0.005  # share of the guide's variance; less is no matter, whatever the noise
UNRELATED = 0.15  # likewise: more, and the guide shows something else than the cube
LEAST = 1e-12  # of a variance


@dataclass(frozen=True)
class Assessment:
    """What a pair of images tells about itself.

    Attributes
    ----------
    observation : the pair as methods get it: the guide linearised, its clipped pixels restored.
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
    warnings : what to doubt, in plain sentences; none for a good pair.
    """

    observation: Observation = field(repr=False)
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
    warnings: tuple[str, ...]

    @property
    def related(self) -> bool:
        """Whether the guide shows what the cube shows. If not, following it would be worse than not using it."""
        return self.misfit <= DOUBTFUL or self.unexplained <= UNRELATED

    def __str__(self) -> str:
        """Five lines."""
        long, short, angle = self.widths
        response = "given" if self.response_given else "estimated from the images"
        degrees = np.degrees(angle)
        return "\n".join(
            [
                f"blur: standard deviations {long:.2f} and {short:.2f} px, long axis at {degrees:.0f} degrees",
                f"shift of the LR grid: {self.shift[0]:+.2f} px down, {self.shift[1]:+.2f} px right",
                f"noise of the LR cube: {self.lr_noise:.5f}; spectral response: {response}",
                f"tone curve of the guide: {self.tone}; clipped pixels: {100 * self.clipped:.1f} %",
                f"the cube explains {100 * (1 - self.unexplained):.1f} % of the guide; misfit {self.misfit:.1f} "
                "(1 to 2 in a good pair)",
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
    lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
    srf = None if observation.srf is None else torch.from_numpy(observation.srf)
    curve = estimate_tone(lr, rgb, observation.scale, srf)[0] if guide == "auto" else tone_curve(guide)
    if curve.name != "linear":
        observation = replace(observation, rgb=curve.linearise(rgb).numpy())
    estimate = estimate_degradation(observation)
    clipping = clipped_pixels(rgb)
    if clipping.any.any():
        restored, _ = restore(torch.from_numpy(observation.rgb), clipping, lr, estimate, observation.scale)
        unit = max(1.0, float(restored.max()))  # beyond white: the given response holds no more
        observation = replace(observation, rgb=(restored / unit).clamp(0, 1).numpy(), srf=None)
        estimate = estimate_degradation(observation)
    misfit, unexplained = _misfit(estimate, observation)
    return Assessment(
        observation,
        float(clipping.any.any(0).float().mean()),
        curve.name,
        estimate.kernel.numpy(),
        estimate.shift,
        estimate.widths,
        estimate.noise,
        estimate.response.numpy(),
        estimate.given,
        misfit,
        unexplained,
        tuple(_doubts(misfit, unexplained)),
    )


def _misfit(estimate: Estimate, observation: Observation) -> tuple[float, float]:
    """In units of what the LR noise explains, and as a share of the guide's variance at LR resolution."""
    lr, rgb, scale = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb), observation.scale
    left = rgb_misfit(estimate, lr, rgb, scale)
    of_noise = estimate.noise**2 * float(estimate.response[:, :-1].square().sum(1).mean())
    variance = (
        float(decimate(rgb, estimate.kernel, scale).flatten(1).var(1).mean()) if lr[0].numel() > 1 else 0.0
    )
    return left / max(of_noise, LEAST), min(left / max(variance, LEAST), 1.0)


def _doubts(misfit: float, unexplained: float) -> list[str]:
    if misfit <= DOUBTFUL or unexplained <= UNEXPLAINED:
        return []
    share = f"{100 * (1 - unexplained):.1f} %"
    explained = f"The cube explains only {share} of the guide's RGB values (misfit {misfit:.0f})"
    if unexplained > UNRELATED:
        return [
            f"{explained}: the guide shows another place or another part of the spectrum, or is misaligned by many "
            "pixels. It is not used; the result is the cube's bicubic interpolation."
        ]
    return [
        f"{explained}: the guide may be misaligned, saturated or partly of other wavelengths. Compare the result with "
        "the LR cube before using it."
    ]


def demand_no_doubt(assessment: Assessment) -> None:
    """Raise InputError with the first warning of an assessment, if there is one."""
    for doubt in assessment.warnings:
        raise InputError("the pair of images", doubt.rstrip("."), "Mend it, or leave strict out")

"""Assessment of an LR cube and its RGB guide: the degradation between them, defects, and how far to trust the guide.

With y the LR cube, z the guide and f the inverse of its tone curve, both images see the same RGB values: P y = D_k f(z)
+ noise (see `ifmsr.degradation.estimation`). The *misfit* is the mean square difference of the two sides in units of
what the LR noise explains. A good pair has 1 to 2. A photograph that is not linearised, a part of the spectrum that the
guide does not see, saturated pixels, another viewpoint: each of them raises it.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ifmsr.degradation.estimation import DOUBTFUL_PAIR, Estimate, estimated_pair, rgb_misfit
from ifmsr.degradation.sampling import decimate
from ifmsr.errors import InputError, check_choice
from ifmsr.guide.nearest_camera import Camera, nearest_camera
from ifmsr.guide.preparation import Prepared, prepare_pair
from ifmsr.guide.registration import OnCubeGrid, Registration
from ifmsr.scenes.scene import Array, Observation

Guide = Literal["auto", "linear", "srgb"]
GUIDES: tuple[Guide, ...] = ("auto", "linear", "srgb")

DOUBTFUL = 3.0  # misfit of a pair that does not fit
UNEXPLAINED = 0.005  # share of the guide's variance; less is no matter, whatever the noise
LEAST = 1e-12  # of a variance


@dataclass(frozen=True)
class Assessment:
    """Everything that was estimated from a pair of images.

    Attributes
    ----------
    delivered : the pair as it was given.
    observation : the pair as methods get it: invalid pixels of both images filled, the guide denoised and linearised,
        its clipped pixels restored, and re-sampled to the cube's grid if it does not lie there. If clipped pixels were
        restored, a given `srf` is left out, because the guide's unit has changed.
    grid : the re-sampling, which takes results back to the guide's pixels; None if the guide lies on the cube.
    registration : how the guide lies on the cube if it had to be re-sampled, else None.
    lr_invalid, rgb_invalid : shares of invalid pixels, given or found: no data, no spectrum, beyond the other image.
    rgb_noise : standard deviation of the guide's noise as delivered, in its unit.
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

    delivered: Observation = field(repr=False)
    observation: Observation = field(repr=False)
    grid: OnCubeGrid | None = field(repr=False)
    registration: Registration | None
    lr_invalid: float
    rgb_invalid: float
    rgb_noise: float
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

    @property
    def fits(self) -> bool:
        """Whether the cube explains the guide to within the LR noise."""
        return self.related and self.misfit <= DOUBTFUL_PAIR

    @property
    def measured(self) -> NDArray[np.bool_] | None:
        """(H, W), the pixels of a result that the cube covers; None if it covers all."""
        if self.grid is not None:
            return self.grid.measured().numpy()
        valid, scale = self.observation.lr_valid, self.observation.scale
        if valid is None or valid.all():
            return None
        return np.kron(valid, np.ones((scale, scale), bool))

    def nearest_camera(self, wavelengths: NDArray[np.float64]) -> Camera | None:
        """The measured camera whose response explains the guide best, see `ifmsr.guide.nearest_camera`.

        None if the guide is not related to the cube, or if the cube has too few bands in the visible spectrum.

        Parameters
        ----------
        wavelengths : (B,) band centres of the cube in nm.

        Raises
        ------
        InputError : the number of wavelengths is not that of the cube's bands.
        """
        if not self.related:
            return None
        return nearest_camera(self.observation, torch.from_numpy(self.kernel), self.lr_noise, wavelengths)

    def on_guide(self, image: Array) -> Array:
        """(C, H', W') of the prepared pair at the pixels of the guide as it was delivered, (C, H, W), in [0, 1]."""
        if self.grid is None:
            return image
        return self.grid.back(torch.from_numpy(image)).clamp(0, 1).numpy()

    def __str__(self) -> str:
        """Five lines."""
        long, short, angle = (*self.widths[:2], np.degrees(self.widths[2]))
        warp = self.registration
        response = "given" if self.response_given else "estimated from the images"
        explained = (
            f"the cube explains {100 * (1 - self.unexplained):.1f} % of the guide; misfit {self.misfit:.1f} "
            "(1 to 2 in a good pair)"
        )
        return "\n".join(
            [
                f"blur: standard deviations {long:.2f} and {short:.2f} px, long axis at {round(angle) % 180} degrees",
                f"shift of the LR grid: {self.shift[0]:+.2f} px down, {self.shift[1]:+.2f} px right; "
                f"the guide {'lies in place' if warp is None else f'was {warp.described}'}",
                f"noise of the LR cube: {self.lr_noise:.5f}; invalid pixels: {100 * self.lr_invalid:.1f} %; "
                f"spectral response: {response}",
                f"tone curve of the guide: {self.tone}; noise: {self.rgb_noise:.5f}; "
                f"clipped pixels: {100 * self.clipped:.1f} %; invalid pixels: {100 * self.rgb_invalid:.1f} %",
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
    return assessment_of(observation, prepare_pair(observation, guide))


def assessment_of(observation: Observation, prepared: Prepared) -> Assessment:
    """The assessment of a pair of images that is already prepared."""
    pair, estimate = prepared.observation, prepared.estimate
    unexplained = _unexplained(estimate, pair)
    return Assessment(
        observation,
        pair,
        prepared.grid,
        prepared.registration,
        _invalid(pair.lr_valid),
        _invalid(pair.rgb_valid),
        prepared.noise,
        prepared.clipped,
        prepared.curve.name,
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


def _invalid(valid: NDArray[np.bool_] | None) -> float:
    return 0.0 if valid is None else 1 - float(valid.mean())


def _unexplained(estimate: Estimate, observation: Observation) -> float:
    """Share of the guide's variance at LR resolution that the cube does not explain."""
    pair, _ = estimated_pair(observation)
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

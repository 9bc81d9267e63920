"""A pair of images as cameras deliver it, made into one that methods can use.

The guide is denoised and linearised, its clipped pixels are restored, and if it does not lie on the cube it is
registered and re-sampled to the cube's grid. The evidence for the last step is the misfit of the RGB values that the
cube explains.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ifmsr.degradation.estimation import DOUBTFUL_PAIR, Estimate, Estimated, estimate_degradation
from ifmsr.degradation.pair import as_mask, mend
from ifmsr.guide.denoising import GuideNoise
from ifmsr.guide.registration import OnCubeGrid, Registration, onto_cube_grid, register
from ifmsr.guide.saturation import Clipping, clipped_pixels, restore, untouched
from ifmsr.guide.tone import ToneCurve, estimate_tone, tone_curve
from ifmsr.scenes.scene import Observation

BETTER = 2.0  # ratio of misfits from which a registration is kept
ROUNDS = 2  # of registration: the second time with the guide's tone curve known


class Prepared(NamedTuple):
    """A prepared pair and what was found on the way.

    Attributes
    ----------
    observation : invalid pixels of both images filled, the guide linear and on the cube's grid.
    noise : standard deviation of the guide's noise as delivered.
    clipped : share of the guide's pixels that are clipped in some channel.
    curve : the guide's tone curve.
    estimate : the degradation of `observation`.
    registration, grid : how the guide lies on the cube, and the re-sampled pair; None if the guide lies in place.
    """

    observation: Observation
    noise: float
    clipped: float
    curve: ToneCurve
    estimate: Estimate
    registration: Registration | None = None
    grid: OnCubeGrid | None = None

    @property
    def fits(self) -> bool:
        """Whether the cube explains the guide to within the LR noise."""
        return self.estimate.related and self.estimate.misfit <= DOUBTFUL_PAIR


def prepare_pair(observation: Observation, guide: str) -> Prepared:
    """Prepare a pair of images; `guide` is the name of its tone curve, or "auto"."""
    delivered, noise = denoised(mend(observation))
    prepared = in_place(delivered, noise, guide)
    for _ in range(ROUNDS):
        if prepared.fits or (found := registered(delivered, prepared, guide)) is None:
            break
        prepared = found
    return prepared


def denoised(observation: Observation) -> tuple[Observation, float]:
    """The observation with a denoised guide, but for its clipped pixels, and the noise's standard deviation."""
    rgb = torch.from_numpy(observation.rgb)
    valid = as_mask(observation.rgb_valid, rgb)
    noise = GuideNoise.of(rgb, valid)
    if not noise.worth:
        return observation, noise.level
    clean = torch.where(clipped_pixels(rgb, valid).any, rgb, noise.removed_from(rgb))
    return replace(observation, rgb=clean.numpy()), noise.level


def in_place(observation: Observation, noise: float, guide: str) -> Prepared:
    """The pair with the guide, of some `noise` before, linearised and its clipped pixels restored, where it lies."""
    lr, rgb, scale = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb), observation.scale
    lr_valid, rgb_valid = as_mask(observation.lr_valid, lr), as_mask(observation.rgb_valid, rgb)
    clipping = clipped_pixels(rgb, rgb_valid)
    clipped = clipping.any.any(0)
    measured = rgb_valid & ~clipped
    if guide == "auto":
        srf = None if observation.srf is None else torch.from_numpy(observation.srf)
        curve, _ = estimate_tone(lr, rgb, scale, srf, lr_valid & untouched(~measured[None], scale, 0))
    else:
        curve = tone_curve(guide)
    if curve.name != "linear":
        observation = replace(observation, rgb=curve.linearise(rgb).numpy())
    dark_noise = noise_in_the_dark(noise, curve)
    if clipped.any() and measured.any():
        observation, unit = restored(observation, clipping)
        dark_noise /= unit
    observation, share = Estimated.of(observation, dark_noise), float(clipped.float().mean())
    return Prepared(observation, noise, share, curve, estimate_degradation(observation))


def noise_in_the_dark(noise: float, curve: ToneCurve) -> float:
    """What a standard deviation of the delivered guide's `noise` is in the darkest pixels of the linear one."""
    return float(curve.linearise(torch.tensor(noise)))


class Preparation(NamedTuple):
    """How the guide of a large image is prepared, block by block.

    Attributes
    ----------
    noise : the noise to remove.
    clipped : (3,) the value from which a channel is clipped, infinite where it is not.
    curve : the tone curve to undo.
    """

    noise: GuideNoise
    clipped: Tensor
    curve: ToneCurve

    def of(self, observation: Observation) -> Observation:
        """A block as methods get it: the guide denoised and linear, its clipped pixels invalid."""
        rgb = torch.from_numpy(observation.rgb)
        valid = as_mask(observation.rgb_valid, rgb) & (rgb < self.clipped[:, None, None]).all(0)
        return replace(
            observation,
            rgb=self.curve.linearise(self.noise.removed_from(rgb)).numpy(),
            rgb_valid=valid.numpy() if valid.any() else observation.rgb_valid,
        )


def prepare_sample(observation: Observation, guide: str) -> tuple[Prepared, Preparation]:
    """Prepare a sample of a large pair where it lies, and say how its blocks are to be prepared.

    Clipped pixels are not restored, which needs the whole image, but become invalid.
    """
    observation = mend(observation)
    rgb, scale = torch.from_numpy(observation.rgb), observation.scale
    valid = as_mask(observation.rgb_valid, rgb)
    noise, high = GuideNoise.of(rgb, valid), clipped_pixels(rgb, valid).high
    clipped = torch.where(high, rgb, torch.inf).amin((1, 2))
    found = Preparation(noise, clipped, tone_curve("linear"))
    encoded = found.of(observation)
    if guide == "auto":
        srf = None if observation.srf is None else torch.from_numpy(observation.srf)
        lr, rgb = torch.from_numpy(encoded.lr), torch.from_numpy(encoded.rgb)
        invalid = ~as_mask(encoded.rgb_valid, rgb)
        usable = as_mask(encoded.lr_valid, lr) & untouched(invalid[None], scale, 0)
        curve, _ = estimate_tone(lr, rgb, scale, srf, usable)
    else:
        curve = tone_curve(guide)
    found = found._replace(curve=curve)
    linear = replace(encoded, rgb=curve.linearise(torch.from_numpy(encoded.rgb)).numpy())
    estimated = Estimated.of(linear, noise_in_the_dark(noise.level, curve))
    share = float(high.any(0).float().mean())
    return Prepared(estimated, noise.level, share, curve, estimate_degradation(estimated)), found


def restored(observation: Observation, clipping: Clipping) -> tuple[Observation, float]:
    """The observation, its guide's clipped pixels restored and the guide in [0, 1] again, and what it was divided by.

    The guide's unit changes, so a given `srf` is left out.
    """
    lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
    measured = as_mask(observation.rgb_valid, rgb) & ~clipping.any.any(0)
    estimate = estimate_degradation(replace(observation, rgb_valid=measured.numpy()))
    whole, _ = restore(rgb, clipping, lr, estimate, observation.scale)
    unit = max(1.0, float(whole.max()))
    return replace(observation, rgb=(whole / unit).clamp(0, 1).numpy(), srf=None), unit


def registered(delivered: Observation, prepared: Prepared, guide: str) -> Prepared | None:
    """The pair with its guide re-sampled onto the cube, or None if that does not make it fit much better."""
    lr, rgb = torch.from_numpy(delivered.lr), torch.from_numpy(delivered.rgb)
    masks = as_mask(delivered.lr_valid, lr), as_mask(delivered.rgb_valid, rgb)
    registration = register(lr, prepared.curve.linearise(rgb), delivered.scale, *masks)
    if not registration.needed:
        return None
    grid = onto_cube_grid(lr, rgb, delivered.scale, registration, *masks)
    if not (grid.lr_valid.any() and grid.rgb_valid.any()):
        return None
    found = in_place(
        replace(
            delivered,
            lr=grid.lr.numpy(),
            rgb=grid.rgb.numpy(),
            lr_valid=grid.lr_valid.numpy(),
            rgb_valid=grid.rgb_valid.numpy(),
        ),
        prepared.noise,
        guide,
    )
    if not found.estimate.related:
        return None
    first = prepared.registration is None
    needed = BETTER if first and prepared.estimate.related else 1.0
    if prepared.estimate.related and found.estimate.misfit * needed > prepared.estimate.misfit:
        return None
    return found._replace(registration=registration, grid=grid)

"""A training-free method in seven steps, blind to kernel, shift and noise.

With y the LR cube (B, n), z the RGB guide (3, N), P the spectral response function and D_k "blur by k and decimate":

1. `estimate_pair`: the sampling kernel k with its sub-pixel shift, the noise, a response that is unknown or does not
   fit, and whether the guide shows what the cube shows. If it does not, the cube is upsampled alone.
2. `denoise_guide`: the guide without noise; see `ifmsr.methods.closed_form.guide_denoising`.
3. `regress_globally`: one map from RGB to spectrum for the whole image, W = argmin |y - W D_k phi(z)|^2 + ridge, with
   root-polynomial features phi; see `ifmsr.methods.closed_form.global_regression`. x1 = W phi(z).
4. `explain` and `sharpened`: the residual at low resolution, in the spectral directions above the noise, predicted from
   the guide by local maps; see `ifmsr.methods.closed_form.local_regression`.
5. `apply_detail_gains_`: per-band detail gains, calibrated at reduced resolution; see
   `ifmsr.methods.closed_form.detail_gain`.
6. `project_`: towards the nearest cube whose RGB values are the guide's, as far as the guide can be trusted; see
   `ifmsr.methods.closed_form.trust`.
7. `denoise_shadows_`: dark pixels, blended with an estimate from the guide; see
   `ifmsr.methods.closed_form.shadow_denoising`.

Statistics are those of the whole image. What has the size of the result is computed in strips of rows, each with what
lies around it as far as a step reaches, and in place: beside the two images and the result, only images of the size of
the guide or of the LR cube are in memory. Every statistic goes through `Findings`, so that a `Block` of a
larger image is solved with those of the whole (see `ifmsr.inference.blocks`).

SubspaceNet starts from the result of the first six; its own corrections come before the seventh.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ifmsr.degradation.estimation import DOUBTFUL_PAIR, Estimate, estimated_pair, signal_basis
from ifmsr.degradation.pair import Pair, as_pair
from ifmsr.degradation.sampling import strips
from ifmsr.devices import CPU, choose_device, computing_on, here, or_on_cpu
from ifmsr.methods.closed_form.cube_alone import smooth_maps, upsample_alone
from ifmsr.methods.closed_form.detail_gain import BOX, detail_gains, reduced_pair, scale_detail_
from ifmsr.methods.closed_form.findings import Findings, findings_of
from ifmsr.methods.closed_form.gaps import fill_gaps, guided_share
from ifmsr.methods.closed_form.global_regression import regress_globally
from ifmsr.methods.closed_form.guide_denoising import denoise_guide
from ifmsr.methods.closed_form.local_regression import explain, sharpened
from ifmsr.methods.closed_form.shadow_denoising import denoise_shadows_
from ifmsr.methods.closed_form.trust import guide_trust
from ifmsr.scenes.scene import Array, Observation

LEAST_PIXELS = 64  # of an LR image; fewer, or a single line, do not determine noise, local maps or a response
FARTHEST = 10.0  # ratio of the exposures of both images


@dataclass(frozen=True)
class ClosedForm:
    """The training-free method of this project: seven steps, no weights, no training."""

    title: ClassVar[str] = "Closed-form"
    schedule: ClassVar[str] = ""
    blockwise: ClassVar[bool] = True

    device: torch.device = field(default=CPU, compare=False)

    def on(self, device: str | None) -> "ClosedForm":
        """The same, computed on another device. Raises InputError if that is not there."""
        return replace(self, device=choose_device(device))

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1]."""

        def run(device: torch.device) -> Array:
            with computing_on(device):
                solution = solve(observation)
                return finish(solution, solution.sr).numpy(force=True)

        return or_on_cpu(run, self.device)


class Solution(NamedTuple):
    """The result of the first six steps, and what it rests on.

    Attributes
    ----------
    sr : (B, H, W), not negative, in the pair's unit.
    estimate : the degradation, likewise.
    guide : (3, H, W) the denoised guide.
    pair : both images, their gaps filled.
    guided : (H, W) in [0, 1], the share of the result that rests on the guide; the rest is the cube upsampled alone.
    highest : the largest value that a result can have.
    """

    sr: Tensor
    estimate: Estimate
    guide: Tensor
    pair: Pair
    guided: Tensor
    highest: float


def solve(observation: Observation) -> Solution:
    """The first six steps on one observation, or on a `Block` of one; on PyTorch's default device."""
    found = findings_of(observation)
    pair, estimate = pair_of(observation, found)
    pair = fill_gaps(pair, estimate, found)
    lr, rgb, scale, kernel, noise = pair.lr, pair.rgb, pair.scale, estimate.kernel, estimate.noise
    guide, guided = denoise_guide(rgb, scale, found), guided_share(pair, estimate)
    if found.once("followed", lambda: follows(pair, estimate)):
        sr = predict(lr, guide, kernel, scale, noise, found)
        scale_detail_(sr, found.once("gains", lambda: gains_of(pair, estimate)), kernel, scale)
        project_(sr, rgb, estimate, found.once("trust", lambda: trust_of(sr, pair, estimate)))
    else:
        sr = upsample_alone(lr, kernel, scale, noise, found)
        if estimate.given and estimate.related:
            project_(sr, rgb, estimate, torch.eye(3, dtype=torch.double))
    if guided.min() < 1:
        alone = upsample_alone(lr, kernel, scale, noise, found)
        sr.sub_(alone).mul_(guided).add_(alone)
    highest = found.once("highest value", lambda: highest_value(pair, estimate))
    return Solution(sr.clamp_(0, highest), estimate, guide, pair, guided, highest)


def pair_of(observation: Observation, found: Findings) -> tuple[Pair, Estimate]:
    """The pair in the units of the whole image, and the estimate from it."""
    if "estimate" in found:
        pair, estimate = as_pair(observation, found["units"]), found["estimate"]
    else:
        pair, estimate = here(estimated_pair(observation))
        found["units"], found["estimate"] = (pair.lr_unit, pair.rgb_unit), estimate
    return balanced(pair, estimate)


def complete(sample: Observation, lr_brightest: float, brightest: Tensor) -> None:
    """What blocks need beside a solved `sample`: how the cube is upsampled alone, and the whole image's largest values.

    Parameters
    ----------
    lr_brightest : the largest value of the whole cube.
    brightest : (3, 1, 1) the largest values of the whole guide, linear.
    """
    found = findings_of(sample)
    pair, estimate = pair_of(sample, found)
    smooth_maps(pair.lr, estimate.noise, found)
    lr_unit, rgb_unit = found["units"]
    largest = pair._replace(lr=torch.tensor(lr_brightest / lr_unit), rgb=brightest / rgb_unit[:, None, None])
    largest, estimate = balanced(largest, found["estimate"])
    found["highest value"] = max(found["highest value"], highest_value(largest, estimate))
    lowest, highest = found["range of the guide"]
    found["range of the guide"] = (lowest, max(highest, float(largest.rgb.max())))


def follows(pair: Pair, estimate: Estimate) -> bool:
    """Whether the guide is followed: it is related to the cube, and that has pixels enough to learn from."""
    lr = pair.lr
    return estimate.related and lr[0].numel() >= LEAST_PIXELS and min(lr.shape[1:]) > 1


def gains_of(pair: Pair, estimate: Estimate) -> Tensor:
    """(B,) the gains of the detail, from the same method at reduced resolution."""
    small, seen = reduced_pair(pair.lr, pair.rgb, estimate.kernel, pair.scale)
    reduced = predict(small, denoise_guide(seen, 2), here(BOX), 2, estimate.noise / 2)
    return detail_gains(reduced, pair.lr[:, : reduced.shape[1], : reduced.shape[2]])


def trust_of(sr: Tensor, pair: Pair, estimate: Estimate) -> Tensor:
    """(3, 3) the trust in the guide."""
    measured = pair.measured(pair.usable(estimate.kernel))
    return guide_trust(sr, pair.rgb, pair.lr, estimate, pair.scale, measured)


def balanced(pair: Pair, estimate: Estimate) -> tuple[Pair, Estimate]:
    """The guide in the exposure and white balance under which the rows of its response sum to 1, if these are known."""
    sums = estimate.response[:, :-1].sum(1)[:, None]
    known = estimate.given or estimate.misfit < DOUBTFUL_PAIR
    if not (known and sums.min() > 1 / FARTHEST and sums.max() < FARTHEST):
        return pair, estimate
    rgb_noise = estimate.rgb_noise / float(sums.mean())
    estimate = estimate._replace(response=estimate.response / sums, rgb_noise=rgb_noise)
    return pair._replace(rgb=pair.rgb / sums[..., None]), estimate


def finish(solution: Solution, sr: Tensor) -> Tensor:
    """`sr` (B, H, W), the solution's or a correction of it, after the seventh step, in the observation's unit.

    The result takes the place of `sr` in memory, without gradients.
    """
    sr, pair, estimate = sr.detach(), solution.pair, solution.estimate
    if estimate.related:
        denoise_shadows_(sr, pair.rgb, estimate.noise, pair.scale, estimate.rgb_noise)
    return sr.clamp_(0, solution.highest).mul_(pair.lr_unit).clamp_(0, 1)


def predict(
    lr: Tensor, rgb: Tensor, kernel: Tensor, scale: int, noise: float, found: Findings | None = None
) -> Tensor:
    """(B, H, W) what the global and the local maps predict from the guide."""
    found = Findings() if found is None else found
    explained = regress_globally(lr, rgb, kernel, scale, found=found)
    basis = found.once("basis", lambda: signal_basis(lr)[0])
    residual = torch.tensordot(basis.T, lr - explained.coarse, dims=1)  # (R, h, w)
    local = explain(residual, explained.seen, noise, found)
    sr = lr.new_empty(len(lr), *rgb.shape[1:])
    for rows in strips(sr, scale):
        sharp = sharpened(local, rgb, kernel, scale, rows)
        sr[:, rows] = explained.fine(rgb[:, rows]) + torch.tensordot(basis, sharp, dims=1)
    return sr


def project_(sr: Tensor, rgb: Tensor, estimate: Estimate, trust: Tensor) -> Tensor:
    """`sr` moved, in place, towards the nearest cube whose RGB values are `rgb`: x + P^+ T (z - P x).

    T (3, 3) is the `trust` in the guide, the identity for full trust; see `Estimate.right_inverse`.
    """
    step = (estimate.right_inverse.double() @ trust).float()
    for rows in strips(sr, 1):
        sr[:, rows] += torch.tensordot(step, rgb[:, rows] - estimate.to_rgb(sr[:, rows]), dims=1)
    return sr


def highest_value(pair: Pair, estimate: Estimate) -> float:
    """The largest value of either image, that of the guide in the cube's unit."""
    sums = estimate.response[:, :-1].sum(1)
    if not estimate.related or sums.min() <= 0:
        return 1 / pair.lr_unit
    return max(float(pair.lr.max()), float((pair.rgb.amax((1, 2)) / sums).max()))

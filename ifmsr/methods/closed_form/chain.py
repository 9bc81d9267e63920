"""A training-free method in seven steps, blind to kernel, shift and noise.

With y the LR cube (B, n), z the RGB image (3, N), P the response and D_k "blur by k and decimate":

1. `estimate_degradation`: the sampling kernel k with its sub-pixel shift, the noise, and a response that is unknown
   or does not fit.
2. `denoise_guide`: the RGB guide without noise; see `ifmsr.methods.closed_form.guide_denoising`.
3. `regress`: one map from colour to spectrum for the whole image, W = argmin |y - W D_k phi(z)|^2 + ridge, with
   root-polynomial features phi; see `ifmsr.methods.closed_form.global_regression`. x1 = W phi(z).
4. `regress_locally`: what W cannot explain at low resolution, in the directions above the noise, explained by local
   maps from colour and so drawn sharply; see `ifmsr.methods.closed_form.local_regression`.
5. `apply_detail_gains`: per-band detail gains, calibrated at reduced resolution; see
   `ifmsr.methods.closed_form.detail_gain`.
6. `project`: the nearest cube whose RGB values are the guide's.
7. `denoise_shadows`: dark pixels, blended with an estimate from the guide; see `ifmsr.methods.closed_form.shadow_denoising`.

SubspaceNet starts from the result of the first six; its own corrections come before the seventh.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ifmsr.degradation.estimation import Estimate, estimate_degradation, signal_basis
from ifmsr.methods.closed_form.detail_gain import BOX, apply_detail_gains, reduced_pair
from ifmsr.methods.closed_form.global_regression import regress_globally
from ifmsr.methods.closed_form.guide_denoising import denoise_guide
from ifmsr.methods.closed_form.local_regression import regress_locally
from ifmsr.methods.closed_form.shadow_denoising import denoise_shadows
from ifmsr.scenes.scene import Array, Observation

LEAST_PIXELS = 64  # of an LR image; fewer, or a single line, do not determine noise, local maps or a response


class ClosedForm:
    """The training-free method of this project: seven steps, no weights, no training."""

    title = "Closed-form"
    schedule = ""

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1]."""
        solution = solve(observation)
        rgb, noise = torch.from_numpy(observation.rgb), solution.estimate.noise
        return denoise_shadows(solution.sr, rgb, noise, observation.scale).clamp(0, 1).numpy()


class Solution(NamedTuple):
    """`sr` (B, H, W) in [0, 1] after six steps, the degradation, and the denoised guide `colours` (3, H, W)."""

    sr: Tensor
    estimate: Estimate
    colours: Tensor


def solve(observation: Observation) -> Solution:
    """The first six steps on one observation."""
    lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
    estimate, scale = estimate_degradation(observation), observation.scale
    kernel, noise = estimate.kernel, estimate.noise
    colours = denoise_guide(rgb, scale)
    enough = lr[0].numel() >= LEAST_PIXELS and min(lr.shape[1:]) > 1
    if enough:
        small, seen = reduced_pair(lr, rgb, kernel, scale)
        reduced = draw(small, denoise_guide(seen, 2), BOX, 2, noise / 2)
        sr = apply_detail_gains(draw(lr, colours, kernel, scale, noise), reduced, lr, kernel, scale)
    else:
        sr = regress_globally(lr, colours, kernel, scale).fine
    if enough or estimate.given:
        sr = project(sr, rgb, estimate)
    return Solution(sr.clamp(0, 1), estimate, colours)


def draw(lr: Tensor, rgb: Tensor, kernel: Tensor, scale: int, noise: float) -> Tensor:
    """(B, H, W) what the global and the local maps predict from the guide."""
    explained = regress_globally(lr, rgb, kernel, scale)
    basis, _ = signal_basis(lr)
    rest = torch.tensordot(basis.T, lr - explained.coarse, dims=1)  # (R, h, w)
    sharp = regress_locally(rest, explained.seen, rgb, kernel, scale, noise)
    return explained.fine + torch.tensordot(basis, sharp, dims=1)


def project(sr: Tensor, rgb: Tensor, estimate: Estimate) -> Tensor:
    """The cube nearest to `sr` whose RGB values are `rgb`: x + P^+ (z - P x); see `Estimate.right_inverse`."""
    return sr + torch.tensordot(estimate.right_inverse, rgb - estimate.to_rgb(sr), dims=1)

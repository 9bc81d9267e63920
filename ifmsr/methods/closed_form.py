"""A training-free method in four closed-form steps, blind to kernel, shift and noise.

With y the LR cube (B, n), z the RGB image (3, N), P the response and D_k "blur by k and decimate":

1. `estimate_degradation`: the sampling kernel k with its sub-pixel shift, the noise, and a response that is unknown
   or does not fit.
2. `regress`: one map from colour to spectrum for the whole image, W = argmin |y - W D_k phi(z)|^2 + ridge, with
   root-polynomial features phi (features are blurred, not blurred colours made into features). x1 = W phi(z).
3. `draw_sharp`: what W cannot explain at low resolution, in the directions above the noise, explained by local
   maps from colour and so drawn sharply; see `ifmsr.methods.local_regression`.
4. `project`: the nearest cube whose colours are the RGB image.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ifmsr.estimation import Estimate, estimate_degradation, ridge, signal_basis
from ifmsr.methods.local_regression import draw_sharp
from ifmsr.sampling import decimate
from ifmsr.scenes.scene import Array, Observation

LEAST_PIXELS = 64  # of an LR image; fewer tell neither noise nor local maps nor a response
RIDGE = 3e-5  # weight of the colour-to-spectrum map's size, relative to the data term's mean diagonal


class ClosedForm:
    """The chain of the module's docstring as a method: needs no weights and no training."""

    title = "Closed-form"
    schedule = ""

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1]."""
        return solve(observation).sr.numpy()


class Solution(NamedTuple):
    """`sr` (B, H, W) in [0, 1], and the degradation that it rests on."""

    sr: Tensor
    estimate: Estimate


def solve(observation: Observation) -> Solution:
    """The chain on one observation."""
    lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
    estimate = estimate_degradation(observation)
    sr, explained, seen = regress(lr, rgb, estimate.kernel, observation.scale)
    enough = lr[0].numel() >= LEAST_PIXELS
    if enough:
        basis, _ = signal_basis(lr)
        rest = torch.tensordot(basis.T, lr - explained, dims=1)  # (R, h, w)
        sharp = draw_sharp(rest, seen, rgb, estimate.kernel, observation.scale, estimate.noise)
        sr += torch.tensordot(basis, sharp, dims=1)
    if enough or estimate.given:
        sr = project(sr, rgb, estimate)
    return Solution(sr.clamp(0, 1), estimate)


def root_polynomial(rgb: Tensor) -> Tensor:
    """(3, H, W) -> (13, H, W): the colours, 1, their products and the roots of the mixed products."""
    r, g, b = rgb
    products = [r * r, g * g, b * b, r * g, g * b, r * b]
    roots = [(r * g).sqrt(), (g * b).sqrt(), (r * b).sqrt()]
    return torch.stack([r, g, b, torch.ones_like(r), *products, *roots])


def regress(lr: Tensor, rgb: Tensor, kernel: Tensor, scale: int) -> tuple[Tensor, Tensor, Tensor]:
    """Colour to spectrum, one map for the whole image.

    Returns its result (B, H, W), what it explains of `lr` (B, h, w), and the colours (3, h, w) that the LR pixels
    should have.
    """
    features = root_polynomial(rgb)
    seen = decimate(features, kernel, scale)
    weights = ridge(seen.flatten(1).double(), lr.flatten(1).double(), RIDGE).float()
    return torch.tensordot(weights, features, dims=1), torch.tensordot(weights, seen, dims=1), seen[:3]


def project(sr: Tensor, rgb: Tensor, estimate: Estimate) -> Tensor:
    """The cube nearest to `sr` whose colours are `rgb`: x + P^+ (z - P x); see `Estimate.lift`."""
    return sr + torch.tensordot(estimate.lift, rgb - estimate.colours(sr), dims=1)

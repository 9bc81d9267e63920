"""How far a result's RGB values may be moved to those of the guide.

The guide z sees a scene t as z = P t + e, P the response. With the result's own error in these values,
C = cov(P (t - x)), Wiener's filter takes the share C (C + cov e)^-1 of the difference z - P x. The covariance of that
difference is known; that of e shows at low resolution, where the cube itself was measured:

    cov e = 4 (cov(P y - D_k z) - 2 noise^2 P P^T)+

LR noise and a slightly wrong kernel explain the second term; 4, because an error that an LR image shows is larger at
high resolution. Where the two images are displaced against each other, the guide's values are right all the same, so
what a smooth field of displacements explains does not count.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.estimation import Estimate
from ifmsr.degradation.sampling import decimate, strips
from ifmsr.degradation.smoothing import gaussian_taps, smoothed
from ifmsr.methods.closed_form.guide_denoising import share

ALLOWED = 2.0  # of the part that the LR noise explains
SHARPER = 4.0  # an error's energy at high resolution against that at low
WINDOW = 4.0  # LR pixels: standard deviation of the windows of displacements
STILL = 3.0  # of the noise's energy, added to the gradients', against displacements of flat surfaces
LEAST = 1e-9  # of the covariances' traces


def guide_trust(
    sr: Tensor, rgb: Tensor, lr: Tensor, estimate: Estimate, scale: int, usable: Tensor
) -> Tensor:
    """(3, 3) the share of the difference between `rgb` (3, H, W) and the RGB values of `sr` (B, H, W) to take over."""
    response = estimate.response[:, :-1].double()
    of_noise = estimate.noise**2 * response @ response.T
    seen = decimate(rgb, estimate.kernel, scale)
    misfit = without_displacement(seen - estimate.to_rgb(lr), seen, float(of_noise.diagonal().mean()))
    whole = torch.zeros(3, 3, dtype=torch.double)
    for rows in strips(sr, 1):
        difference = (rgb[:, rows] - estimate.to_rgb(sr[:, rows])).flatten(1).double()
        whole += difference @ difference.T / rgb[0].numel()
    left = misfit[:, usable].double()
    values, axes = torch.linalg.eigh(left @ left.T / left.shape[1] - ALLOWED * of_noise)
    wrong = SHARPER * (axes * values.clamp_min(0)) @ axes.T
    least = LEAST * (whole.trace() + wrong.trace()) + torch.finfo(torch.double).tiny ** 0.5
    identity = torch.eye(3, dtype=torch.double)
    return identity - share(wrong + least * identity, whole + least * identity)


def without_displacement(misfit: Tensor, seen: Tensor, noise: float) -> Tensor:
    """The part of `misfit` (C, h, w) that no smooth field of displacements of `seen` (C, h, w) explains.

    `noise` is the misfit's energy without any.
    """
    padded = F.pad(seen[None], (1,) * 4, mode="replicate")[0]
    down, right = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1], padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    products = [down * down, right * right, down * right, down * misfit, right * misfit]
    taps = gaussian_taps(WINDOW, seen.device)
    a, b, c, towards_down, towards_right = smoothed(
        torch.stack([product.sum(0) for product in products]), taps
    )
    least = STILL * noise + torch.finfo(torch.float).tiny ** 0.5
    a, b = a + least, b + least
    determinant = a * b - c * c
    by_down = (b * towards_down - c * towards_right) / determinant
    by_right = (a * towards_right - c * towards_down) / determinant
    return misfit - down * by_down - right * by_right

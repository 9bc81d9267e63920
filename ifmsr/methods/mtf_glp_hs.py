"""MTF-GLP-HS: hypersharpening by a generalised Laplacian pyramid with one synthesised image per band.

Selva, Aiazzi, Butera, Chiarantini and Baronti, IEEE JSTARS 8(6), 2015, in the form of the review of Yokoya,
Grohnfeldt and Chanussot, IEEE GRSM 5(2), 2017 (synthesised images, no equalisation of their moments):

    P_b = sum_c w_bc z_c + w_b0          least-squares regression of LR band b on the blurred and decimated channels
    L_b = upsample(blur-and-decimate(P_b))                    its low-pass version
    y_b = x_b + g_b (P_b - L_b),   g_b = cov(x_b, L_b) / var(L_b)

where x_b is the upsampled band, z_c an RGB channel, w the regression weights and g_b the injection gain.

Departure from the papers, as in the other classical methods of this package: the blur and its sub-pixel shift are
estimated from the two images (`ifmsr.degradation.estimation`); the papers take a Gaussian matched to the sensor's
modulation transfer function (MTF). There is no denoising.
"""

import torch
from torch import Tensor

from ifmsr.degradation.estimation import estimate_degradation
from ifmsr.degradation.sampling import decimate, upsample
from ifmsr.methods.gsa import NO_CONTRAST
from ifmsr.scenes.scene import Array, Observation


class MTFGLPHS:
    """MTF-GLP-HS, hypersharpening with a generalised Laplacian pyramid (Selva et al. 2015). No settings."""

    title = "MTF-GLP-HS"
    schedule = ""

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1]."""
        lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
        kernel = estimate_degradation(observation).kernel
        upsampled = upsample(lr, kernel, observation.scale)
        fine = synthesise(lr, rgb, decimate(rgb, kernel, observation.scale))
        coarse = upsample(decimate(fine, kernel, observation.scale), kernel, observation.scale)
        return inject(upsampled, fine, coarse).clamp(0, 1).numpy()


def synthesise(lr: Tensor, rgb: Tensor, seen: Tensor) -> Tensor:
    """(B, h, w), (3, H, W), (3, h, w) -> (B, H, W): the high-resolution image synthesised for each band.

    Directions of the RGB space without contrast get zero weight.
    """
    bands, channels = lr.flatten(1).double(), seen.flatten(1).double()
    mean, means = bands.mean(1, keepdim=True), channels.mean(1, keepdim=True)
    centred = channels - means
    inverse = torch.linalg.pinv(centred @ centred.T, atol=NO_CONTRAST * centred.shape[1], hermitian=True)
    weights = (bands - mean) @ centred.T @ inverse  # (B, 3)
    offsets = mean - weights @ means
    return torch.tensordot(weights.float(), rgb, dims=1) + offsets.float()[:, :, None]


def inject(upsampled: Tensor, fine: Tensor, coarse: Tensor) -> Tensor:
    """x + g (P - L) of x, P and L (B, H, W) each; the gain g is 0 where L is constant."""
    centred = coarse - coarse.mean((1, 2), keepdim=True)
    covariance = (upsampled * centred).mean((1, 2), keepdim=True)
    variance = centred.square().mean((1, 2), keepdim=True)
    gains = torch.where(variance < NO_CONTRAST, 0, covariance / variance)
    return upsampled + gains * (fine - coarse)

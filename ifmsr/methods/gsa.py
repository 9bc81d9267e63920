"""GSA: Gram-Schmidt adaptive sharpening of each band with its most correlated RGB channel.

Aiazzi, Baronti and Selva, IEEE TGRS 45(10), 2007, for a panchromatic image; extended to several channels as in the
review of Yokoya, Grohnfeldt and Chanussot, IEEE GRSM 5(2), 2017: bands are grouped by the channel that they
correlate with most at low resolution, and each group is sharpened with its channel P:

    I = sum_b w_b x_b + w_0             intensity: least-squares fit of blurred, decimated P by the group's LR bands
    y_b = x_b + g_b ((P - mean P) - (I - mean I)),   g_b = cov(x_b, I) / var(I)

where x_b is the upsampled band, w_b and w_0 are the weights and offset of the fit, and g_b is the injection gain.

Departure from the papers, as in the other classical methods of this package: the blur of P and the sub-pixel shift of
the upsampling are estimated from the two images (`ifmsr.degradation.estimation`); the papers assume a known, centred
blur. There is no denoising.
"""

import numpy as np
import torch
from torch import Tensor

from ifmsr.degradation.estimation import estimate_degradation
from ifmsr.degradation.sampling import decimate, upsample
from ifmsr.scenes.scene import Array, Observation

# variance below which there is no detail to inject (a standard deviation of 0.00003 of full scale)
NO_CONTRAST = 1e-9


class GSA:
    """GSA, Gram-Schmidt adaptive hypersharpening (Aiazzi et al. 2007). No settings."""

    title = "GSA"
    schedule = ""

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1]."""
        lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
        kernel = estimate_degradation(observation).kernel
        seen = decimate(rgb, kernel, observation.scale)
        sr = upsample(lr, kernel, observation.scale)
        channel_of_band = nearest_channel(lr, seen)
        for channel, (fine, coarse) in enumerate(zip(rgb, seen, strict=True)):
            group = channel_of_band == channel
            if group.any():
                sr[group] = sharpen(sr[group], lr[group], fine, coarse)
        return sr.clamp(0, 1).numpy()


def nearest_channel(lr: Tensor, seen: Tensor) -> Tensor:
    """(B, h, w), (3, h, w) -> (B,): the most correlated channel of each band; 0 for a constant band."""
    bands, channels = (image.flatten(1).double() for image in (lr, seen))
    bands, channels = (image - image.mean(1, keepdim=True) for image in (bands, channels))
    lengths = bands.norm(dim=1)[:, None] * channels.norm(dim=1)
    return ((bands @ channels.T) / lengths.clamp_min(torch.finfo(torch.double).tiny)).argmax(1)


def sharpen(upsampled: Tensor, lr: Tensor, fine: Tensor, coarse: Tensor) -> Tensor:
    """Sharpen one group of G bands with one RGB channel.

    Parameters
    ----------
    upsampled, lr : (G, H, W) and (G, h, w), the bands.
    fine, coarse : (H, W) and (h, w), the channel, and the channel blurred and decimated.

    Returns
    -------
    (G, H, W), not clipped.
    """
    intensity = torch.tensordot(intensity_weights(lr, coarse), upsampled, dims=1)
    intensity = intensity - intensity.mean()  # removes w_0
    centred = upsampled - upsampled.mean((1, 2), keepdim=True)
    variance = intensity.square().mean()
    if variance < NO_CONTRAST:
        return upsampled
    gains = (centred * intensity).mean((1, 2), keepdim=True) / variance
    return upsampled + gains * (fine - fine.mean() - intensity)


def intensity_weights(lr: Tensor, coarse: Tensor) -> Tensor:
    """(G, h, w), (h, w) -> (G,): minimum-norm least-squares weights, fitted with an intercept."""
    bands = lr.flatten(1).double().numpy()
    bands = bands - bands.mean(axis=1, keepdims=True)
    weights = np.linalg.lstsq(bands.T, coarse.flatten().double().numpy(), rcond=None)[0]
    return torch.from_numpy(weights).float()

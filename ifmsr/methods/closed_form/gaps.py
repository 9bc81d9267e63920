"""Invalid pixels of either image: their filling, and the guide's weight beside its own."""

import torch
from torch import Tensor

from ifmsr.degradation.defects import inpainted
from ifmsr.degradation.estimation import Estimate
from ifmsr.degradation.pair import Pair
from ifmsr.degradation.sampling import upsample
from ifmsr.degradation.smoothing import gaussian_taps, smoothed
from ifmsr.methods.closed_form.findings import Findings
from ifmsr.methods.closed_form.global_regression import regress_globally


def fill_gaps(pair: Pair, estimate: Estimate, found: Findings) -> Pair:
    """The pair with plausible values in its invalid pixels, if the guide is related to the cube.

    Invalid LR pixels get the spectra that the global map predicts from the guide, plus the residual of the pixels
    around them; invalid pixels of the guide get the RGB values of the upsampled cube.
    """
    lr, rgb, kernel, scale = pair.lr, pair.rgb, estimate.kernel, pair.scale
    usable = pair.usable(kernel)
    if not pair.lr_valid.all() and estimate.related and usable.any():
        whole = found if "global map" in found else None
        coarse = regress_globally(lr, rgb, kernel, scale, usable, whole).coarse
        lr = torch.where(pair.lr_valid, lr, coarse + inpainted(lr - coarse, pair.lr_valid))
    if not pair.rgb_valid.all() and estimate.related:
        rgb = torch.where(pair.rgb_valid, rgb, estimate.to_rgb(upsample(lr, kernel, scale)).clamp_min(0))
    return pair._replace(lr=lr.clamp_min(0), rgb=rgb)


def guided_share(pair: Pair, estimate: Estimate) -> Tensor:
    """(H, W) in [0, 1]: 1 where the guide is valid and related, falling to 0 towards its invalid pixels."""
    valid = pair.rgb_valid.float() * estimate.related
    if valid.min() == valid.max():
        return valid
    around = smoothed(valid[None], gaussian_taps(pair.scale / 2, valid.device))[0]
    return (2 * around - 1).clamp(0, 1)

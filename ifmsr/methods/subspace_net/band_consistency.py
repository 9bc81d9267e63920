"""Inter-band consistency map in (0, 1]: low where neighbouring bands are not co-registered.

They are not where something moved while the bands were captured one after the other. In the LR cube that shows as
jumps from band to band that spectra do not have. Around every LR pixel, J is the mean square of fourth differences over
the bands of the high-pass filtered cube (scaled so that white noise keeps its variance) and D the mean square of that
cube itself, minus the noise's. Sensors with few bands have jumps everywhere; so only the excess over the image's usual
ratio u counts, the median of (J - noise^2)+ / (D + noise^2) weighted by D:

    excess = (J - 1.2 noise^2 - u D)+
    consistency = 1 / (1 + excess / (noise^2 + D / 20))

1.2 allows for chance; where a twentieth of the detail jumps, the consistency is a half.
"""

from math import comb

import torch
from torch import Tensor

from ifmsr.degradation.smoothing import gaussian_taps, smoothed
from ifmsr.methods.closed_form.findings import Findings

ORDER = 4  # of the differences; less with fewer than five bands
SURROUNDINGS = 2.0  # standard deviation in LR pixels
WINDOW = 1.5  # likewise
CHANCE = 1.2
HALVING = 1 / 20
LEAST = 1e-12  # of an energy


def band_consistency(lr: Tensor, noise: float, found: Findings | None = None) -> Tensor:
    """(h, w) in (0, 1], 1 where the bands of a cube (B, h, w) with `noise` are consistent."""
    found = Findings() if found is None else found
    local = lr - smoothed(lr, gaussian_taps(SURROUNDINGS, lr.device))
    variance = noise**2
    jumps = energy(differences(local))
    detail = (energy(local) - variance).clamp_min(0)
    usual = found.once("usual jumps", lambda: usual_ratio(jumps, detail, variance))
    excess = (jumps - CHANCE * variance - usual * detail).clamp_min(0)
    return 1 / (1 + excess / (variance + HALVING * detail).clamp_min(LEAST))


def usual_ratio(jumps: Tensor, detail: Tensor, variance: float) -> Tensor:
    """The ratio of jumps to detail that half of an image's detail does not exceed."""
    return weighted_median((jumps - variance).clamp_min(0) / (detail + variance).clamp_min(LEAST), detail)


def differences(cube: Tensor) -> Tensor:
    """Fourth differences over the bands that keep the variance of white noise."""
    order = min(ORDER, len(cube) - 1)
    weights = cube.new_tensor([(-1) ** k * comb(order, k) for k in range(order + 1)])
    return torch.tensordot(weights / weights.norm(), cube.unfold(0, order + 1, 1), dims=([0], [3]))


def energy(cube: Tensor) -> Tensor:
    """(B, h, w) -> (h, w): mean square over bands and a window."""
    return smoothed(cube.square().mean(0, keepdim=True), gaussian_taps(WINDOW, cube.device))[0]


def weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """The value that half of the weight lies at or below."""
    ascending, order = values.flatten().sort()
    below = weights.flatten()[order].cumsum(0)
    return ascending[torch.searchsorted(below, below[-1] / 2).clamp_max(len(ascending) - 1)]

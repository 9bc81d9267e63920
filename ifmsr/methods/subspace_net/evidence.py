"""Whether the LR cube contradicts the network's correction, as on sensors unlike those of its training.

A correction adds detail that the LR cube does not show, so blurred and decimated it should change little. On CAVE's
scenes the corrected cube agrees with the LR cube as well as the training-free one does (mean square misfit in the
signal subspace: 0.99 to 1.03 times), and on sensors that the network never saw, where its correction is wrong by one
to five decibels, 1.2 to 2.2 times worse. In between the correction fades out.
"""

import torch
from torch import Tensor

from ifmsr.degradation.estimation import signal_basis

ACCEPTED, REFUSED = 1.05, 1.10  # ratios of misfits: the whole correction below, none above
IRRELEVANT = 0.02  # of the LR cube's root mean square: misfits that small are ignored


def correction_share(closed: Tensor, corrected: Tensor, lr: Tensor) -> float:
    """How much of a correction the LR cube supports, 0 to 1.

    All are (B, h, w): `closed` and `corrected` the cube without and with the correction, blurred and decimated.
    """
    basis, _ = signal_basis(lr)

    def misfit(cube: Tensor) -> Tensor:
        return torch.tensordot(basis.T, cube - lr, dims=1).square().mean()

    floor = IRRELEVANT**2 * lr.square().mean()
    least = torch.finfo(lr.dtype).tiny
    ratio = float((misfit(corrected.detach()) + floor) / (misfit(closed) + floor).clamp_min(least))
    return min(max((REFUSED - ratio) / (REFUSED - ACCEPTED), 0.0), 1.0)

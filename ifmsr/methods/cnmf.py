"""CNMF: coupled non-negative matrix factorisation of the hyperspectral cube and the RGB image.

Yokoya, Yairi and Iwasaki, IEEE TGRS 50(2), 2012. Let Y be the LR cube (B, n), Z the RGB image (3, N), R the spectral
response function and D the blur and decimation. Both images are unmixed into the same M endmembers,

    Y = W H_low,   Z = (R W) H,   H_low = D H,   all >= 0, columns of H summing to about 1,

with the endmembers W (B, M) and their abundances H (M, N) and H_low (M, n). The result is W H. All fits are
multiplicative updates (Lee and Seung):

1. Initialise W by vertex component analysis and H_low by 1 / M. Update H_low, then W and H_low in turn.
2. Initialise H by upsampling H_low. Update H with R W fixed.
3. Repeat `outer` times: H_low = D H; update W with H_low fixed; update H with R W fixed.

R W and H_low stay fixed in steps 2 and 3, as in the public program for images of at most three channels. The settings
are the program's: the weight of the sum-to-one constraint, 30 endmembers (without its test of virtual dimensionality,
which may choose more), 200 updates per fit (600 for the first), tolerance 1e-8, one outer iteration, and non-negative
least squares with an offset for an unknown response.

Departures from the program: the blur and its sub-pixel shift are estimated from the two images
(`ifmsr.degradation.estimation`), as in the other classical methods of this package; abundances are upsampled on the
shifted grid, bicubically instead of bilinearly; the objective is evaluated after every tenth update.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ifmsr.degradation.estimation import estimate_degradation
from ifmsr.degradation.sampling import decimate, upsample
from ifmsr.errors import InputError
from ifmsr.scenes.scene import Array, Observation

# least initial endmember and abundance: multiplicative updates cannot leave zero
SMALLEST = 1e-7
CHECK_EVERY = 10  # updates between two evaluations of the objective


@dataclass(frozen=True)
class CNMF:
    """CNMF, coupled non-negative matrix factorisation (Yokoya et al. 2012).

    Attributes
    ----------
    endmembers : M; reduced to the number of bands or of LR pixels if that is smaller.
    updates : maximum number of multiplicative updates per fit.
    outer : number of outer iterations (step 3 of the module's description).
    tolerance : a fit ends when the objective decreases by less than this fraction.
    seed : of the random directions of vertex component analysis.

    Raises
    ------
    InputError : a setting is out of range.
    """

    endmembers: int = 30
    updates: int = 200
    outer: int = 1
    tolerance: float = 1e-8
    seed: int = 0

    title = "CNMF"
    schedule = ""

    def __post_init__(self) -> None:
        for name, least in (("endmembers", 2), ("updates", 1), ("outer", 0)):
            if getattr(self, name) < least:
                raise InputError(name, f"found {getattr(self, name)}", f"Give a whole number from {least} on")

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1]."""
        lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
        scale = observation.scale
        response, kernel = estimate_degradation(observation)[:2]
        if observation.srf is None:
            response = nonnegative_response(lr, decimate(rgb, kernel, scale))
        spectra = lr.flatten(1)
        guide = (rgb - response[:, -1, None, None]).clamp_min(0).flatten(1)
        response = response[:, :-1]
        constraint = sum_to_one_weight(rgb)

        count = min(self.endmembers, *spectra.shape)
        w = vertex_components(spectra, count, self.seed).clamp_min(SMALLEST)
        low = torch.full((count, spectra.shape[1]), 1 / count)
        w, low = self.fit(spectra, w, low, constraint, move_h, 3 * self.updates)
        w, low = self.fit(spectra, w, low, constraint, move_both, self.updates)
        low_maps = low.unflatten(1, lr.shape[1:])  # (M, n) -> (M, h, w)
        h = upsample(low_maps, kernel, scale).clamp_min(SMALLEST).flatten(1)
        _, h = self.fit(guide, (response @ w).clamp_min(0), h, constraint, move_h, self.updates)
        for _ in range(self.outer):
            maps = h.unflatten(1, rgb.shape[1:])  # (M, N) -> (M, H, W)
            w, _ = self.fit(
                spectra, w, decimate(maps, kernel, scale).flatten(1), constraint, move_w, self.updates
            )
            _, h = self.fit(guide, (response @ w).clamp_min(0), h, constraint, move_h, self.updates)
        return (w @ h).unflatten(1, rgb.shape[1:]).clamp(0, 1).numpy()

    def fit(
        self, v: Tensor, w: Tensor, h: Tensor, constraint: float, move: "Move", updates: int
    ) -> tuple[Tensor, Tensor]:
        """Repeat `move` until the objective converges, at most `updates` times; returns W and H."""
        before = float("inf")
        for step in range(updates):
            w, h = move(v, w, h, constraint)
            if step % CHECK_EVERY == CHECK_EVERY - 1:
                now = objective(v, w, h, constraint)
                if before - now <= self.tolerance * now:
                    break
                before = now
        return w, h


Move = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]


def objective(v: Tensor, w: Tensor, h: Tensor, constraint: float) -> float:
    """|V - W H|^2 + (constraint * |1 - 1^T H|)^2."""
    return float((v - w @ h).square().sum() + constraint**2 * (1 - h.sum(0)).square().sum())


def move_h(v: Tensor, w: Tensor, h: Tensor, constraint: float) -> tuple[Tensor, Tensor]:
    """One multiplicative update of H. The constraint is an additional row of V and W with all values `constraint`."""
    wanted = w.T @ v + constraint**2
    have = (w.T @ w + constraint**2) @ h
    return w, wanted.div_(have.clamp_min_(torch.finfo(h.dtype).tiny)).mul_(h)


def move_w(v: Tensor, w: Tensor, h: Tensor, constraint: float) -> tuple[Tensor, Tensor]:
    """One multiplicative update of W; the sum-to-one constraint does not depend on W."""
    have = w @ (h @ h.T)
    return w * (v @ h.T) / have.clamp_min(torch.finfo(w.dtype).tiny), h


def move_both(v: Tensor, w: Tensor, h: Tensor, constraint: float) -> tuple[Tensor, Tensor]:
    """One multiplicative update of W, then of H."""
    return move_h(v, *move_w(v, w, h, constraint), constraint)


def sum_to_one_weight(rgb: Tensor) -> float:
    """The public program's weight of the constraint: 2 sqrt(mean / 0.7455) / channels^3."""
    return 2 * float((rgb.mean() / 0.7455).sqrt()) / len(rgb) ** 3


def nonnegative_response(lr: Tensor, seen: Tensor) -> Tensor:
    """The response (3, B + 1) of an LR cube (B, h, w) and its RGB values (3, h, w), by non-negative least squares.

    The last column is the offset.
    """
    from scipy.optimize import nnls

    spectra = lr.flatten(1).T.double().numpy()
    system = np.hstack([spectra, np.ones((len(spectra), 1))])
    orthogonal, triangle = np.linalg.qr(system)  # the same problem, with as many rows as unknowns
    targets, most = seen.flatten(1).double().numpy() @ orthogonal, 100 * system.shape[1]
    rows = [nnls(triangle, target, maxiter=most)[0] for target in targets]
    return torch.from_numpy(np.stack(rows)).float()


def vertex_components(spectra: Tensor, count: int, seed: int) -> Tensor:
    """Endmembers (B, count) of spectra (B, n) by vertex component analysis.

    Nascimento and Bioucas-Dias, IEEE TGRS 43(4), 2005: project the pixels on a subspace, then repeatedly choose the
    pixel with the largest component along a random direction orthogonal to the endmembers found so far. If the
    signal-to-noise ratio exceeds 15 + 10 log10(count) dB, the subspace has `count` dimensions and each pixel is divided
    by its component along the mean; otherwise it has `count` - 1 dimensions around the mean.
    """
    pixels = spectra.double()
    mean = pixels.mean(1, keepdim=True)
    inside = principal(pixels - mean, count).T @ (pixels - mean)
    power = pixels.square().sum() / pixels.shape[1]
    kept = inside.square().sum() / pixels.shape[1] + mean.square().sum()
    signal, noise = kept - count / len(pixels) * power, (power - kept).clamp_min(0)
    if count < len(pixels) and signal > 10**1.5 * count * noise:
        basis, origin = principal(pixels, count), torch.zeros_like(mean)
        coordinates = basis.T @ pixels
        along = coordinates.mean(1) @ coordinates
        points = coordinates / along.clamp_min(1e-6 * along.mean())
    else:
        basis, origin = principal(pixels - mean, count - 1), mean
        coordinates = basis.T @ (pixels - mean)
        farthest = coordinates.norm(dim=0).max()
        points = torch.cat([coordinates, farthest.expand(1, coordinates.shape[1])])

    generator = torch.Generator().manual_seed(seed)
    found = torch.zeros(count, count, dtype=torch.double)
    found[-1, 0] = 1
    chosen = []
    for i in range(count):
        direction = torch.randn(count, generator=generator, dtype=torch.double)
        direction -= found @ (torch.linalg.pinv(found) @ direction)
        chosen.append(int((direction @ points).abs().argmax()))
        found[:, i] = points[:, chosen[-1]]
    return (basis @ coordinates[:, chosen] + origin).float()


def principal(pixels: Tensor, count: int) -> Tensor:
    """(B, n) -> (B, count): the leading eigenvectors of the scatter matrix."""
    return torch.linalg.eigh(pixels @ pixels.T)[1][:, len(pixels) - count :].flip(1)

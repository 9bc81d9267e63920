"""LTTR: low tensor-train-rank fusion.

R. Dian, S. Li and L. Fang, "Learning a low tensor-train rank representation for hyperspectral image
super-resolution", IEEE TNNLS 30(9), 2019. Let X be the LR cube, Y the RGB image, Z the HR cube, H the blur and
decimation, R the spectral response function and Z^k the tensor (p, p, B, N_k) of all patches of group k. The method
minimises

    w |X - H Z|^2 + |Y - R Z|^2 + prior * sum over k and t = 1, 2, 3 of alpha_t^k LS(Z^k_<t>)

Z_<t> is the unfolding with the first t modes as rows, LS(A) the sum of the logarithms of A's singular values, and
alpha_t is proportional to the square root of the smaller side of Z_<t>. Patches are grouped by the RGB image alone. The
problem is solved by ADMM with one copy of Z per t; w = 1 as published (see `NonBlind` for other weights).

Settings: patches of 8 x 8 with step 4, penalty 1e-3 and 25 iterations are the public program's (the paper gives none);
120 clusters are the paper's for CAVE (the program's example has 160); `prior` is that of both for CAVE.

Departures from the program: any image size (one more row and column of patches where the grid does not fit); groups of
more than 512 patches are split; the initial bicubic interpolation is aligned with the assumed kernel (the program's is
shifted by (scale - 1) / 2 pixels); singular values come from the eigenvalues of Gram matrices.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from ifmsr.degradation.observation_operator import BlurDecimate
from ifmsr.degradation.sampling import upsample
from ifmsr.errors import InputError
from ifmsr.methods.patch_based.non_blind import NonBlind, TrueKernel
from ifmsr.methods.patch_based.patch_groups import PatchGroups
from ifmsr.progress import with_progress

PATCH, STRIDE = 8, 4
LARGEST_GROUP = 512
PENALTY = 1e-3  # mu


@dataclass(frozen=True, eq=False)
class LTTR(NonBlind):
    """LTTR, fusion by low tensor-train rank (Dian et al. 2019); see `NonBlind` for kernel, weight and seed.

    The default LR weight for noisy cubes, 0.02, was chosen on 256 x 256 windows of two training scenes (CAVE
    stuffed_toys and paints, test degradation, x4 and x8, estimated kernel): it is within 0.2 dB of the best of 1, 0.1,
    0.05, 0.02, 0.01 and 0.005. A weight of 1 is 3 to 15 dB worse there.

    Attributes
    ----------
    clusters : number of patch groups (k-means); the paper: 120 for CAVE, 460 for Pavia University.
    prior : weight of the low-rank prior; the paper: 1e-2 for CAVE, 4e-4 for Pavia University.
    iterations : of ADMM.

    Raises
    ------
    InputError : a setting is out of range.
    """

    clusters: int = 120
    prior: float = 1e-2
    iterations: int = 25

    name: ClassVar[str] = "LTTR"
    blur: ClassVar[str] = "lttr"
    noise_weight: ClassVar[float] = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        for setting in ("clusters", "prior", "iterations"):
            if not getattr(self, setting) > 0:
                raise InputError(setting, f"found {getattr(self, setting)}", "Give a number above zero")

    def fuse(self, lr: Tensor, rgb: Tensor, srf: Tensor, kernel: Tensor) -> Tensor:
        """(B, h, w), (3, H, W), (3, B), (k, k) -> (B, H, W), not clipped: the result of the last Z-step."""
        scale = rgb.shape[1] // lr.shape[1]
        operator = BlurDecimate(kernel, scale, (rgb.shape[1], rgb.shape[2]))
        groups = PatchGroups(rgb, PATCH, STRIDE, self.clusters, self.seed, largest=LARGEST_GROUP)
        seen = torch.tensordot(srf.T, rgb, dims=1) + self.weight * operator.adjoint(lr)
        copies = [upsample(lr, kernel, scale)] * 3
        multipliers = [torch.zeros_like(copy) for copy in copies]  # O_c / (2 mu)
        cube = z_step(operator, srf, seen, copies, multipliers, self.weight)
        for _ in with_progress(range(1, self.iterations), self.title):
            for copy in range(3):
                copies[copy] = low_rank(groups, cube - multipliers[copy], copy + 1, self.prior)
                multipliers[copy] += copies[copy] - cube
            cube = z_step(operator, srf, seen, copies, multipliers, self.weight)
        return cube


def z_step(
    operator: BlurDecimate,
    srf: Tensor,
    seen: Tensor,
    copies: list[Tensor],
    multipliers: list[Tensor],
    weight: float,
) -> Tensor:
    """Solve (R^T R + 3 mu I) Z + w H^T H Z = seen + mu * sum of (copy + multiplier) for Z, (B, H, W).

    All terms except w H^T H act on spectra only, so in the eigenbasis of R^T R the equations of the rows decouple.

    Parameters
    ----------
    srf : R (3, B).
    seen : R^T Y + w H^T X, (B, H, W).
    copies, multipliers : three each of (B, H, W); multipliers are divided by 2 mu.
    weight : w.
    """
    right = seen.clone()
    for copy, multiplier in zip(copies, multipliers, strict=True):
        right.add_(copy, alpha=PENALTY).add_(multiplier, alpha=PENALTY)
    values, vectors = torch.linalg.eigh(srf.T.double() @ srf.double())
    values = (values + len(copies) * PENALTY).to(srf.dtype)
    vectors = vectors.to(srf.dtype)
    rows = operator.solve(torch.tensordot(vectors.T, right, dims=1) / weight, values / weight)
    return torch.tensordot(vectors, rows, dims=1)


def low_rank(groups: PatchGroups, image: Tensor, modes: int, prior: float) -> Tensor:
    """ADMM step of one copy: shrink the singular values of Z_<modes> of each group's tensor. (B, H, W) -> same."""

    def shrink_group(_: int, patches: Tensor) -> Tensor:
        count, _, bands = patches.shape
        tensor = patches.view(count, groups.height, groups.width, bands)
        return shrink_unfolding(tensor, modes, prior).reshape(patches.shape)

    return groups.apply(shrink_group, image)


def shrink_unfolding(patches: Tensor, modes: int, prior: float) -> Tensor:
    """Shrink the singular values of an unfolding of patches (N, p, p, B); same shape.

    The rows of the unfolding are the first `modes` modes of (p, p, B, N).
    """
    count, height, width, bands = patches.shape
    sides = unfolding_sides((height, width, bands, count))
    alpha = math.sqrt(sides[modes - 1]) / sum(map(math.sqrt, sides))
    front = patches.movedim(0, modes)  # the modes of the rows come first
    matrix = front.reshape(math.prod(front.shape[:modes]), -1)
    shrunk = shrink(matrix, prior * alpha / (2 * PENALTY))
    return shrunk.reshape(front.shape).movedim(modes, 0)


def unfolding_sides(shape: tuple[int, int, int, int]) -> list[int]:
    """The length of the smaller side of the unfoldings <1>, <2>, <3> of a tensor of this shape."""
    return [min(math.prod(shape[:modes]), math.prod(shape[modes:])) for modes in (1, 2, 3)]


def shrink(matrix: Tensor, weight: float) -> Tensor:
    """Shrinkage of singular values: a local minimiser A of |A - matrix|^2 / 2 + weight * sum of log(s_i(A) + eps).

    It follows the paper's rule with eps -> 0. Singular values s up to 2 sqrt(weight) become 0; others become
    (s + sqrt(s^2 - 4 weight)) / 2, the local minimum reached by descent from s.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return shrink(matrix.T, weight).T
    squares, vectors = torch.linalg.eigh(matrix @ matrix.T)
    kept = squares > 4 * weight
    squares, vectors = squares[kept], vectors[:, kept]
    ratios = (1 + (1 - 4 * weight / squares).sqrt()) / 2  # new singular value / old singular value
    return (vectors * ratios) @ (vectors.T @ matrix)


lttr_estimated = partial(LTTR, kernel="estimated")
lttr_oracle = partial(TrueKernel, LTTR())

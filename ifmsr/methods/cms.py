"""CMS: fusion by clustering manifold structure.

L. Zhang, W. Wei, C. Bai, Y. Gao and Y. Zhang, "Exploiting clustering manifold structure for hyperspectral
imagery super-resolution", IEEE TIP 27(12), 2018; written from the behaviour of the public program. With Z the
HR cube, H blur and decimation, R the spectral response and G_k(Z) the matrix of all patches of group k as columns:

    w |X - H Z|^2 + |Y - R Z|^2 + eta * sum over k of |G_k(Z) - G_k(Z) W_k|^2

W_k writes every patch of the RGB image as a combination of the others of its group (`SelfRepresentation`);
the prior asks the same of the cube's patches. ADMM with two copies of Z, U for the prior and S for the RGB term, and
a penalty mu that grows; w = 1 as published (see `NonBlind` for other weights).

Departures from the program: the number of iterations is fixed, where it stops when the PSNR against the truth
no longer grows; a group of one patch represents itself, where its W = 0 pulls the patch to zero; a cluster
that becomes empty is left out, where it begins again; groups whose W_k would amplify errors take shorter steps;
any image size; the Z-step is solved exactly, where it takes conjugate gradients; and W_k of large groups is
applied in factors, so that memory stays linear. The program has no setting for scales below 8, which take that
of 8.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ifmsr.degradation.observation_operator import BlurDecimate
from ifmsr.degradation.sampling import upsample
from ifmsr.errors import InputError
from ifmsr.methods.patch_based.non_blind import NonBlind, TrueKernel
from ifmsr.methods.patch_based.patch_groups import PatchGroups

PATCH, STRIDE = 4, 2
RIDGE = 1e-3  # of W's least squares
POWER_ITERATIONS = 50


class Schedule(NamedTuple):
    """The penalty's first value, its growth with every iteration, and the iterations."""

    penalty: float
    growth: float
    iterations: int


SCHEDULES = {8: Schedule(4e-4, 1.05, 100), 16: Schedule(1e-4, 1.03, 200), 32: Schedule(5e-5, 1.005, 300)}


@dataclass(frozen=True, eq=False)
class CMS(NonBlind):
    """CMS, fusion by clustering manifold structure (Zhang et al. 2018); see `NonBlind` for kernel, weight and seed.

    The weight for noisy LR cubes, 0.1, is within 0.3 dB of the best of 1, 0.3, 0.1 and 0.03 on 256 x 256 windows of
    two training scenes (CAVE stuffed_toys and paints, the test degradation, x4 and x8, estimated kernel); there 1
    is 0.5 to 2.7 dB worse.

    Attributes
    ----------
    clusters : groups of patches that k-means makes.
    eta : weight of the prior; the program: 0.1 for the assumed block mean.
    back_projection : as the program does for the block mean, make the result fit both images exactly at
        the end. Not the default: noise or another blur than the assumed one would be forced into the result. On the
        test degradation at x4 it costs 7 dB (32.7 instead of 39.7; the paper's table: 34.2).

    Raises
    ------
    InputError : a setting is out of range, or back-projection is asked for with a kernel that is not the
        block mean.
    """

    clusters: int = 300
    eta: float = 0.1
    back_projection: bool = False

    name: ClassVar[str] = "CMS"
    blur: ClassVar[str] = "cms"
    noise_weight: ClassVar[float] = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for setting in ("clusters", "eta"):
            if not getattr(self, setting) > 0:
                raise InputError(setting, f"found {getattr(self, setting)}", "Give a number above zero")
        if self.back_projection and self.source != "assumed":
            raise InputError(
                "back_projection",
                f"the kernel is the {self.source} one",
                "Use it with the assumed block mean",
            )

    @property
    def title(self) -> str:
        """As of every `NonBlind`, and whether it ends with back-projection."""
        return super().title + (", back-projected" if self.back_projection else "")

    def fuse(self, lr: Tensor, rgb: Tensor, srf: Tensor, kernel: Tensor) -> Tensor:
        """(B, h, w), (3, H, W), (3, B), (k, k) -> (B, H, W), not clipped."""
        scale = rgb.shape[1] // lr.shape[1]
        operator = BlurDecimate(kernel, scale, (rgb.shape[1], rgb.shape[2]))
        groups = PatchGroups(rgb, PATCH, STRIDE, self.clusters, self.seed, exponent=1)
        weights = [SelfRepresentation(patches.flatten(1)) for patches in groups.vectors(rgb)]
        seen_lr = self.weight * operator.adjoint(lr)
        seen_rgb = torch.tensordot(srf.T, rgb, dims=1)
        cube = upsample(lr, kernel, scale)
        u_multiplier, s_multiplier = torch.zeros_like(cube), torch.zeros_like(cube)
        penalty, growth, iterations = schedule_for(scale)
        for _ in tqdm(range(iterations), desc=self.title, mininterval=2, leave=False):
            represented = groups.apply(lambda group, patches: weights[group](patches), cube)
            u = u_step(cube, represented, u_multiplier, self.eta, penalty)
            s = s_step(cube, seen_rgb, s_multiplier, srf, penalty)
            cube = z_step(operator, seen_lr, u, s, u_multiplier + s_multiplier, penalty, self.weight)
            u_multiplier += 2 * penalty * (cube - u)
            s_multiplier += 2 * penalty * (cube - s)
            penalty *= growth
        return back_project(cube, lr, rgb, srf, operator) if self.back_projection else cube


def schedule_for(scale: int) -> Schedule:
    """The program's schedule for the largest of its scales that does not exceed `scale`; below 8, that of 8."""
    return SCHEDULES[max([8, *(published for published in SCHEDULES if published <= scale)])]


class SelfRepresentation:
    """How each patch of a group is made from the others: patches -> W^T patches.

    W is least in |D - D W|^2 + RIDGE |W|^2 with diagonal 0, where D has the RGB patches as columns. With
    A = (D^T D + RIDGE I)^-1 that is W_ij = -A_ij / A_jj off the diagonal. By the push-through identity, with
    M = (D D^T + RIDGE I)^-1 and the leverages h_j = d_j^T M d_j,

        I - W = (I - D^T M D) diag(1 / (1 - h)),   W = D^T M D diag(1 / (1 - h)) - diag(h / (1 - h)),

    which is applied in these factors wherever N, the patches, are more than twice the length d of a patch. Smaller
    groups have W itself: there it costs less, and h near 1 would cost the factors their precision.

    The prior replaces patches G by G W once per iteration. Where patches are few or unusual, W has eigenvalues far
    below -1, and doing so can amplify errors until nothing else is left: a 128 x 128 window of CAVE stuffed_toys
    with 60 clusters, its blur matched and without noise, ended at 5 dB (43 dB with the following). There
    G + `step` * (G W - G) takes its place: the same patches satisfy the prior, and no eigenvalue is below -1.

    Parameters
    ----------
    vectors : D^T, (N, d).
    """

    def __init__(self, vectors: Tensor):
        self.single = len(vectors) == 1
        self.whole = len(vectors) <= 2 * vectors.shape[1]
        d = vectors.double()
        gram = d.T @ d
        gram.diagonal().add_(RIDGE)
        solved = torch.linalg.solve(gram, d.T)  # M D, (d, N)
        rest = 1 - (d.T * solved).sum(0)  # 1 - h
        self.step = min(1.0, 2 / self._largest(d, solved, rest.rsqrt()))
        diagonal = self.step * (1 - rest) / rest - (1 - self.step)
        factor = self.step * solved / rest
        if self.whole:
            self.weights = (d @ factor).to(vectors.dtype)
            self.weights.diagonal().copy_(torch.full_like(diagonal, 1 - self.step))
        else:
            self.vectors, self.factor = vectors, factor.to(vectors.dtype)
            self.diagonal = diagonal.to(vectors.dtype)

    def _largest(self, d: Tensor, solved: Tensor, root: Tensor) -> float:
        """The largest eigenvalue of I - W, a little less for large groups (power iteration).

        I - W has the eigenvalues of the symmetric S (I - D^T M D) S with S = diag(`root`).
        """
        if self.whole:
            identity = torch.eye(len(d), dtype=d.dtype, device=d.device)
            return float(torch.linalg.eigvalsh(root[:, None] * (identity - d @ solved) * root)[-1])
        vector = torch.randn(len(d), generator=torch.Generator().manual_seed(0), dtype=d.dtype).to(d.device)
        for _ in range(POWER_ITERATIONS):
            vector = vector / vector.norm()
            scaled = root * vector
            vector = root * (scaled - solved.T @ (d.T @ scaled))
        return float(vector.norm())

    def __call__(self, patches: Tensor) -> Tensor:
        """(N, p p, B) -> the same shape; a single patch stays as it is."""
        if self.single:
            return patches
        rows = patches.flatten(1)
        if self.whole:
            made = self.weights.T @ rows
        else:
            made = self.factor.T @ (self.vectors.T @ rows) - self.diagonal[:, None] * rows
        return made.view(patches.shape)


def u_step(cube: Tensor, represented: Tensor, multiplier: Tensor, eta: float, penalty: float) -> Tensor:
    """The U least in eta |U - represented|^2 + mu |cube - U + multiplier / (2 mu)|^2."""
    return (penalty * cube + eta * represented + multiplier / 2) / (penalty + eta)


def s_step(cube: Tensor, seen_rgb: Tensor, multiplier: Tensor, srf: Tensor, penalty: float) -> Tensor:
    """The S of (R^T R + mu I) S = R^T Y + mu cube + multiplier / 2, with `seen_rgb` = R^T Y."""
    matrix = srf.T.double() @ srf.double()
    matrix.diagonal().add_(penalty)
    right = penalty * cube + seen_rgb + multiplier / 2
    return torch.tensordot(torch.linalg.inv(matrix).to(srf.dtype), right, dims=1)


def z_step(
    operator: BlurDecimate,
    seen_lr: Tensor,
    u: Tensor,
    s: Tensor,
    multipliers: Tensor,
    penalty: float,
    weight: float,
) -> Tensor:
    """The Z of (w H^T H + 2 mu I) Z = seen_lr + mu (U + S) - multipliers / 2, with `seen_lr` = w H^T X.

    `multipliers` is the sum of both.
    """
    right = seen_lr + penalty * (u + s) - multipliers / 2
    return operator.solve(right / weight, right.new_full(right.shape[:1], 2 * penalty / weight))


def back_project(cube: Tensor, lr: Tensor, rgb: Tensor, srf: Tensor, operator: BlurDecimate) -> Tensor:
    """The cube after alternating projections onto what fits the RGB and onto what fits the LR image.

    They end when the second one's correction no longer shrinks by a thousandth: at once if images fit each other.
    """
    right_inverse = torch.linalg.pinv(srf.double()).to(srf.dtype)  # (B, 3)
    before = torch.inf
    while True:
        cube = cube + torch.tensordot(right_inverse, rgb - torch.tensordot(srf, cube, dims=1), dims=1)
        correction = operator.minimum_norm(lr - operator.forward(cube))
        cube = cube + correction
        size = float(correction.norm())
        if size >= 0.999 * before:
            return cube
        before = size


cms_back_projected = partial(CMS, back_projection=True)
cms_estimated = partial(CMS, kernel="estimated")
cms_oracle = partial(TrueKernel, CMS())

"""CMS: fusion by clustering manifold structure.

L. Zhang, W. Wei, C. Bai, Y. Gao and Y. Zhang, "Exploiting clustering manifold structure for hyperspectral
imagery super-resolution", IEEE TIP 27(12), 2018; written from the behaviour of the public program. Let X be the LR
cube, Y the RGB image, Z the HR cube, H the blur and decimation, R the spectral response function and G_k(Z) the matrix
with all patches of group k as columns. The method minimises

    w |X - H Z|^2 + |Y - R Z|^2 + eta * sum over k of |G_k(Z) - G_k(Z) W_k|^2

W_k represents each RGB patch as a linear combination of the other patches of its group (`SelfRepresentation`); the
prior applies the same weights to the patches of the cube. The problem is solved by ADMM with two copies of Z, U for the
prior and S for the RGB term, and a growing penalty mu; w = 1 as published (see `NonBlind` for other weights).

Departures from the program:

- The number of iterations is fixed. The program stops when the PSNR against the truth no longer increases.
- A group of one patch represents itself. The program's W = 0 shrinks that patch towards zero.
- A cluster that becomes empty is dropped. The program starts again.
- Groups whose W_k would amplify errors take shorter steps.
- Images may have any size.
- The Z-step is solved exactly instead of by conjugate gradients.
- W_k of large groups is applied in factored form, so that memory grows linearly.
- Scales below 8, for which the program has no setting, use that of 8.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ifmsr.degradation.observation_operator import BlurDecimate
from ifmsr.degradation.sampling import upsample
from ifmsr.errors import InputError
from ifmsr.methods.patch_based.non_blind import NonBlind, TrueKernel
from ifmsr.methods.patch_based.patch_groups import PatchGroups
from ifmsr.progress import with_progress

PATCH, STRIDE = 4, 2
RIDGE = 1e-3  # of W's least squares
POWER_ITERATIONS = 50


class Schedule(NamedTuple):
    """Schedule of ADMM's penalty: its initial value, its growth factor per iteration, and the number of iterations."""

    penalty: float
    growth: float
    iterations: int


SCHEDULES = {8: Schedule(4e-4, 1.05, 100), 16: Schedule(1e-4, 1.03, 200), 32: Schedule(5e-5, 1.005, 300)}


@dataclass(frozen=True, eq=False)
class CMS(NonBlind):
    """CMS, fusion by clustering manifold structure (Zhang et al. 2018); see `NonBlind` for kernel, weight and seed.

    The default LR weight for noisy cubes, 0.1, was chosen on 256 x 256 windows of two training scenes (CAVE
    stuffed_toys and paints, test degradation, x4 and x8, estimated kernel): it is within 0.3 dB of the best of 1, 0.3,
    0.1 and 0.03. A weight of 1 is 0.5 to 2.7 dB worse there.

    Attributes
    ----------
    clusters : number of patch groups (k-means).
    eta : weight of the prior; the program: 0.1 for the assumed block mean.
    back_projection : make the result fit both images exactly at the end, as the program does for the block mean. Off
        by default, because noise or a mismatch of the assumed blur is then forced into the result: on the test
        degradation at x4 it costs 7 dB (32.7 instead of 39.7 dB; the paper's table: 34.2).

    Raises
    ------
    InputError : a setting is out of range, or back-projection is combined with a kernel other than the block mean.
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
        """The title of `NonBlind`, with ", back-projected" if that step is on."""
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
        for _ in with_progress(range(iterations), self.title):
            represented = groups.apply(lambda group, patches: weights[group](patches), cube)
            u = u_step(cube, represented, u_multiplier, self.eta, penalty)
            s = s_step(cube, seen_rgb, s_multiplier, srf, penalty)
            cube = z_step(operator, seen_lr, u, s, u_multiplier + s_multiplier, penalty, self.weight)
            u_multiplier += 2 * penalty * (cube - u)
            s_multiplier += 2 * penalty * (cube - s)
            penalty *= growth
        return back_project(cube, lr, rgb, srf, operator) if self.back_projection else cube


def schedule_for(scale: int) -> Schedule:
    """The program's schedule for its largest scale up to `scale`; below 8, that of 8."""
    return SCHEDULES[max([8, *(published for published in SCHEDULES if published <= scale)])]


class SelfRepresentation:
    """Representation of each patch of a group by the other patches: patches -> W^T patches.

    W minimises |D - D W|^2 + RIDGE |W|^2 with zero diagonal, where D has the RGB patches as columns. With
    A = (D^T D + RIDGE I)^-1 the solution is W_ij = -A_ij / A_jj off the diagonal. By the push-through identity, with
    M = (D D^T + RIDGE I)^-1 and the leverages h_j = d_j^T M d_j,

        I - W = (I - D^T M D) diag(1 / (1 - h)),   W = D^T M D diag(1 / (1 - h)) - diag(h / (1 - h)).

    If the number of patches N exceeds twice the patch length d, W is applied in this factored form. Smaller groups
    store W itself: it is cheaper there, and the factors lose precision where h is near 1.

    The prior replaces patches G by G W once per iteration. In groups with few or unusual patches W has eigenvalues far
    below -1, and the iteration diverges: a 128 x 128 window of CAVE stuffed_toys with 60 clusters, matched blur and no
    noise ended at 5 dB. These groups use G + `step` * (G W - G) instead (43 dB in that example), which has the same
    fixed points and no eigenvalue below -1.

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
        """The largest eigenvalue of I - W; for large groups a slight underestimate by power iteration.

        I - W has the same eigenvalues as the symmetric matrix S (I - D^T M D) S with S = diag(`root`).
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
        """(N, p p, B) -> the same shape; a single patch is returned unchanged."""
        if self.single:
            return patches
        rows = patches.flatten(1)
        if self.whole:
            made = self.weights.T @ rows
        else:
            made = self.factor.T @ (self.vectors.T @ rows) - self.diagonal[:, None] * rows
        return made.view(patches.shape)


def u_step(cube: Tensor, represented: Tensor, multiplier: Tensor, eta: float, penalty: float) -> Tensor:
    """The U that minimises eta |U - represented|^2 + mu |cube - U + multiplier / (2 mu)|^2."""
    return (penalty * cube + eta * represented + multiplier / 2) / (penalty + eta)


def s_step(cube: Tensor, seen_rgb: Tensor, multiplier: Tensor, srf: Tensor, penalty: float) -> Tensor:
    """Solve (R^T R + mu I) S = R^T Y + mu cube + multiplier / 2 for S, with `seen_rgb` = R^T Y."""
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
    """Solve (w H^T H + 2 mu I) Z = seen_lr + mu (U + S) - multipliers / 2 for Z, with `seen_lr` = w H^T X.

    `multipliers` is the sum of the multipliers of U and S.
    """
    right = seen_lr + penalty * (u + s) - multipliers / 2
    return operator.solve(right / weight, right.new_full(right.shape[:1], 2 * penalty / weight))


def back_project(cube: Tensor, lr: Tensor, rgb: Tensor, srf: Tensor, operator: BlurDecimate) -> Tensor:
    """Project the cube alternately on the cubes that fit the RGB image and on those that fit the LR cube.

    The iteration ends when the correction of the second projection decreases by less than 0.1 %; if the two images are
    consistent, this is the case at once.
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

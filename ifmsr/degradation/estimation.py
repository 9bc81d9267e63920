"""Blind estimation of the degradation between an LR cube and its RGB guide: kernel, shift, noise, spectral response.

With y the LR cube (B, n), z the RGB guide (3, N), P the response and D_k "blur by k and decimate", both images show the
same RGB values, P y = D_k z + noise. That is linear in the sampling kernel k and, for a given k, in P.
"""

from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.kernels import (
    LEAST_ENERGY,
    as_kernel,
    block_mean,
    estimate_kernel,
    kernel_gram,
    smooth_gram,
    solve_taps,
)
from ifmsr.degradation.pair import Pair, as_pair
from ifmsr.degradation.relation import FEWEST_EDGES, Edges, Relation, best_gaussian
from ifmsr.degradation.sampling import centroid, decimate
from ifmsr.devices import here
from ifmsr.precision import float32_by_default
from ifmsr.scenes.scene import Observation

RESPONSE_RIDGE = 1e-3  # of an unknown response, relative to the data term's mean diagonal
CAMERA_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)  # of a non-negative response, relative to the noise's energy
LEEWAY = 0.02  # in the residual of a response, relative to the noise's variance
RESPONSE_DOUBT = 0.02  # of an estimated response, see `Estimate.right_inverse`
DOUBTFUL = 1.5  # a given response's square misfit in units of the LR noise
DOUBTFUL_PAIR = 2.2  # likewise: above, the kernel is searched for by what both images share
FEWEST_PIXELS = 2.0  # per band: with fewer, an estimated response fits any guide
RELATED = 15.0  # times chance: what a related guide shares at least, if the misfit does not contradict
CERTAIN = 32.0  # likewise if it does: related guides share 38 to 380, mirrored symmetric scenes up to 29
AMPLE = 1.3  # nats: with so much mutual information, as related guides share, the smaller ratio suffices
EXPLAINED = 0.3  # largest unexplained share of small images' differences
FEW_BANDS = 8  # fewer do not separate noise from signal
GAUSSIAN_MEDIAN = 0.6745  # of the absolute value, in standard deviations


class Estimate(NamedTuple):
    """The degradation of one observation.

    Attributes
    ----------
    response : (3, B + 1) affine, last column the offset: 0 for a response that was given.
    kernel : (k, k) sampling kernel, non-negative, sum 1, k = `kernel_side(scale)`, counted from the middle of each
        scale x scale block: blur and down-sampler in one.
    noise : standard deviation of the LR cube's noise, in the cube's unit.
    rgb_noise : likewise of the guide's in dark pixels, in its unit, before it was denoised; 0 if that is not known.
    given : whether the response was given with the observation, and fits.
    misfit : mean square difference between the RGB values that the LR cube explains and those of the guide, in units
        of the part that the LR noise explains: 1 to 2 for a good pair.
    shared : mutual information of both images (see `ifmsr.degradation.relation`), in units of chance; infinite where
        `misfit` already shows that they belong together.
    information : the same in nats.
    """

    response: Tensor
    kernel: Tensor
    noise: float
    given: bool = False
    misfit: float = 1.0
    shared: float = float("inf")
    information: float = float("inf")
    rgb_noise: float = 0.0

    @property
    def related(self) -> bool:
        """Whether the guide shows what the LR cube shows; if not, the kernel is the mean of a block."""
        confirmed = self.misfit <= DOUBTFUL_PAIR or self.information > AMPLE
        return self.shared > (RELATED if confirmed else CERTAIN)

    def to_rgb(self, cube: Tensor) -> Tensor:
        """(B, H, W) as the camera sees it, (3, H, W)."""
        return torch.tensordot(self.response[:, :-1], cube, dims=1) + self.response[:, -1, None, None]

    @property
    def right_inverse(self) -> Tensor:
        """(B, 3) regularised right inverse of the SRF: the minimum-norm spectral update per RGB residual.

        P^T (P P^T + d I)^-1. d is 0 for a given response; an estimated one is reliable only in the directions that the
        scene shows, so it is not inverted all the way.
        """
        response = self.response[:, :-1].double()
        doubt = (0.0 if self.given else RESPONSE_DOUBT) * torch.eye(3, dtype=torch.double)
        return (response.T @ torch.linalg.pinv(response @ response.T + doubt)).float()

    @property
    def shift(self) -> tuple[float, float]:
        """How far (down, right) the LR grid lies from the centred one, in HR pixels."""
        return centroid(self.kernel)

    @property
    def widths(self) -> tuple[float, float, float]:
        """Standard deviations of the kernel along its long and short axis in HR pixels, and the long axis' angle.

        The angle is in radians, from the rows' direction (x) towards growing row numbers (y).
        """
        down, right = self.shift
        taps = torch.arange(len(self.kernel)) - (len(self.kernel) - 1) / 2
        y, x = torch.meshgrid(taps - down, taps - right, indexing="ij")
        moments = [(self.kernel * product).sum() for product in (x * x, x * y, x * y, y * y)]
        variances, axes = torch.linalg.eigh(torch.stack(moments).view(2, 2))
        short, long = variances.clamp_min(0).sqrt().tolist()
        return long, short, float(torch.atan2(axes[1, 1], axes[0, 1]) % torch.pi)


@float32_by_default()
def estimate_degradation(observation: Observation) -> Estimate:
    """Kernel, shift and noise of an observation, and the response where it has none or one that does not fit.

    A given response is doubted if its residual exceeds what the LR noise explains, and replaced if that of an estimated
    one is less than half of it, after correction for its B + 1 free parameters. If the residual of either is too large,
    the kernel of largest mutual information is taken instead; if the images share no more than images of different
    places, the guide is not related to the cube.
    """
    return in_units(*estimated_pair(observation), observation)


@dataclass(frozen=True)
class Estimated(Observation):
    """An observation that keeps its pair and estimate for what comes after; a copy by `replace` does not have them."""

    known: tuple[Pair, Estimate] | None = field(init=False, default=None, repr=False, compare=False)

    @classmethod
    def of(cls, observation: Observation, rgb_noise: float = 0.0) -> "Estimated":
        """The same images with their estimate, and the guide's noise before it was denoised."""
        made = cls(**{part.name: getattr(observation, part.name) for part in fields(Observation)})
        pair, estimate = estimated_pair(observation)
        own = rgb_noise / float(pair.rgb_unit.mean())
        object.__setattr__(made, "known", (pair, estimate._replace(rgb_noise=own)))
        return made


def estimated_pair(observation: Observation) -> tuple[Pair, Estimate]:
    """The pair and the estimate in its own units, known ones if there are any."""
    if isinstance(observation, Estimated) and observation.known is not None:
        return observation.known
    pair = as_pair(observation)
    return pair, estimate_pair(pair)


def in_units(pair: Pair, estimate: Estimate, observation: Observation) -> Estimate:
    """The estimate of a pair in the units of its observation."""
    response = estimate.response * pair.rgb_unit[:, None]
    response[:, :-1] /= pair.lr_unit
    if estimate.given and observation.srf is not None:
        response[:, :-1] = torch.from_numpy(observation.srf)
    rgb_noise = estimate.rgb_noise * float(pair.rgb_unit.mean())
    return estimate._replace(response=response, noise=estimate.noise * pair.lr_unit, rgb_noise=rgb_noise)


def estimate_pair(pair: Pair) -> Estimate:
    """`estimate_degradation` in the pair's own units."""
    lr, rgb, scale = pair.lr, pair.rgb, pair.scale
    usable, noise = pair.measured(pair.usable_by_any), signal_basis(pair.lr, pair.measured(pair.lr_valid))[1]
    edges = Edges(usable)
    if len(edges) < FEWEST_EDGES:
        return of_a_small_pair(pair, edges, noise)
    if pair.srf is None:
        found = Estimate(*estimate_response(lr, rgb, scale, usable), noise)
    else:
        kernel = estimate_kernel(torch.tensordot(pair.srf, lr, dims=1), rgb, scale, usable)
        found = better_response(given_response(pair.srf, kernel, noise), pair, usable, alone=True)
    found = found._replace(misfit=relative_misfit(found, pair, usable))
    sure = found.given or int(usable.sum()) >= FEWEST_PIXELS * (len(lr) + 1)
    return found if sure and found.misfit <= DOUBTFUL_PAIR else related_kernel(found, pair, usable, edges)


def of_a_small_pair(pair: Pair, edges: Edges, noise: float) -> Estimate:
    """The estimate from a few pixels: whether a given response explains the guide, and the kernel's width."""
    kernel = block_mean(pair.scale)
    if pair.srf is None or len(edges) == 0:
        return Estimate(torch.zeros(3, len(pair.lr) + 1), kernel, noise, shared=0.0)
    rgb_values = edges.of(torch.tensordot(pair.srf, pair.lr, dims=1))
    if not rgb_values.any():
        return given_response(pair.srf, kernel, noise)._replace(shared=0.0)
    columns = edges.columns(pair.rgb, pair.scale)

    def explained(kernels: Tensor) -> Tensor:
        left = torch.einsum("mk,cke->mce", kernels.flatten(1), columns) - rgb_values
        return -(left.square().sum((1, 2)) / rgb_values.square().sum()).double()

    kernel, best = best_gaussian(explained, pair.scale)
    found = given_response(pair.srf, kernel if -best < EXPLAINED else block_mean(pair.scale), noise)
    return found._replace(shared=float("inf") if -best < EXPLAINED else 0.0)


def given_response(srf: Tensor, kernel: Tensor, noise: float) -> Estimate:
    """The estimate with a given response (3, B)."""
    return Estimate(torch.cat([srf, torch.zeros(3, 1)], dim=1), kernel, noise, given=True)


def better_response(given: Estimate, pair: Pair, usable: Tensor, alone: bool) -> Estimate:
    """`given`, or an estimate without its response if that fits far better; `alone`: with a kernel of its own."""
    left = rgb_misfit(given, pair.lr, pair.rgb, pair.scale, usable)
    if left <= DOUBTFUL * given.noise**2 * float(given.response.square().sum(1).mean()):
        return given
    if alone:
        found = estimate_response(pair.lr, pair.rgb, pair.scale, usable)
    else:
        found = response_for(given.kernel, pair, usable, given.noise), given.kernel
    estimated = Estimate(*found, given.noise)
    free = 1 - (len(pair.lr) + 1) / int(usable.sum())
    if free > 0 and rgb_misfit(estimated, pair.lr, pair.rgb, pair.scale, usable) / free**2 < left / 2:
        return estimated
    return given


def related_kernel(found: Estimate, pair: Pair, usable: Tensor, edges: Edges) -> Estimate:
    """`found` with the kernel under which both images share most, and with what they share in units of chance."""
    maps = torch.tensordot(signal_basis(pair.lr, pair.lr_valid)[0].T, pair.lr, dims=1)
    relation = Relation(maps, pair.rgb, pair.scale, edges)
    kernel, shared = best_gaussian(relation.of_kernels, pair.scale)
    before = float(relation.of_kernels(found.kernel[None])[0])
    if before >= shared:
        kernel, shared = found.kernel, before
    found = found._replace(shared=shared / relation.chance(pair.rgb, kernel), information=shared)
    if not found.related:
        return found._replace(kernel=block_mean(pair.scale))
    if kernel is found.kernel:
        return found
    if pair.srf is None:
        better = Estimate(response_for(kernel, pair, usable, found.noise), kernel, found.noise)
    else:
        better = better_response(given_response(pair.srf, kernel, found.noise), pair, usable, alone=False)
    misfit = relative_misfit(better, pair, usable)
    return better._replace(misfit=misfit, shared=found.shared, information=found.information)


def response_for(kernel: Tensor, pair: Pair, usable: Tensor, noise: float) -> Tensor:
    """(3, B + 1) the response that fits best under a kernel."""
    seen = decimate(pair.rgb, kernel, pair.scale)[:, usable]
    return fit_response(affine(pair.lr[:, usable]).double(), seen.double(), noise)


def rgb_misfit(
    estimate: Estimate, lr: Tensor, rgb: Tensor, scale: int, usable: Tensor | None = None
) -> float:
    """Mean square difference between the RGB values of `lr` and those of `rgb`, blurred and decimated."""
    left = (estimate.to_rgb(lr) - decimate(rgb, estimate.kernel, scale)).square().mean(0)
    return float(left.mean() if usable is None else left[usable].mean())


def relative_misfit(estimate: Estimate, pair: Pair, usable: Tensor) -> float:
    """The misfit in units of the part that the LR noise explains."""
    left = rgb_misfit(estimate, pair.lr, pair.rgb, pair.scale, usable)
    of_noise = estimate.noise**2 * float(estimate.response[:, :-1].square().sum(1).mean())
    return left / of_noise if of_noise > 0 else (float("inf") if left > LEAST_ENERGY else 0.0)


def affine(pixels: Tensor) -> Tensor:
    """(B, n) -> (B + 1, n), the last row 1."""
    return torch.cat([pixels, torch.ones_like(pixels[:1])])


def estimate_response(
    lr: Tensor, rgb: Tensor, scale: int, usable: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """An unknown response and the kernel, together.

    The residual of the best affine response for a kernel is (I - H) D_k z, H the (ridge) projection onto the LR
    spectra. That is linear in k, so the kernel of sum 1 with the smallest residual is one linear solve.

    Only `usable` (h, w) pixels count, by default all. Returns the affine response (3, B + 1), last column the offset,
    and the kernel (k, k).
    """
    count = slice(None) if usable is None else usable.flatten()
    cube = affine(lr)
    spectra = cube.flatten(1)[:, count]
    inverse = torch.linalg.inv(ridge_gram(spectra.double(), RESPONSE_RIDGE))
    gram, seen = kernel_gram(rgb, scale, cube.expand(3, -1, -1, -1), usable)
    left = smooth_gram(gram) - (seen @ inverse @ seen.mT).sum(0)
    kernel = as_kernel(solve_taps(left, torch.ones(len(left), dtype=torch.double)), scale)
    rgb_values = decimate(rgb, kernel, scale).flatten(1)[:, count]
    return fit_response(spectra.double(), rgb_values.double(), signal_basis(lr, usable)[1]), kernel


def fit_response(spectra: Tensor, rgb_values: Tensor, noise: float) -> Tensor:
    """(3, B + 1) the affine response that turns `spectra` (B + 1, n), the last one 1, into `rgb_values` (3, n).

    Non-negative responses are fitted over a grid of ridge weights; the most regularised one is kept whose
    noise-corrected residual is within a tolerance of the best. A picture may be rendered by a matrix with negative
    entries, though: if an unconstrained response fits clearly better, it is taken.
    """

    def residual(response: Tensor) -> float:
        of_noise = noise**2 * response[:, :-1].square().sum(1).mean()
        return float((response @ spectra - rgb_values).square().mean() - of_noise)

    cameras = [nonnegative_response(spectra, rgb_values, noise, weight) for weight in CAMERA_RIDGES]
    residuals = [residual(camera) for camera in cameras]
    chosen = max(i for i, value in enumerate(residuals) if value <= min(residuals) + LEEWAY * noise**2)
    free = ridge(spectra, rgb_values, RESPONSE_RIDGE)
    return (free if residual(free) < min(residuals) - LEEWAY * noise**2 else cameras[chosen]).float()


def nonnegative_response(spectra: Tensor, rgb_values: Tensor, noise: float, weight: float) -> Tensor:
    """(3, B + 1) non-negative least squares, corrected for the noise of all `spectra` but the last.

    `weight` is the ridge's, relative to the noise's energy.
    """
    from scipy.optimize import nnls

    gram, pixels = spectra @ spectra.T, spectra.shape[1]
    gram.diagonal()[:-1].sub_(pixels * noise**2)
    values, axes = torch.linalg.eigh(gram)
    roots = (values.clamp_min(0) + weight * pixels * max(noise**2, LEAST_ENERGY)).sqrt()
    root, targets = (axes * roots).T, (axes / roots).T @ (spectra @ rgb_values.T)
    solved = [nnls(root.numpy(force=True), target.numpy(force=True))[0] for target in targets.T]
    return here(torch.from_numpy(np.stack(solved)))


def signal_basis(lr: Tensor, valid: Tensor | None = None) -> tuple[Tensor, float]:
    """The spectral directions of `lr` that rise above its noise, and the noise's standard deviation.

    Eigenvalues of pure noise spread by the Marchenko-Pastur law, the more the fewer pixels there are per band. With
    fewer pixels than bands most eigenvalues are zero; the others follow the law of the transposed matrix (bands for
    pixels). The smaller half of these is taken for noise, so its median is the law's lower quartile; a direction
    counts as signal if its eigenvalue exceeds the law's upper edge. The strongest one always counts.

    With few bands the smaller half is signal, too. There the noise is no more than what neighbouring pixels of these
    directions differ by. Only `valid` (h, w) pixels count, by default all.
    """
    pixels = lr.flatten(1) if valid is None else lr[:, valid]
    values, vectors = spectral_axes(pixels)
    bands, count = pixels.shape
    present = min(bands, max(1, count - 1))  # eigenvalues that are not zero; the mean takes one
    ratio, samples = present / max(bands, count), max(bands, count) / count
    smaller = slice(bands - present, bands - present + max(1, present // 2))
    noise = values[smaller].median().clamp_min(0) / (samples * lower_quartile(ratio))
    if bands < FEW_BANDS:
        maps = torch.tensordot(vectors[:, smaller].T.float(), lr, dims=1)
        noise = torch.minimum(noise, roughness(maps).median().double())
    edge = noise * samples * (1 + ratio**0.5) ** 2
    signal = values > edge
    signal[-1] = True
    return vectors[:, signal].float(), float(noise.sqrt())


def roughness(maps: Tensor) -> Tensor:
    """(R, h, w) -> (R,) the variance of white noise that looks as rough, by the median; infinite for narrow images."""
    if min(maps.shape[1:]) < 3:
        return torch.full((len(maps),), torch.inf)
    second = torch.tensor([1.0, -2.0, 1.0])
    rough = F.conv2d(maps[:, None], (second[:, None] * second / 6)[None, None])
    return (rough.abs().flatten(1).median(1).values / GAUSSIAN_MEDIAN).square()


def lower_quartile(ratio: float) -> float:
    """Of the Marchenko-Pastur law of unit noise; `ratio` in (0, 1] is rows per column of the noise matrix."""
    angles = (np.arange(2000) + 0.5) * np.pi / 2000
    values = 1 + ratio - 2 * ratio**0.5 * np.cos(angles)
    shares = np.cumsum(np.sin(angles) ** 2 / values)
    return float(np.interp(0.25, shares / shares[-1], values))


def spectral_axes(cube: Tensor) -> tuple[Any, Any]:
    """Eigenvalues (B,), growing, and eigenvectors (B, B) of the covariance of a cube's spectra, in float64."""
    covariance = torch.cov(cube.flatten(1).double(), correction=0).view(len(cube), len(cube))
    values, vectors = torch.linalg.eigh(covariance)
    return values, vectors


def ridge(inputs: Tensor, outputs: Tensor, weight: float) -> Tensor:
    """argmin_W |outputs - W inputs|^2 + weight * mean diagonal * |W|^2; columns are samples."""
    return torch.linalg.solve(ridge_gram(inputs, weight), inputs @ outputs.T).T


def ridge_gram(inputs: Tensor, weight: float) -> Tensor:
    """inputs @ inputs^T with `weight` times its mean diagonal added to the diagonal."""
    gram = inputs @ inputs.T
    gram.diagonal().add_(weight * gram.diagonal().mean().clamp_min(LEAST_ENERGY))
    return gram

"""What an LR cube and its RGB image tell about the degradation between them: kernel, shift, noise, response.

With y the LR cube (B, n), z the RGB image (3, N), P the response and D_k "blur by k and decimate", both images see
the same colours, P y = D_k z + noise. That is linear in the sampling kernel k and, for a given k, in P.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.sampling import centroid, decimate
from ifmsr.scenes.scene import Observation

KERNEL_SMOOTHNESS = 1e-2  # weight of the kernel's gradient, relative to the data term's mean diagonal
RESPONSE_RIDGE = 1e-3  # likewise for an unknown response
SUPPORT = 0.2  # share of the largest tap from which a tap and its neighbours are solved for again
NARROWINGS = 3  # how often
CAMERA_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)  # of a non-negative response, relative to the noise's energy
LEEWAY = 0.02  # in what a response leaves, relative to the noise's variance
RESPONSE_DOUBT = 0.02  # of an estimated response, see `Estimate.right_inverse`
LEAST_ENERGY = 1e-12  # of an image that is black
DOUBTFUL = 1.5  # a given response's square misfit in units of the LR noise


class Estimate(NamedTuple):
    """The degradation of one observation.

    Attributes
    ----------
    response : (3, B + 1) affine, last column the offset: 0 for a response that was given.
    kernel : (k, k) sampling kernel, non-negative, sum 1, k = `kernel_side(scale)`, counted from the middle of each
        scale x scale block: blur and down-sampler in one.
    noise : standard deviation of the LR cube's noise on the [0, 1] scale.
    given : whether the response was given with the observation, and fits.
    """

    response: Tensor
    kernel: Tensor
    noise: float
    given: bool = False

    def to_rgb(self, cube: Tensor) -> Tensor:
        """(B, H, W) as the camera sees it, (3, H, W)."""
        return torch.tensordot(self.response[:, :-1], cube, dims=1) + self.response[:, -1, None, None]

    @property
    def right_inverse(self) -> Tensor:
        """(B, 3) the smallest change of a spectrum that changes its colours as wanted, P^T (P P^T + d I)^-1.

        d is 0 for a given response. An estimated one is right about the directions that the scene shows and
        unreliable about others, so it is not inverted all the way.
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


def estimate_degradation(observation: Observation) -> Estimate:
    """Kernel, shift and noise of an observation, and the response where it has none or one that does not fit.

    A given response is doubted if it leaves more than the LR noise explains, and replaced if an estimated one
    leaves less than half of that, after correction for its B + 1 free numbers.
    """
    lr, rgb, scale = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb), observation.scale
    noise = signal_basis(lr)[1]
    if observation.srf is None:
        return Estimate(*estimate_response(lr, rgb, scale), noise)
    srf = torch.from_numpy(observation.srf)
    kernel = estimate_kernel(torch.tensordot(srf, lr, dims=1), rgb, scale)
    given = Estimate(torch.cat([srf, torch.zeros(3, 1)], dim=1), kernel, noise, given=True)
    left = rgb_misfit(given, lr, rgb, scale)
    if left > DOUBTFUL * noise**2 * float(srf.square().sum(1).mean()):
        estimated = Estimate(*estimate_response(lr, rgb, scale), noise)
        free = 1 - (len(lr) + 1) / lr[0].numel()
        if free > 0 and rgb_misfit(estimated, lr, rgb, scale) / free**2 < left / 2:
            return estimated
    return given


def rgb_misfit(estimate: Estimate, lr: Tensor, rgb: Tensor, scale: int) -> float:
    """Mean square difference between the colours of `lr` and those of `rgb`, blurred and decimated."""
    seen = decimate(rgb, estimate.kernel, scale)
    return float((estimate.to_rgb(lr) - seen).square().mean())


def kernel_side(scale: int) -> int:
    """Taps a side of the estimated kernel: room for a blur of 13 to 16 pixels, a shift, and the grid."""
    return max(20, 2 * scale + 4) + scale % 2


def estimate_kernel(colours: Tensor, rgb: Tensor, scale: int) -> Tensor:
    """The kernel that turns the RGB image into the LR image's colours, the least-squares one.

    Parameters
    ----------
    colours : (3, h, w) the LR cube seen through the response.
    rgb : (3, H, W).

    Returns
    -------
    (k, k) as in `Estimate`.
    """
    columns = kernel_columns(rgb, scale)
    target = (columns @ colours.flatten(1)[..., None]).sum(0)[:, 0].double()
    return as_kernel(solve_taps(smooth_gram(columns), target), scale)


def estimate_response(lr: Tensor, rgb: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """An unknown response and the kernel, together.

    For every kernel the best affine response leaves (I - H) D_k z of the colours, H the (ridge) projection onto the LR
    spectra. That is linear in k, so the kernel of sum 1 that leaves least is one linear solve.

    Returns the affine response (3, B + 1), last column the offset, and the kernel (k, k).
    """
    spectra = torch.cat([lr.flatten(1), torch.ones(1, lr[0].numel())])
    columns = kernel_columns(rgb, scale)
    inverse = torch.linalg.inv(ridge_gram(spectra.double(), RESPONSE_RIDGE))
    left = smooth_gram(columns)
    for channel in columns:
        seen = (channel @ spectra.T).double()  # (k^2, B + 1)
        left -= seen @ inverse @ seen.T
    kernel = as_kernel(solve_taps(left, torch.ones(len(left), dtype=torch.double)), scale)
    colours = decimate(rgb, kernel, scale).flatten(1)
    return fit_response(spectra.double(), colours.double(), signal_basis(lr)[1]), kernel


def fit_response(spectra: Tensor, colours: Tensor, noise: float) -> Tensor:
    """(3, B + 1) the affine response that turns `spectra` (B + 1, n), the last one 1, into `colours` (3, n).

    A camera's is not negative; of those, the one of strongest ridge that leaves as little as any. Colours may be
    rendered by a matrix with negative entries, though: if no camera comes near to what a free response leaves, that
    one counts. What they leave is compared after the part that the spectra's noise makes of it.
    """

    def left(response: Tensor) -> float:
        of_noise = noise**2 * response[:, :-1].square().sum(1).mean()
        return float((response @ spectra - colours).square().mean() - of_noise)

    cameras = [nonnegative_response(spectra, colours, noise, weight) for weight in CAMERA_RIDGES]
    rests = [left(camera) for camera in cameras]
    chosen = max(i for i, rest in enumerate(rests) if rest <= min(rests) + LEEWAY * noise**2)
    free = ridge(spectra, colours, RESPONSE_RIDGE)
    return (free if left(free) < min(rests) - LEEWAY * noise**2 else cameras[chosen]).float()


def nonnegative_response(spectra: Tensor, colours: Tensor, noise: float, weight: float) -> Tensor:
    """(3, B + 1) non-negative least squares, corrected for the noise of all `spectra` but the last.

    `weight` is the ridge's, relative to the noise's energy.
    """
    from scipy.optimize import nnls

    gram, pixels = spectra @ spectra.T, spectra.shape[1]
    gram.diagonal()[:-1].sub_(pixels * noise**2)
    values, axes = torch.linalg.eigh(gram)
    roots = (values.clamp_min(0) + weight * pixels * max(noise**2, LEAST_ENERGY)).sqrt()
    root, targets = (axes * roots).T, (axes / roots).T @ (spectra @ colours.T)
    return torch.from_numpy(np.stack([nnls(root.numpy(), target.numpy())[0] for target in targets.T]))


def kernel_columns(rgb: Tensor, scale: int) -> Tensor:
    """(3, k^2, h w) what each tap of a kernel would read for each LR pixel."""
    side = kernel_side(scale)
    padded = F.pad(rgb[:, None], ((side - scale) // 2,) * 4, mode="replicate")
    return F.unfold(padded, side, stride=scale)


def smooth_gram(columns: Tensor) -> Tensor:
    """(k^2, k^2) float64: the columns' Gram matrix and the penalty on the kernel's gradient."""
    gram = torch.zeros((), dtype=torch.double)
    for channel in columns:
        gram = gram + (channel @ channel.T).double()
    side = round(len(gram) ** 0.5)
    difference = torch.eye(side + 1, side, dtype=torch.double)
    difference[1:] -= torch.eye(side, dtype=torch.double)
    smooth, identity = difference.T @ difference, torch.eye(side, dtype=torch.double)
    penalty = torch.kron(smooth, identity) + torch.kron(identity, smooth)
    return gram + KERNEL_SMOOTHNESS * gram.diagonal().mean().clamp_min(LEAST_ENERGY) * penalty


def solve_taps(gram: Tensor, target: Tensor) -> Tensor:
    """(k^2,) the taps that `gram` (k^2, k^2) and `target` ask for, all others 0.

    Noise in the hundreds of taps where the kernel is 0 would widen it and pull its centroid to the middle. So it is
    solved for again among the large taps and their neighbours, until the support has settled.
    """
    side = round(len(gram) ** 0.5)
    taps = torch.linalg.solve(gram, target)
    for _ in range(NARROWINGS):
        large = (taps >= SUPPORT * taps.max()).view(1, 1, side, side)
        support = F.max_pool2d(large.double(), 3, stride=1, padding=1).flatten().nonzero()[:, 0]
        taps = torch.zeros_like(target)
        taps[support] = torch.linalg.solve(gram[support][:, support], target[support])
    return taps


def as_kernel(taps: Tensor, scale: int) -> Tensor:
    """(k^2,) -> (k, k), non-negative, sum 1; the mean of the block if a black image told nothing."""
    side = kernel_side(scale)
    if not taps.clamp_min(0).sum() > 0:
        reach = (side - scale) // 2
        return F.pad(torch.full((scale, scale), 1 / scale**2), (reach,) * 4)
    kernel = taps.clamp_min(0).view(side, side)
    return (kernel / kernel.sum()).float()


def signal_basis(lr: Tensor) -> tuple[Tensor, float]:
    """The spectral directions of `lr` that rise above its noise, and the noise's standard deviation.

    Eigenvalues of pure noise spread by the Marchenko-Pastur law, the more the fewer pixels there are per band. With
    fewer pixels than bands most eigenvalues are zero; the others follow the law of the transposed matrix (bands for
    pixels). The smaller half of these is taken for noise, so its median is the law's lower quartile; a direction
    counts as signal if its eigenvalue exceeds the law's upper edge. The strongest one always counts.
    """
    values, vectors = spectral_axes(lr)
    bands, pixels = len(lr), lr[0].numel()
    present = min(bands, max(1, pixels - 1))  # eigenvalues that are not zero; the mean takes one
    ratio, samples = present / max(bands, pixels), max(bands, pixels) / pixels
    smaller = values[bands - present :][: max(1, present // 2)]
    noise = smaller.median().clamp_min(0) / (samples * lower_quartile(ratio))
    edge = noise * samples * (1 + ratio**0.5) ** 2
    signal = values > edge
    signal[-1] = True
    return vectors[:, signal].float(), float(noise.sqrt())


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

"""A training-free method in four closed-form steps, blind to kernel, shift and noise.

With y the LR cube (B, n), z the RGB image (3, N), P the response and D_k "blur by k and decimate":

1. `estimate_kernel`: the sampling kernel k. Both images see the same colours, P y = D_k z + noise, which is
   linear in k. Its centroid is the sub-pixel shift between the images.
2. `regress`: a map from colour to spectrum, W = argmin |y - W D_k phi(z)|^2 + ridge, with root-polynomial
   features phi (features are blurred, not blurred colours made into features). x1 = W phi(z).
3. `residual`: what W cannot explain at low resolution, denoised (low rank, smoothed) and interpolated on the
   shifted grid.
4. `project`: the nearest cube whose colours are the RGB image.

A response that is unknown is estimated together with the kernel (`estimate_response`); step 4 is then left
out, because it would force the estimate's error into the result.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.scenes.scene import Array, Observation

KERNEL_SMOOTHNESS = 1e-2  # weight of the kernel's gradient, relative to the data term's mean diagonal
RIDGE = 3e-5  # likewise for the colour-to-spectrum map
RESPONSE_RIDGE = 1e-3  # likewise for an unknown response
SMOOTHINGS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)  # standard deviations in LR pixels that the residual may get


class ClosedForm:
    """The chain of the module's docstring as a method: needs no weights and no training."""

    title = "Closed-form"
    schedule = ""

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1]."""
        lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
        scale = observation.scale
        kernel = blind_estimate(observation)[1]
        sr, left = regress(lr, rgb, kernel, scale)
        sr = sr + residual(lr, left, kernel, scale)
        if observation.srf is not None:
            sr = project(sr, rgb, torch.from_numpy(observation.srf))
        return sr.clamp(0, 1).numpy()


def blind_estimate(observation: Observation) -> tuple[Tensor, Tensor]:
    """The affine response (3, B + 1), last column the offset, and the sampling kernel (k, k).

    By `estimate_kernel` where the response is known (offset 0), else `estimate_response`.
    """
    lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
    if observation.srf is None:
        return estimate_response(lr, rgb, observation.scale)
    srf = torch.from_numpy(observation.srf)
    kernel = estimate_kernel(torch.tensordot(srf, lr, dims=1), rgb, observation.scale)
    return torch.cat([srf, torch.zeros(3, 1)], dim=1), kernel


def kernel_side(scale: int) -> int:
    """Taps a side of the estimated kernel: room for a blur of 13 to 16 pixels, a shift, and the grid."""
    return max(20, 2 * scale + 4) + scale % 2


def decimate(image: Tensor, kernel: Tensor, scale: int) -> Tensor:
    """D_k: (C, H, W) -> (C, H / scale, W / scale), the kernel about the middle of each scale x scale block."""
    margin = (kernel.shape[0] - scale) // 2
    padded = F.pad(image[:, None], (margin,) * 4, mode="replicate")
    return F.conv2d(padded, kernel[None, None], stride=scale)[:, 0]


def estimate_kernel(colours: Tensor, rgb: Tensor, scale: int) -> Tensor:
    """The kernel that turns the RGB image into the LR image's colours.

    Parameters
    ----------
    colours : (3, h, w) the LR cube seen through the response.
    rgb : (3, H, W).

    Returns
    -------
    (k, k) non-negative, sum 1, k = `kernel_side(scale)`, counted from the block's middle.
    """
    side = kernel_side(scale)
    margin = (side - scale) // 2
    padded = F.pad(rgb[:, None], (margin,) * 4, mode="replicate")
    columns = F.unfold(padded, side, stride=scale)  # (3, side^2, h w)
    gram = torch.einsum("cin,cjn->ij", columns, columns).double()
    target = torch.einsum("cin,cn->i", columns, colours.flatten(1)).double()

    difference = torch.eye(side + 1, side, dtype=torch.double)
    difference[1:] -= torch.eye(side, dtype=torch.double)
    smooth, identity = difference.T @ difference, torch.eye(side, dtype=torch.double)
    penalty = torch.kron(smooth, identity) + torch.kron(identity, smooth)
    weight = KERNEL_SMOOTHNESS * gram.diagonal().mean()
    kernel = torch.linalg.solve(gram + weight * penalty, target).clamp_min(0)
    return (kernel / kernel.sum()).view(side, side).float()


def estimate_response(lr: Tensor, rgb: Tensor, scale: int, rounds: int = 4) -> tuple[Tensor, Tensor]:
    """An unknown response and the kernel, in turns, each a linear least-squares problem given the other.

    Returns the affine response (3, B + 1), last column the offset, and the kernel (k, k).
    """
    side = kernel_side(scale)
    offsets = torch.arange(side) - (side - 1) / 2
    kernel = torch.exp(-0.5 * (offsets / (0.6 * scale)) ** 2)
    kernel = torch.outer(kernel, kernel) / kernel.sum() ** 2
    spectra = torch.cat([lr.flatten(1), torch.ones(1, lr[0].numel())]).double()
    for _ in range(rounds):
        colours = decimate(rgb, kernel, scale).flatten(1).double()
        response = ridge(spectra, colours, RESPONSE_RIDGE)
        seen = (response @ spectra).float().view(3, *lr.shape[1:])
        kernel = estimate_kernel(seen, rgb, scale)
    return response.float(), kernel


def root_polynomial(rgb: Tensor) -> Tensor:
    """(3, H, W) -> (13, H, W): 1, the colours, their products and the roots of the mixed products."""
    r, g, b = rgb
    products = [r * r, g * g, b * b, r * g, g * b, r * b]
    roots = [(r * g).sqrt(), (g * b).sqrt(), (r * b).sqrt()]
    return torch.stack([torch.ones_like(r), r, g, b, *products, *roots])


def ridge(inputs: Tensor, outputs: Tensor, weight: float) -> Tensor:
    """argmin_W |outputs - W inputs|^2 + weight * mean diagonal * |W|^2; columns are samples."""
    gram = inputs @ inputs.T
    gram.diagonal().add_(weight * gram.diagonal().mean())
    return torch.linalg.solve(gram, inputs @ outputs.T).T


def regress(lr: Tensor, rgb: Tensor, kernel: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """Colour to spectrum: the map's (B, H, W) result, and what it leaves of `lr` unexplained (B, h, w)."""
    features = root_polynomial(rgb)
    seen = decimate(features, kernel, scale).flatten(1)
    weights = ridge(seen.double(), lr.flatten(1).double(), RIDGE).float()
    return torch.tensordot(weights, features, dims=1), lr - (weights @ seen).view_as(lr)


def signal_basis(lr: Tensor) -> tuple[Tensor, float]:
    """The spectral directions of `lr` that rise above its noise, and the noise's standard deviation.

    The noise's variance is the median of the smaller half of the covariance's eigenvalues; a direction counts
    as signal if its eigenvalue exceeds what noise alone would give with this many pixels (the
    Marchenko-Pastur edge).
    """
    spectra = lr.flatten(1).double()
    bands, pixels = spectra.shape
    values, vectors = torch.linalg.eigh(torch.cov(spectra))
    noise = values[: max(1, bands // 2)].median().clamp_min(0)
    edge = noise * (1 + (bands / pixels) ** 0.5) ** 2
    return vectors[:, values > edge].float(), float(noise.sqrt())


def residual(lr: Tensor, left: Tensor, kernel: Tensor, scale: int) -> Tensor:
    """The unexplained part `left` (B, h, w), denoised and interpolated at the shifted grid: (B, H, W)."""
    basis, noise = signal_basis(lr)
    coefficients = torch.tensordot(basis.T, left, dims=1)  # (rank, h, w)
    return torch.tensordot(basis, enlarge(denoise(coefficients, noise), kernel, scale), dims=1)


def denoise(coefficients: Tensor, noise: float) -> Tensor:
    """(R, h, w): each map smoothed by the Gaussian of least risk, as Stein's unbiased estimate tells it.

    The risk of a linear smoother S is |S r - r|^2 + 2 noise^2 trace(S); no smoothing is among the choices.
    """
    choices, risks = [coefficients], [torch.full(coefficients.shape[:1], 2 * noise**2)]
    for sigma in SMOOTHINGS:
        taps = gaussian_taps(sigma)
        smooth = smoothed(coefficients, taps)
        choices.append(smooth)
        risks.append((smooth - coefficients).square().mean((1, 2)) + 2 * noise**2 * taps.max() ** 2)
    best = torch.stack(risks).argmin(0)
    return torch.stack([choices[choice][i] for i, choice in enumerate(best.tolist())])


def gaussian_taps(sigma: float) -> Tensor:
    """A normalised 1-D Gaussian that reaches to three standard deviations."""
    reach = int(np.ceil(3 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    return taps / taps.sum()


def smoothed(image: Tensor, taps: Tensor) -> Tensor:
    """(C, h, w) filtered by `taps` along both axes, replicated border."""
    padded = F.pad(image[:, None], (len(taps) // 2,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps[None, None, :, None]), taps[None, None, None])[:, 0]


def enlarge(image: Tensor, kernel: Tensor, scale: int) -> Tensor:
    """(C, h, w) -> (C, H, W), bicubic, with each LR pixel at the centroid of `kernel`."""
    _, h, w = image.shape
    taps = torch.arange(kernel.shape[0]) - (kernel.shape[0] - 1) / 2  # from the block's middle
    shift_y, shift_x = kernel.sum(1) @ taps, kernel.sum(0) @ taps
    y = (2 * (torch.arange(h * scale) + 0.5 - shift_y) / scale) / h - 1
    x = (2 * (torch.arange(w * scale) + 0.5 - shift_x) / scale) / w - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=2)
    return F.grid_sample(image[None], grid[None], "bicubic", "border", align_corners=False)[0]


def project(sr: Tensor, rgb: Tensor, srf: Tensor) -> Tensor:
    """The cube nearest to `sr` whose colours are `rgb`: x + P^T (P P^T)^-1 (z - P x)."""
    lift = srf.T @ torch.linalg.inv(srf @ srf.T)  # (B, 3)
    return sr + torch.tensordot(lift, rgb - torch.tensordot(srf, sr, dims=1), dims=1)

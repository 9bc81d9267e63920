"""HySure: fusion in a spectral subspace with vector total variation, solved by ADMM.

Simoes, Bioucas-Dias, Almeida and Chanussot, IEEE TGRS 53(6), 2015. The cube is E X, where E (B, p) holds the leading
left singular vectors of the LR cube. The coefficient images X (p, N) minimise

    1/2 |Y - E X B M|^2 + lambda_m/2 |Z - R E X|^2 + lambda_phi sum_pixels |(D_h X, D_v X)|_2

with Y the LR cube, Z the RGB image, B the cyclic blur, M the decimation to one pixel per block and R the spectral
response function. D_h and D_v are horizontal and vertical differences. The norm of the last term is taken over both
differences of all coefficients, which aligns the edges of the coefficient images. ADMM splits V1 = X B, V2 = X,
V3 = X D_v, V4 = X D_h, with scaled multipliers D1 to D4:

    X        the least-squares solution for all four, in the Fourier domain         `Cyclic.least_squares`
    V1       LR pixels: (E^T Y + mu * (X B - D1)) / (1 + mu); other pixels: X B      `fit_spectra`
    V2       (lambda_m E^T R^T R E + mu)^-1 (lambda_m E^T R^T Z + mu (X - D2))       `fit_rgb`
    V3, V4   (X D_v - D3, X D_h - D4) soft-thresholded by lambda_phi / mu            `shrink`

Settings: lambda_m = 1, mu = 0.05, p = 10 and 200 iterations are the public program's (which obtains E by SVD or VCA);
lambda_phi = 1e-3 is that of the review of Yokoya, Grohnfeldt and Chanussot, IEEE GRSM 5(2), 2017 (the authors' examples
use 5e-4; noisier images need a larger value).

Departures from the program:

- The blur is estimated by `ifmsr.degradation.kernels.estimate_kernel`. HySure's estimate has the same form, least
  squares with a quadratic penalty on the kernel's differences; ours is non-negative, with a penalty relative to the
  data.
- An unknown response is estimated by `ifmsr.degradation.estimation`; HySure regresses strongly blurred images.
- X starts from the upsampled LR cube, because the published iterations do not always converge from 0.
- The RGB image is padded with its border pixels, so that the cyclic blur does not mix opposite sides. No LR pixel is
  observed in the padding.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from ifmsr.degradation.estimation import estimate_degradation
from ifmsr.degradation.sampling import upsample
from ifmsr.errors import InputError
from ifmsr.scenes.scene import Array, Observation


@dataclass(frozen=True)
class HySure:
    """HySure, fusion in a spectral subspace with vector total variation (Simoes et al. 2015).

    Attributes
    ----------
    dimensions : p, the dimension of the subspace; at most the number of bands is used.
    rgb_weight : lambda_m, the weight of the RGB data term.
    variation_weight : lambda_phi, the weight of the total variation, for cubes in [0, 1].
    penalty : mu, ADMM's penalty; it changes the speed of convergence, not the solution.
    iterations : of ADMM.

    Raises
    ------
    InputError : a setting is out of range.
    """

    dimensions: int = 10
    rgb_weight: float = 1.0
    variation_weight: float = 1e-3
    penalty: float = 0.05
    iterations: int = 200

    title = "HySure"
    schedule = ""

    def __post_init__(self) -> None:
        for name in ("dimensions", "penalty", "iterations"):
            if getattr(self, name) <= 0:
                raise InputError(name, f"found {getattr(self, name)}", "Give a number above zero")
        for name in ("rgb_weight", "variation_weight"):
            if getattr(self, name) < 0:
                raise InputError(name, f"found {getattr(self, name)}", "Give a number of at least zero")

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1]."""
        lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
        response, kernel = estimate_degradation(observation)[:2]
        rgb = rgb - response[:, -1, None, None]
        basis = subspace(lr, self.dimensions)
        x = self.coefficients(
            torch.tensordot(basis.T, lr, dims=1), rgb, response[:, :-1] @ basis, kernel, observation.scale
        )
        return torch.tensordot(basis, x, dims=1).clamp(0, 1).numpy()

    def coefficients(self, low: Tensor, rgb: Tensor, response: Tensor, kernel: Tensor, scale: int) -> Tensor:
        """The coefficient images, by ADMM.

        Parameters
        ----------
        low : (p, h, w) E^T Y.
        rgb : (3, H, W).
        response : (3, p) R E.
        kernel : (k, k) sampling kernel, centred on the block.

        Returns
        -------
        (p, H, W), the X of the last iteration.
        """
        from scipy.fft import next_fast_len

        (height, width), side = rgb.shape[1:], len(kernel)
        rows, columns = (next_fast_len(size + side, real=True) for size in (height, width))
        first = side // 2  # padding above and to the left of the image
        border = first, columns - width - first, first, rows - height - first
        rgb = pad(rgb, border, mode="replicate")
        cyclic = Cyclic(kernel, rows, columns)
        start = first + scale // 2  # position of the first LR pixel in the blurred image
        seen = (
            slice(None),
            slice(start, start + height, scale),
            slice(start, start + width, scale),
        )

        mu, weight = self.penalty, self.rgb_weight
        inverse = torch.linalg.inv(weight * response.T @ response + mu * torch.eye(response.shape[1]))
        guide = weight * torch.tensordot(response.T, rgb, dims=1)  # (p, rows, columns)
        x = pad(upsample(low, kernel, scale), border, mode="replicate")
        blurred, (down, across) = cyclic.blur(x), differences(x)
        d1 = torch.zeros_like(low)
        d2, d3, d4 = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
        for _ in range(self.iterations):
            wanted = blurred[seen] - d1
            v1 = fit_spectra(low, wanted, mu)
            d1 = v1 - wanted
            blurred[seen] = v1 + d1  # elsewhere V1 + D1 is X B
            wanted = x - d2
            v2 = fit_rgb(guide, wanted, inverse, mu)
            d2 = v2 - wanted
            wanted_down, wanted_across = down - d3, across - d4
            v3, v4 = shrink(wanted_down, wanted_across, self.variation_weight / mu)
            d3, d4 = v3 - wanted_down, v4 - wanted_across
            x, blurred = cyclic.least_squares(blurred, v2 + d2, v3 + d3, v4 + d4)
            down, across = differences(x)
        return x[:, first : first + height, first : first + width]


def subspace(lr: Tensor, dimensions: int) -> Tensor:
    """(B, h, w) -> (B, p): the leading left singular vectors, p = min(dimensions, B)."""
    spectra = lr.flatten(1).double()
    vectors = torch.linalg.eigh(spectra @ spectra.T)[1]
    return vectors[:, -min(dimensions, len(spectra)) :].flip(1).float()


def fit_spectra(low: Tensor, wanted: Tensor, mu: float) -> Tensor:
    """argmin_V 1/2 |Y - E V|^2 + mu/2 |V - wanted|^2 at the LR pixels, for orthonormal E and low = E^T Y."""
    return (low + mu * wanted) / (1 + mu)


def fit_rgb(guide: Tensor, wanted: Tensor, inverse: Tensor, mu: float) -> Tensor:
    """argmin_V weight/2 |Z - R E V|^2 + mu/2 |V - wanted|^2.

    `guide` (p, H, W) is weight * (R E)^T Z. `inverse` (p, p) is the inverse of weight * (R E)^T (R E) + mu I.
    """
    return torch.tensordot(inverse, guide + mu * wanted, dims=1)


def shrink(down: Tensor, across: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Vector soft thresholding: reduce the norm of each pixel's vector of all differences by `threshold`."""
    length = (down.square().sum(0) + across.square().sum(0)).sqrt()
    factor = (1 - threshold / length.clamp_min(torch.finfo(length.dtype).tiny)).clamp_min(0)
    return down * factor, across * factor


def differences(x: Tensor) -> tuple[Tensor, Tensor]:
    """Cyclic differences to the pixel above and to the pixel on the left, (p, H, W) each."""
    return x - x.roll(1, -2), x - x.roll(1, -1)


def adjoint_differences(down: Tensor, across: Tensor) -> Tensor:
    """The adjoint of `differences`."""
    return down - down.roll(-1, -2) + across - across.roll(-1, -1)


class Cyclic:
    """Blur and differences of images of `rows` x `columns` pixels with periodic boundaries.

    The blurred image at pixel n is sum_t kernel[t] * image[n + t - k // 2].
    """

    def __init__(self, kernel: Tensor, rows: int, columns: int):
        side = len(kernel)
        image = pad(kernel, (0, columns - side, 0, rows - side)).roll((-(side // 2),) * 2, (0, 1))
        self.size = rows, columns
        self.transfer = torch.fft.rfft2(image).conj()  # a correlation
        square = self.transfer.abs().square() + 1
        for frequency in (torch.fft.fftfreq(rows)[:, None], torch.fft.rfftfreq(columns)):
            square = square + 4 * (torch.pi * frequency).sin().square()
        self.inverse = 1 / square.to(kernel.device)

    def blur(self, x: Tensor) -> Tensor:
        """Blur images (p, rows, columns); same shape."""
        return torch.fft.irfft2(torch.fft.rfft2(x) * self.transfer, self.size)

    def least_squares(self, v1: Tensor, v2: Tensor, v3: Tensor, v4: Tensor) -> tuple[Tensor, Tensor]:
        """The X that minimises |X B - v1|^2 + |X - v2|^2 + |X D_v - v3|^2 + |X D_h - v4|^2, and X B."""
        right = torch.fft.rfft2(v1) * self.transfer.conj() + torch.fft.rfft2(v2 + adjoint_differences(v3, v4))
        spectrum = right * self.inverse
        return torch.fft.irfft2(spectrum, self.size), torch.fft.irfft2(spectrum * self.transfer, self.size)

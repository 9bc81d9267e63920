"""The tone curve of an RGB guide: which one it is, from the LR cube, and how to undo it.

A camera's photograph stores z = e(P x), x the scene's spectra, P the spectral response and e a monotone tone curve.
Blur commutes with P and not with e: only the linearised guide f(z), f = e^-1, can agree with the LR cube,

    k * f(z_c) = p_c . y + o_c + noise,   c = R, G, B,   * "blur by the kernel k and decimate".

For a given f that is linear in k for the best response p and offset o (as in
`ifmsr.degradation.estimation.estimate_response`), so every candidate curve costs one small linear solve. Two
reductions keep it small: y is projected onto the directions above its noise, and k is piecewise bilinear with a knot
every two pixels. Curves are compared by the share of the guide's variance that stays unexplained: in units of the LR
noise a wrong curve can win, because its response is large.

A curve between the candidates is f = f_0 + d, f_0 the best candidate and d piecewise linear with d = 0 at black and
white. For a given k it is one linear solve too, for d and p together, with a prior on the second differences of d.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.estimation import ridge_gram, signal_basis
from ifmsr.degradation.kernels import kernel_side, smooth_gram, solve_taps
from ifmsr.errors import check_choice

STEPS = 4 * 255  # of a tabulated curve: 8-bit values lie on its knots
GAMMAS = (1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4, 2.6)
CANDIDATES = ("linear", "srgb", "rec709", *(f"gamma {gamma}" for gamma in GAMMAS))
LINEAR_FITS = 2.0  # misfit of the linear curve, in units of the LR noise, below which no other is tried
LINEAR_LEAD = 0.6  # ratio of shares that another curve has to reach to be preferred to the linear one
TIE = 1.2  # ratio of shares within which sRGB, or else the curve that needs less of an offset, is preferred
EARNED = 0.85  # ratio of shares from which a free curve replaces a candidate
FREE_ABOVE = 1.15  # misfit of a candidate above which a free curve is tried
LINEAR_FREE_ABOVE = 3.0  # likewise of the linear one, so that a noisy guide stays as it is
INTERVALS = 16  # of a free curve
BENDS = (2e-4, 2e-3)  # standard deviations of a second difference of d, of white
SPACING = 2  # pixels between the kernel's knots
HAT = torch.tensor([0.25, 0.5, 0.25], dtype=torch.double)  # shape of a knot
PIXELS = 8192  # LR pixels that take part
LEAST_PIXELS = 20  # LR pixels per spectral direction; fewer do not determine the response
DARK = 3.0  # LR pixels whose mean is below so many standard deviations of noise take no part: clipped at 0
LEAST_NOISE = 1e-6  # of the brightest LR value
SPECTRA_RIDGE = 1e-9
LEAST = 1e-30  # divisor, for images without any contrast


@dataclass(frozen=True)
class ToneCurve:
    """A monotone tone curve, one for all three channels.

    Attributes
    ----------
    name : "linear", "srgb" (IEC 61966-2-1), "rec709", "gamma 1.2" ... "gamma 2.6", or "free" for an estimated one.
    table : (STEPS + 1,) float64 linear values at the encoded values 0, 1 / STEPS, ..., 1, growing from 0 to 1.
    white : the guide's value that counts as 1.
    """

    name: str
    table: Tensor = field(repr=False)
    white: float = 1.0

    def linearise(self, rgb: Tensor) -> Tensor:
        """An encoded guide (3, H, W) in [0, white], as proportional to light, in [0, white]; larger values clip."""
        if self.name == "linear":
            return rgb
        place = (rgb.double() / self.white).clamp(0, 1) * STEPS
        left = place.long().clamp_max(STEPS - 1)
        table = self.table.to(rgb.device)
        return (self.white * torch.lerp(table[left], table[left + 1], place - left)).to(rgb.dtype)

    def encode(self, rgb: Tensor) -> Tensor:
        """The inverse of `linearise`."""
        if self.name == "linear":
            return rgb
        value, table = (rgb.double() / self.white).clamp(0, 1).contiguous(), self.table.to(rgb.device)
        left = (torch.searchsorted(table, value, right=True) - 1).clamp(0, STEPS - 1)
        step = (table[left + 1] - table[left]).clamp_min(torch.finfo(torch.double).tiny)
        return (self.white / STEPS * (left + ((value - table[left]) / step).clamp(0, 1))).to(rgb.dtype)


def tone_curve(name: str, white: float = 1.0) -> ToneCurve:
    """A candidate by its name. Raises InputError for a name that is not one of `CANDIDATES`."""
    check_choice("tone curve", name, CANDIDATES)
    x = torch.arange(STEPS + 1, dtype=torch.double) / STEPS
    if name == "srgb":
        table = torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    elif name == "rec709":
        table = torch.where(x < 0.081, x / 4.5, ((x + 0.099) / 1.099) ** (1 / 0.45))
    else:
        table = x if name == "linear" else x ** float(name.removeprefix("gamma "))
    return ToneCurve(name, table, white)


def estimate_tone(
    lr: Tensor, rgb: Tensor, scale: int, srf: Tensor | None = None, valid: Tensor | None = None
) -> tuple[ToneCurve, dict[str, float]]:
    """The tone curve of a guide, and the misfit that each curve tried leaves.

    Parameters
    ----------
    lr : (B, h, w).
    rgb : (3, H, W) the guide as delivered, in [0, 1] or any other unit from 0 up.
    srf : (3, B) response; used only where `lr` has too few pixels to estimate one.
    valid : (h, w) bool, LR pixels that may take part: neither pixel is invalid, no guide pixel below is clipped.

    Returns
    -------
    curve : linear if that fits or if the images are too small to tell.
    misfits : name -> mean square difference of the RGB values in units of what the LR noise explains; a right curve
        leaves 1 to 2. Empty if the images are too small to tell.
    """
    white = white_of(rgb)
    pair = _Pair.of(lr, scale, srf, valid)
    if pair is None:
        return tone_curve("linear", white), {}
    fits = {"linear": pair.fit(rgb)}
    if fits["linear"].misfit > LINEAR_FITS:
        fits["gamma 1.2"] = pair.fit(tone_curve("gamma 1.2", white).linearise(rgb))
    if fits["linear"].share > min(fit.share for fit in fits.values()):
        others = [name for name in CANDIDATES if name not in fits]
        fits |= {name: pair.fit(tone_curve(name, white).linearise(rgb)) for name in others}
    chosen = tone_curve(preferred(fits), white)
    found, linear_kept = fits[chosen.name], chosen.name == "linear"
    if found.misfit > (LINEAR_FREE_ABOVE if linear_kept else FREE_ABOVE):
        fits["free"], free = pair.free_curve(rgb, chosen, found)
        if fits["free"].share < (LINEAR_LEAD if linear_kept else EARNED) * found.share:
            chosen = free
    return chosen, {name: fit.misfit for name, fit in fits.items()}


def preferred(fits: Mapping[str, "_Fit"]) -> str:
    """The curve that leaves the smallest share, unless the linear one or sRGB comes near: most guides are one of them.

    Others that leave about the same differ by an offset of the linear values, so the one that needs least of it wins.
    """
    least = min(fit.share for fit in fits.values())
    if LINEAR_LEAD * fits["linear"].share <= least:
        return "linear"
    ties = {name: fit.without_offset for name, fit in fits.items() if fit.share <= TIE * least}
    return "srgb" if "srgb" in ties else min(ties, key=ties.__getitem__)


def white_of(rgb: Tensor) -> float:
    """The value that counts as white: 1 for ordinary pictures, the largest one of a guide in another unit."""
    largest = float(rgb.max())
    return 1.0 if 0.5 < largest <= 1 or largest <= 0 else largest


@dataclass(frozen=True)
class _Fit:
    """A kernel (k, k) and what it leaves.

    Attributes
    ----------
    left : (3,) mean square difference of each channel.
    misfit : their mean in units of what the LR noise explains.
    share : the same as a share of the variance of the blurred guide.
    without_offset : `share` for a response without an offset.
    """

    kernel: Tensor
    left: Tensor
    misfit: float
    share: float
    without_offset: float


@dataclass(frozen=True)
class _Pair:
    """What fits share: orthonormal spectra of n LR pixels, the triangular matrix that takes them back, and the grid."""

    spectra: Tensor  # (R, n) float64, orthonormal rows
    root: Tensor  # (R, R) lower triangular, directions = root @ spectra; the last direction is 1 everywhere
    noise: float
    pixels: Tensor  # (n,) places in the LR image
    size: tuple[int, int]  # (h, w)
    scale: int

    @classmethod
    def of(cls, lr: Tensor, scale: int, srf: Tensor | None, valid: Tensor | None) -> "_Pair | None":
        """None if there are too few pixels to tell."""
        valid = torch.ones(lr.shape[1:], dtype=torch.bool) if valid is None else valid
        if valid.sum() < LEAST_PIXELS:
            return None
        basis, noise = signal_basis(lr, valid)
        least = LEAST_PIXELS * (basis.shape[1] + 1)
        bright = valid & (lr.mean(0) > DARK * noise)
        usable = bright if bright.sum() >= least else valid
        if usable.sum() < least:
            if srf is None:
                return None
            basis = torch.linalg.qr(srf.T).Q
        places = usable.flatten().nonzero()[:, 0]
        if len(places) > PIXELS:
            places = places[torch.linspace(0, len(places) - 1, PIXELS).long()]
        directions = torch.tensordot(basis.T, lr, dims=1).flatten(1)[:, places]
        directions = torch.cat([directions, torch.ones(1, len(places))]).double()
        root = torch.linalg.cholesky(ridge_gram(directions, SPECTRA_RIDGE))
        spectra = torch.linalg.solve_triangular(root, directions, upper=False)
        noise = max(noise, LEAST_NOISE * float(lr[:, valid].max()))
        return cls(spectra, root, noise, places, (lr.shape[1], lr.shape[2]), scale)

    @property
    def knots(self) -> int:
        """Knots a side of the kernel."""
        return -(-kernel_side(self.scale) // SPACING)

    def fit(self, linear: Tensor) -> _Fit:
        """Kernel and response for a linearised guide (3, H, W)."""
        padded = self.padded(linear)
        columns = self.columns(smoothed_by_hat(padded))
        seen = torch.stack(
            [(channel @ self.spectra.T.float()).double() for channel in columns]
        )  # (3, k^2, R)
        left = smooth_gram((columns @ columns.mT).double().sum(0)) - (seen @ seen.mT).sum(0)
        weights = solve_taps(left, torch.ones(len(left), dtype=torch.double)).clamp_min(0)
        weights = (weights / weights.sum().clamp_min(LEAST)).view(1, 1, self.knots, self.knots)
        hat = torch.outer(HAT, HAT)[None, None]
        kernel = F.conv_transpose2d(weights, hat, stride=SPACING)[0, 0].float()

        values = self.blurred(padded, kernel)
        explained = values @ self.spectra.T  # (3, R)
        left = (values - explained @ self.spectra).square().mean(1)
        response = torch.linalg.solve_triangular(self.root.T, explained.T, upper=True)[:-1]  # (R - 1, 3)
        of_noise = self.noise**2 * response.square().sum(0).mean()
        variance = values.var(1).mean().clamp_min(LEAST)
        offset = explained[:, -1].square().mean() / len(self.pixels)
        parts = (
            left.mean() / of_noise.clamp_min(LEAST),
            left.mean() / variance,
            (left.mean() + offset) / variance,
        )
        return _Fit(kernel, left, *map(float, parts))

    def columns(self, hats: Tensor) -> Tensor:
        """(3, 1, ...) -> (3, knots^2, n) the values under the kernel's knots."""
        reach, width = SPACING * (self.knots - 1) + 1, self.size[1]
        taps = hats[:, 0].unfold(1, reach, self.scale).unfold(2, reach, self.scale)
        return taps[:, self.pixels // width, self.pixels % width, ::SPACING, ::SPACING].flatten(2).mT

    def padded(self, images: Tensor) -> Tensor:
        """(C, H, W) -> (C, 1, ...) with the kernel's reach beyond the border."""
        beyond = SPACING * (self.knots - 1) + len(HAT) - self.scale
        before, after = beyond // 2, beyond - beyond // 2
        return F.pad(images[:, None], (before, after, before, after), mode="replicate")

    def blurred(self, padded: Tensor, kernel: Tensor) -> Tensor:
        """(C, 1, ...) -> (C, n) float64 what the LR pixels see."""
        return F.conv2d(padded, kernel[None, None], stride=self.scale).flatten(1)[:, self.pixels].double()

    def free_curve(self, rgb: Tensor, start: ToneCurve, found: _Fit) -> tuple[_Fit, ToneCurve]:
        """The curve near `start`, which `found` belongs to, that leaves least, and its fit."""
        knots = torch.arange(1, INTERVALS).view(-1, 1, 1, 1)
        hats = (
            (1 - (INTERVALS / start.white * rgb - knots).abs()).clamp_min(0).flatten(0, 1)
        )  # (3 (K - 1), H, W)
        padded, first = self.padded(hats), self.padded(start.linearise(rgb))
        second = torch.eye(INTERVALS + 1, dtype=torch.double).diff(n=2, dim=0)[:, 1:-1]
        best, curve = found, start
        for bend in BENDS:
            prior = second.T @ second / (bend * start.white) ** 2
            candidate = bent(start, self.deviation(first, padded, best, prior) / start.white)
            fit = self.fit(candidate.linearise(rgb))
            if fit.share < best.share:
                best, curve = fit, candidate
        return best, curve

    def deviation(self, first: Tensor, hats: Tensor, found: _Fit, prior: Tensor) -> Tensor:
        """(K - 1,) d at the inner knots, all channels together; the response has no offset."""
        steps = self.unexplained(self.blurred(hats, found.kernel)).view(len(prior), 3, -1)
        wanted = self.unexplained(self.blurred(first, found.kernel))  # (3, n)
        weighted = steps / found.left.clamp_min(LEAST).view(-1, 1)
        gram, target = (
            torch.einsum("icn,jcn->ij", weighted, steps),
            torch.einsum("icn,cn->i", weighted, wanted),
        )
        return torch.linalg.solve(gram + prior, -target)

    def unexplained(self, values: Tensor) -> Tensor:
        """(C, n) less what spectra, without an offset, explain of it."""
        return values - (values @ self.spectra[:-1].T) @ self.spectra[:-1]


def smoothed_by_hat(images: Tensor) -> Tensor:
    """(C, 1, H, W) -> (C, 1, H - 2, W - 2), the hat along both axes."""
    rows = (images[:, :, :-2] + 2 * images[:, :, 1:-1] + images[:, :, 2:]) / 4
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4


def bent(start: ToneCurve, deviation: Tensor) -> ToneCurve:
    """`start` with a `deviation` (INTERVALS - 1,) of white at its inner knots, made to grow from 0 to 1."""
    ends = F.pad(deviation, (1, 1))
    x = torch.arange(STEPS + 1, dtype=torch.double) / STEPS * INTERVALS
    left = x.long().clamp_max(INTERVALS - 1)
    table = start.table + torch.lerp(ends[left], ends[left + 1], x - left)
    return ToneCurve("free", table.clamp(0, 1).cummax(0).values, start.white)

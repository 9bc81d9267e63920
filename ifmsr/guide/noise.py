"""Noise of an RGB guide: how strong it is, and its removal.

*Level.* Patches of 5 x 5 pixels and three channels have 75 values. In the smoothest patches the scene fills few of
their directions, because its channels rise and fall together; white noise fills all of them alike. The mean of the
smallest eigenvalues of the patches' covariance is the noise's variance (after Pyatykh, Hesser and Zheng, IEEE TIP
22(2), 2013, there for grey images). Patches so dark that noise is cut at 0 show less of it and are left out once a
first level is known. White noise in the same patches, whose smallest eigenvalues lie below its variance too, says by
how much. Rounding to a grid of step q adds noise of variance q^2 / 12.

*Removal.* Non-local means (Buades, Coll and Morel, CVPR 2005) give a first estimate. Around each pixel the patches
that are most alike in it are then taken as samples of one Gaussian distribution, whose mean and covariance give the
Wiener filter of the noisy ones, twice (the second step of NL-Bayes: Lebrun, Buades and Morel, SIAM J. Imaging
Sciences 6(3), 2013).

*Bias.* A value x with Gaussian noise of standard deviation s, cut at 0, has the mean x F(x / s) + s f(x / s), f and F
the normal density and distribution: 0.4 s for black. Denoised values are such means, and the inverse of that function
gives x.
"""

from functools import reduce
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.progress import with_progress

SIDE = 5  # of the patches whose eigenvalues are looked at
STRIDE = 2  # between them
SMOOTHEST = 0.3  # of them, that count
FEWEST = 500  # patches
SMALLEST = 0.2  # of the eigenvalues
ROWS = 64  # of patches or pixels at once
DARK, BRIGHT = 0.01, 0.99  # of the largest value: patches beyond are clipped
LEVELS = 255, 65535  # steps of pictures
LEAST = 1.6e-3  # of the largest value: less cannot be separated from a scene's texture
ROUNDED = 0.01  # steps, by which values of a picture lie off the grid at most
FAR = 3.0  # levels of noise between a patch and black or the brightest value: noise is not cut there
MANY_ZEROS = 0.1  # of the values up to one level of noise: fewer, and noise is not cut at 0
KNOTS = 1024  # of the tabulated mean of cut noise

REACH = 7  # pixels around a pixel in which patches are searched for
PATCH = 3  # side of these
BANDWIDTH = 1.2  # of non-local means, in standard deviations of the noise
UNLIKE = 30.0  # exponent from which a weight is as good as 0; far smaller numbers are slow to compute with
ALIKE = 40  # patches in a group
SPACING = 3  # pixels between groups
ROUNDS = 2  # of Wiener filters
STRIP = 32  # rows of groups at once
GROUPS = 256  # that are filtered together: they fit into a processor's cache


def noise_level(rgb: Tensor, valid: Tensor) -> float:
    """Standard deviation of the noise of a guide (3, H, W), in its unit; only `valid` (H, W) pixels count.

    Where that cannot be separated from texture, or where there are too few pixels, it is the noise of rounding.
    """
    rounding = rounding_step(rgb, valid) / 12**0.5
    if min(rgb.shape[1:]) < SIDE:
        return rounding
    most, measured = rgb.max(), 0.0
    smooth = F.avg_pool2d(rgb[None], SIDE, 1, SIDE // 2, count_include_pad=False)[0]
    texture = torch.cat([part.flatten(3).var(3).sum(0).flatten() for part in patches(smooth).split(ROWS, 1)])
    usable = whole_patches(valid & (rgb.amin(0) > DARK * most) & (rgb.amax(0) < BRIGHT * most))
    while usable.sum() >= FEWEST:
        first, measured = measured == 0, _smallest_spread(rgb, torch.where(usable, texture, torch.inf))
        if not (first and measured > LEAST * most):
            break
        margin = FAR * measured
        usable &= whole_patches((smooth.amin(0) > margin) & (smooth.amax(0) < most - margin))
    return max(rounding, measured if measured > LEAST * most else 0.0)


def whole_patches(usable: Tensor) -> Tensor:
    """(n,) bool: the patches all of whose pixels are `usable` (H, W)."""
    return -F.max_pool2d(-usable.float()[None], SIDE, STRIDE).flatten() > 0


def _smallest_spread(rgb: Tensor, texture: Tensor) -> float:
    """Standard deviation along the directions that the smoothest patches fill least; `texture` (n,) may be infinite."""
    count = max(FEWEST, int(SMOOTHEST * texture.isfinite().sum()))
    chosen, across = texture.argsort()[:count], (rgb.shape[2] - SIDE) // STRIDE + 1
    white = torch.randn(rgb.shape, generator=torch.Generator().manual_seed(0))
    found, alone = (_smallest_values(image, chosen // across, chosen % across) for image in (rgb, white))
    return (found / alone) ** 0.5


def _smallest_values(image: Tensor, rows: Tensor, columns: Tensor) -> float:
    """Mean of the smallest eigenvalues of the covariance of some patches."""
    some = patches(image)[:, rows, columns]  # (3, n, SIDE, SIDE)
    values = torch.linalg.eigvalsh(torch.cov(some.transpose(0, 1).flatten(1).T.double()))
    return float(values[: int(SMALLEST * len(values))].mean().clamp_min(0))


def patches(image: Tensor) -> Tensor:
    """(3, H, W) -> (3, h, w, SIDE, SIDE), a view."""
    return image.unfold(1, SIDE, STRIDE).unfold(2, SIDE, STRIDE)


def rounding_step(rgb: Tensor, valid: Tensor) -> float:
    """The step of a picture's values, 1/255 or 1/65535 if those of `valid` (H, W) pixels lie on such a grid, else 0."""
    for levels in LEVELS:
        if all(_on_grid(rows, levels) for rows in (rgb * valid).split(ROWS, 1)):
            return 1 / levels
    return 0.0


def _on_grid(rgb: Tensor, levels: int) -> bool:
    steps = levels * rgb.double()
    return float((steps - steps.round()).abs().max()) < ROUNDED


def is_cut(rgb: Tensor, level: float, valid: Tensor) -> bool:
    """Whether white noise of standard deviation `level` in the `valid` pixels of a guide (3, H, W) was cut at 0."""
    if level <= rounding_step(rgb, valid) / 12**0.5:
        return False
    measured = rgb[:, valid]
    zeros, low = int((measured == 0).sum()), int(((measured > 0) & (measured <= level)).sum())
    return zeros > MANY_ZEROS * low


def uncut(mean: Tensor, level: float) -> Tensor:
    """Values whose mean is `mean` with noise of standard deviation `level` that was cut at 0; see "Bias" above."""
    x = torch.linspace(0, 2 * FAR, KNOTS)
    normal = torch.distributions.Normal(0.0, 1.0)
    means = x * normal.cdf(x) + normal.log_prob(x).exp()
    seen = mean / level
    right = torch.searchsorted(means, seen.contiguous()).clamp(1, KNOTS - 1)
    low, high = means[right - 1], means[right]
    value = x[right - 1] + (seen - low) / (high - low) * (x[1] - x[0])
    return torch.where(seen < means[-1], level * value.clamp_min(0), mean)


def denoise(rgb: Tensor, level: float) -> Tensor:
    """A guide (3, H, W) without white noise of a standard deviation of `level`."""
    if min(rgb.shape[1:]) <= 2 * REACH:
        return rgb
    pilot = non_local_means(rgb, level)
    for _ in range(ROUNDS):
        pilot = wiener_filtered(rgb, pilot, level)
    return pilot


def non_local_means(rgb: Tensor, level: float) -> Tensor:
    """The mean of each pixel (3, H, W) and those around it, weighed by how much their patches are alike."""
    _, height, width = rgb.shape
    total, weights = rgb.clone(), torch.ones(height, width)
    for down in range(REACH + 1):
        for right in range(-REACH if down else 1, REACH + 1):
            upper = slice(height - down), slice(max(0, -right), width - max(0, right))
            lower = slice(down, height), slice(max(0, right), width - max(0, -right))
            here, there = rgb[(..., *upper)], rgb[(..., *lower)]
            apart = mean_around((here - there).square_().mean(0))
            weight = torch.exp(-((apart - 2 * level**2) / (BANDWIDTH * level) ** 2).clamp_(0, UNLIKE))
            for window, image in ((upper, there), (lower, here)):
                total[(..., *window)].addcmul_(weight, image)
                weights[window].add_(weight)
    return total / weights


def mean_around(values: Tensor) -> Tensor:
    """(H, W) -> the mean over PATCH x PATCH pixels around each, as far as these lie in the image."""
    rows, columns = (number_around(length) for length in values.shape)
    for axis, length in enumerate(values.shape):
        total = values.clone()
        for step in range(1, min(PATCH // 2, length - 1) + 1):
            total.narrow(axis, step, length - step).add_(values.narrow(axis, 0, length - step))
            total.narrow(axis, 0, length - step).add_(values.narrow(axis, step, length - step))
        values = total
    return values / (rows[:, None] * columns)


def number_around(length: int) -> Tensor:
    """(length,) how many of so many places in a row lie within half a patch of each."""
    place, reach = torch.arange(length), PATCH // 2
    return (place + reach).clamp_max(length - 1) - (place - reach).clamp_min(0) + 1


def wiener_filtered(noisy: Tensor, pilot: Tensor, level: float) -> Tensor:
    """`noisy` (3, H, W), each patch filtered by the mean and covariance of the patches that are alike in `pilot`."""
    _, height, width = noisy.shape
    total, counts = torch.zeros_like(noisy), torch.zeros(1, height, width)
    last = height - PATCH
    for top in with_progress(range(0, last + 1, STRIP * SPACING), "denoising the guide"):
        rows = [min(row, last) for row in range(top, min(top + STRIP * SPACING, last + SPACING), SPACING)]
        first, end = max(0, top - REACH), min(height, rows[-1] + REACH + PATCH)
        strip = slice(first, end)
        part, count = _filtered_strip(noisy[:, strip], pilot[:, strip], level, torch.tensor(rows) - first)
        total[:, strip] += part
        counts[:, strip] += count
    return torch.where(counts > 0, total / counts.clamp_min(1), noisy)


def _filtered_strip(noisy: Tensor, pilot: Tensor, level: float, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of filtered patches (3, h, w) and their counts (1, h, w), for groups around the patches of some `rows`."""
    height, width = noisy.shape[1:]
    across = width - PATCH + 1
    columns = torch.arange(0, across + SPACING - 1, SPACING).clamp_max(across - 1)
    centres = (rows[:, None] * across + columns).flatten()
    steps = torch.arange(-REACH, REACH + 1)
    nearest = distances(pilot, rows, columns).topk(ALIKE, dim=1, largest=False, sorted=False).indices
    offsets = (steps[:, None] * across + steps).flatten()
    members = (centres[:, None] + offsets[nearest]).clamp(0, across * (height - PATCH + 1) - 1)  # (n, ALIKE)

    known, seen = (F.unfold(image[None], PATCH)[0].T.contiguous() for image in (pilot, noisy))
    patches, counts = torch.zeros_like(seen), torch.zeros(1, len(seen))  # (patches, 3 PATCH^2)
    for group in members.split(GROUPS):
        filtered = _filtered_groups(seen[group], known[group], level)
        patches.index_add_(0, group.flatten(), filtered.flatten(0, 1))
    counts.index_add_(1, members.flatten(), torch.ones(1, members.numel()))
    size = (height, width)
    return F.fold(patches.T[None], size, PATCH)[0], F.fold(counts.expand(PATCH**2, -1)[None], size, PATCH)[0]


def distances(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(n, (2 REACH + 1)^2) squared distances of the patches at `rows` and `columns` to all around them.

    Infinite for patches that do not lie in the image (3, h, w).
    """
    height, width = image.shape[1:]
    beyond = F.pad(image[None], (REACH,) * 4, value=torch.inf)[0]
    reach, across = range(2 * REACH + 1), width - PATCH + 1
    found = image.new_empty(len(reach) ** 2, len(rows), len(columns))
    apart, square = torch.empty_like(image), torch.empty_like(image[0])
    for place, (down, right) in zip(found, product(reach, reach), strict=True):
        torch.sub(image, beyond[:, down : down + height, right : right + width], out=apart)
        torch.sum(apart.square_(), 0, out=square)
        tall = reduce(torch.add, (square.index_select(0, rows + step) for step in range(PATCH)))
        wide = reduce(torch.add, (tall[:, step : step + across] for step in range(PATCH)))
        torch.index_select(wide, 1, columns, out=place)
    return found.flatten(1).T.contiguous()


def _filtered_groups(seen: Tensor, known: Tensor, level: float) -> Tensor:
    """Groups of noisy patches (n, ALIKE, 3 PATCH^2) after the Wiener filter of the pilot's, `known`."""
    known = known - known.mean(1, keepdim=True)
    covariance = (known.mT @ known).div_(ALIKE - 1)
    covariance.diagonal(dim1=1, dim2=2).add_(level**2)
    precision = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    return torch.baddbmm(seen, seen - seen.mean(1, keepdim=True), precision, alpha=-(level**2))

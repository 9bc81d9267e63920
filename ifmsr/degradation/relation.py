"""Mutual information of an LR cube and an RGB guide, and the sampling kernel that maximises it.

With y the leading spectral directions of the LR cube and D_k z the guide, blurred by k and decimated, both as
differences between neighbouring pixels where the cube has its strongest edges, the measure is

    J(k) = 1/2 log det cov(D_k z) - 1/2 log det cov(D_k z | y),

the mutual information of Gaussian variables. It does not change with the guide's unit, white balance or contrast, needs
no spectral response function, and finds the kernel of a guide that sees parts of the spectrum which the cube lacks:
channels that the cube does not explain add nothing. A guide of another place has the J that chance gives, which the
same guide moved by many pixels shows.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ifmsr.degradation.kernels import gaussians, kernel_columns, kernel_side
from ifmsr.degradation.sampling import decimate

MOST_EDGES = 4096
FEWEST_EDGES = 100  # fewer are not enough
PER_MAP = 6  # edges per spectral direction, at least
MOST_MAPS = (
    24  # spectral directions; more, with hundreds of bands, raise the chance level and not the information
)
FARTHEST = 1.5  # blocks: of a kernel's shift
WIDTHS = (0.12, 1.2)  # blocks: of a kernel's standard deviations
MOVES = 24  # of the guide, for the chance level
BY_CHANCE = 6.0  # added to it, over the number of edges
LEAST = 1e-7  # of the mean variance, added to each


class Edges:
    """Pairs of neighbouring LR pixels that are both `usable` (h, w)."""

    def __init__(self, usable: Tensor):
        h, w = usable.shape
        index = torch.arange(h * w).view(h, w)
        first = torch.cat([index[:, 1:].flatten(), index[1:].flatten()])
        second = torch.cat([index[:, :-1].flatten(), index[:-1].flatten()])
        both = usable.flatten()[first] & usable.flatten()[second]
        self.first, self.second, self.size = first[both], second[both], (h, w)

    def __len__(self) -> int:
        return len(self.first)

    def of(self, pixels: Tensor) -> Tensor:
        """(..., h, w) or (..., h w) -> (..., edges): differences."""
        pixels = pixels.flatten(-2) if pixels.shape[-2:] == self.size else pixels
        return pixels[..., self.first] - pixels[..., self.second]

    def columns(self, rgb: Tensor, scale: int) -> Tensor:
        """(3, k^2, edges): differences of the guide's values under the taps of a kernel."""
        return kernel_columns(rgb, scale, self.first) - kernel_columns(rgb, scale, self.second)

    def keep(self, chosen: Tensor) -> None:
        """Only the edges of these numbers."""
        self.first, self.second = self.first[chosen], self.second[chosen]


class Relation:
    """J of the module's docstring for one pair of images.

    Parameters
    ----------
    maps : (R, h, w) the LR cube's leading spectral directions, the last the strongest.
    rgb : (3, H, W).
    edges : the pairs of LR pixels that may be looked at; those kept are the strongest.
    """

    def __init__(self, maps: Tensor, rgb: Tensor, scale: int, edges: Edges):
        self.scale, self.edges = scale, edges
        maps = maps[-max(1, min(MOST_MAPS, len(edges) // PER_MAP - len(rgb))) :]
        edges.keep(edges.of(maps).square().sum(0).argsort(descending=True)[:MOST_EDGES])
        self.columns = edges.columns(rgb, scale)
        self.basis = torch.linalg.qr(edges.of(maps).double().T)[0].float()  # (edges, R)

    def information(self, seen: Tensor) -> Tensor:
        """(m,) J for differences of the blurred guide, `seen` (m, 3, edges)."""
        total, shared = (seen @ seen.mT).double(), (seen @ self.basis).double()
        identity = torch.eye(seen.shape[1], dtype=torch.double)
        least = (
            LEAST * total.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
            + torch.finfo(torch.double).tiny ** 0.5
        )
        return 0.5 * (
            torch.logdet(total + least * identity)
            - torch.logdet(total - shared @ shared.mT + least * identity)
        )

    def of_kernels(self, kernels: Tensor) -> Tensor:
        """(m,) J for kernels (m, k, k)."""
        return self.information(torch.einsum("mk,cke->mce", kernels.flatten(1), self.columns))

    def chance(self, rgb: Tensor, kernel: Tensor) -> float:
        """Mean J of the guide moved by an eighth to seven eighths of the image, as a guide of another place has."""
        seen, (h, w) = decimate(rgb, kernel, self.scale), self.edges.size
        generator = torch.Generator("cpu").manual_seed(0)
        share = torch.rand(MOVES, 2, generator=generator, device="cpu") * 0.75 + 0.125
        moved = [
            seen.roll((round(float(down) * h), round(float(right) * w)), (1, 2)) for down, right in share
        ]
        return float(self.information(self.edges.of(torch.stack(moved))).mean()) + BY_CHANCE / len(self.edges)


def best_gaussian(score: Callable[[Tensor], Tensor], scale: int) -> tuple[Tensor, float]:
    """The Gaussian kernel (k, k) of largest `score` (of kernels (m, k, k)), and that: a grid, then a pattern search."""
    block, side = float(scale), kernel_side(scale)
    shifts = torch.linspace(-FARTHEST, FARTHEST, 7) * block
    grid = torch.cartesian_prod(shifts, shifts, torch.log(torch.tensor([0.4, 0.65]) * block))
    forms = torch.stack([*grid.T, grid[:, 2], torch.zeros(len(grid))], dim=1)
    widths = torch.log(torch.tensor(WIDTHS) * block).tolist()
    lowest = torch.tensor([-FARTHEST * block] * 2 + widths[:1] * 2 + [-torch.inf])
    highest = torch.tensor([FARTHEST * block] * 2 + widths[1:] * 2 + [torch.inf])
    step = torch.tensor([block / 4, block / 4, 0.3, 0.3, 0.8])
    form, best = forms[0], -torch.inf
    while step[0] > block / 80:
        found = score(gaussians(forms, side))
        if float(found.max()) > best + 1e-4:
            form, best = forms[found.argmax()], float(found.max())
        elif len(forms) == 2 * len(step):
            step = step / 2
        forms = (form + torch.cat([torch.diag(step), -torch.diag(step)])).clamp(lowest, highest)
    return gaussians(form[None], side)[0], best

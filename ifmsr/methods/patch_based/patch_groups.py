"""Groups of similar patches of the RGB image, for priors that act on all patches of a group jointly."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

ITERATIONS = 300  # at most, of k-means; real images converge earlier
FLOATS_AT_ONCE = 2**19  # size of a table of distances that fits into the cache


class PatchGroups:
    """Overlapping patches of an RGB image, clustered into groups; applies to any cube of the same size.

    Parameters
    ----------
    rgb : (3, H, W); its patches are clustered as raw vectors by k-means.
    patch, stride : side of the square patches and step of their regular grid, in pixels. Pixels that the grid does not
        cover get one more row and column of patches along the lower and right border. An image smaller than `patch` is
        one patch.
    count : number of groups; fewer if there are fewer distinct patches.
    seed : of k-means.
    exponent : see `k_means`.
    largest : groups with more patches are split into nearly equal parts, in row-by-row order.

    Attributes
    ----------
    members : per group the pixel indices of its patches, (patches, pixels per patch), counted row by row.
    height, width : of a patch.
    """

    def __init__(
        self,
        rgb: Tensor,
        patch: int,
        stride: int,
        count: int,
        seed: int,
        exponent: float = 2,
        largest: int | None = None,
    ):
        image_height, image_width = rgb.shape[1:]
        self.height, self.width = min(patch, image_height), min(patch, image_width)
        rows = grid(image_height, self.height, stride).to(rgb.device)
        columns = grid(image_width, self.width, stride).to(rgb.device)
        pixels = torch.arange(image_height * image_width, device=rgb.device).view(image_height, image_width)
        windows = pixels.unfold(0, self.height, 1).unfold(1, self.width, 1)[rows][:, columns]
        windows = windows.flatten(2).flatten(0, 1)  # (rows, columns, p, p) -> (patches, p p)

        vectors = rgb.flatten(1).T[windows].flatten(1)  # (patches, p p, 3) -> (patches, 3 p p)
        labels = k_means(vectors, count, seed, exponent)
        groups = [part for label in range(int(labels.max()) + 1) for part in parts(labels == label, largest)]
        self.members = [windows[group] for group in groups]

        flat = torch.cat(self.members).flatten()
        self._order = flat.argsort(stable=True)  # patch pixels, sorted by image pixel
        covered = torch.bincount(flat, minlength=pixels.numel())
        self._starts = covered.cumsum(0) - covered

    def vectors(self, image: Tensor) -> list[Tensor]:
        """(C, H, W) -> the patches of each group, (patches, p p, C)."""
        spectra = pixel_rows(image)
        return [spectra[members] for members in self.members]

    def apply(self, function: Callable[[int, Tensor], Tensor], image: Tensor) -> Tensor:
        """Apply a function to the patches of each group and reassemble the image, averaging overlaps.

        Parameters
        ----------
        function : called with a group's index and its patches (patches, p p, B); returns the same shape.
        image : (B, H, W).

        Returns
        -------
        (B, H, W).
        """
        spectra = pixel_rows(image)
        changed = spectra.new_empty(len(self._order), spectra.shape[1])
        done = 0
        for group, members in enumerate(self.members):
            patches = spectra.index_select(0, members.flatten()).view(*members.shape, -1)
            end = done + members.numel()
            changed[done:end] = function(group, patches).flatten(0, 1)
            done = end
        # one bag per image pixel; its items are the patch pixels that cover it
        averages = F.embedding_bag(self._order, changed, self._starts, mode="mean")
        return averages.T.reshape(image.shape)


def pixel_rows(image: Tensor) -> Tensor:
    """(C, H, W) -> (H W, C), contiguous."""
    return image.flatten(1).T.contiguous()


def grid(length: int, patch: int, stride: int) -> Tensor:
    """Start positions of the patches along a side of `length` pixels; the last patch ends at the border."""
    starts = list(range(0, length - patch + 1, stride))
    if starts[-1] != length - patch:
        starts.append(length - patch)
    return torch.tensor(starts)


def parts(chosen: Tensor, largest: int | None) -> list[Tensor]:
    """Split the indices where `chosen` is true into nearly equal parts of at most `largest`; [] if there are none."""
    indices = chosen.nonzero()[:, 0]
    if not len(indices):
        return []
    return list(indices.tensor_split(-(-len(indices) // (largest or len(indices)))))


def k_means(points: Tensor, count: int, seed: int, exponent: float = 2) -> Tensor:
    """K-means: Lloyd's algorithm with k-means++ initialisation, until no label changes.

    Parameters
    ----------
    points : (N, D).
    count : number of clusters; fewer if there are fewer distinct points.
    seed : of the initial centres.
    exponent : the next initial centre is drawn with probability proportional to this power of a point's distance to the
        nearest centre chosen so far; 2 is k-means++.

    Returns
    -------
    (N,) labels from 0; a label is missing if its cluster became empty.
    """
    centres = first_centres(points, count, seed, exponent)
    labels = nearest(points, centres)
    for _ in range(ITERATIONS):
        sizes = torch.bincount(labels, minlength=len(centres))
        means = F.embedding_bag(labels.argsort(), points, sizes.cumsum(0) - sizes, mode="mean")
        centres = torch.where(sizes[:, None] > 0, means, centres)
        before, labels = labels, nearest(points, centres)
        if torch.equal(labels, before):
            break
    return labels


def first_centres(points: Tensor, count: int, seed: int, exponent: float) -> Tensor:
    """Initial centres by k-means++, at most `count` distinct points: (N, D) -> (K, D)."""
    generator = torch.Generator().manual_seed(seed)
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    squares = points.new_full((len(points),), torch.inf)
    while len(chosen) < count:
        squares = torch.minimum(squares, (points - points[chosen[-1]]).square().sum(1))
        chances = squares.double() ** (exponent / 2)
        if not chances.any():
            break
        chosen.append(int(torch.multinomial(chances.cpu(), 1, generator=generator)))
    return points[chosen]


def nearest(points: Tensor, centres: Tensor) -> Tensor:
    """The index of the nearest centre of each point: (N, D), (K, D) -> (N,)."""
    half_squares = centres.square().sum(1) / 2
    step = max(1, FLOATS_AT_ONCE // len(centres))
    tables = (torch.addmm(half_squares, part, centres.T, alpha=-1) for part in points.split(step))
    return torch.cat([table.argmin(1) for table in tables])

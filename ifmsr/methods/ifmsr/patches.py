"""Patches of MCPA: cut an image into patches, join them, and find the most similar ones."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.errors import InputError

FEW = 256  # up to this many patches are compared in float64 directly, without waiting for values from the GPU


def cut_patches(x: Tensor, patch: int) -> Tensor:
    """(N, C, H, W) -> (N, L, C, patch, patch), row by row; the image is zero-padded on all sides to whole patches."""
    lack_h, lack_w = -x.shape[-2] % patch, -x.shape[-1] % patch
    x = F.pad(x, (lack_w // 2, lack_w - lack_w // 2, lack_h // 2, lack_h - lack_h // 2))
    n, c, height, width = x.shape
    x = x.view(n, c, height // patch, patch, width // patch, patch)  # (N, C, rows, p, columns, p)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(n, -1, c, patch, patch)


def join_patches(patches: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `cut_patches`: (N, L, C, p, p) -> (N, C, height, width), without the padding."""
    n, _, c, patch, _ = patches.shape
    rows, columns = -(-height // patch), -(-width // patch)
    x = patches.view(n, rows, columns, c, patch, patch).permute(0, 3, 1, 4, 2, 5)
    x = x.reshape(n, c, rows * patch, columns * patch)
    lack_h, lack_w = rows * patch - height, columns * patch - width
    return F.pad(x, (-(lack_w // 2), lack_w // 2 - lack_w, -(lack_h // 2), lack_h // 2 - lack_h))


@torch.no_grad()
def similar_patches(rgb: Tensor, patch: int, k: int = 3, block: int = 1 << 24) -> Tensor:
    """The k most similar other patches of each patch of an RGB image (paper, section III-B, MCPA).

    Parameters
    ----------
    rgb : (N, 3, H, W) RGB images in [0, 1].
    patch : side of the non-overlapping patches in pixels, 3r in the paper.
    k : number of similar patches.
    block : number of similarities computed at once, about 16 bytes each. They are ranked in float32, and again in
        float64 where two candidates are too close.

    Returns
    -------
    (N, L, k) int64: patch indices, counted row by row, sorted by decreasing cosine similarity (eps 1e-8). A patch is
    not among its own.

    Raises
    ------
    InputError : the image has fewer than k + 1 patches.
    """
    vectors = cut_patches(rgb.double(), patch).flatten(2)  # (N, L, 3 p p)
    count = vectors.shape[1]
    if count <= k:
        raise InputError(
            "rgb",
            f"{tuple(rgb.shape[-2:])} pixels make {count} patches of {patch} x {patch}, too few for {k} others",
            "Give a larger image, or a network with mcpa=False",
        )
    unit = vectors / vectors.norm(dim=2, keepdim=True).clamp_min(1e-8)
    if count <= FEW:
        return ranked(unit, unit, 0, k).indices
    single = unit.float()
    doubt = 2 * unit.shape[2] * 2**-24  # bound on the rounding error of a difference of float32 similarities
    best = []
    for start in range(0, count, max(1, block // count)):
        rows = slice(start, start + max(1, block // count))
        values, indices = ranked(single[:, rows], single, start, k + 1)
        indices = indices[:, :, :k]
        image, row = (values.diff(dim=2) > -doubt).any(2).nonzero(as_tuple=True)  # float32 is not enough
        for n in image.unique():
            unclear = row[image == n]
            exact = unit[n, start + unclear] @ unit[n].mT
            exact[torch.arange(len(unclear)), start + unclear] = -torch.inf
            indices[n, unclear] = exact.topk(k, dim=1).indices
        best.append(indices)
    return torch.cat(best, dim=1)


def ranked(rows: Tensor, unit: Tensor, start: int, k: int) -> Any:
    """Values and indices of the k largest scalar products of `rows` with other vectors of `unit`.

    `rows` are the vectors of `unit` from index `start` on; products of a vector with itself are excluded.
    """
    similarity = rows @ unit.mT  # (N, R, L)
    similarity.diagonal(start, 1, 2).fill_(-torch.inf)
    return similarity.topk(k, dim=2)

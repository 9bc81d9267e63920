"""Speed of MCPA's patch search: blocked matrix products against a loop over all pairs of patches."""

import torch
import torch.nn.functional as F

from benchmarks.common import alone, seconds, write_rows
from ifmsr.methods.ifmsr.network import cut_patches, similar_patches

PATCH, NEIGHBOURS, SIDES, ROWS = 12, 3, (256, 512, 1024, 2048), 4


def pairwise(vectors: torch.Tensor, rows: int) -> list[list[int]]:
    """The definition of the search as a loop, for the first `rows` patches of (L, d): their most similar patches."""
    best = []
    for i in range(rows):
        similar = [float(F.cosine_similarity(vectors[i], other, dim=0)) for other in vectors]
        similar[i] = -float("inf")
        best.append(sorted(range(len(similar)), key=lambda j: -similar[j])[:NEIGHBOURS])
    return best


def search(side: int) -> dict[str, float]:
    """Time of the search in an image of `side` x `side` pixels."""
    rgb = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    return {"side": side, "seconds": seconds(lambda: similar_patches(rgb, PATCH, NEIGHBOURS), 3)}


def main() -> None:
    """Measure all sizes. The loop's time is extrapolated from a few patches; its result must be the same."""
    rows = []
    for side in SIDES:
        rgb = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        vectors = cut_patches(rgb.double(), PATCH).flatten(2)[0]
        found: list[list[int]] = []
        loop = seconds(lambda: found.extend(pairwise(vectors, ROWS))) * len(vectors) / ROWS  # noqa: B023
        assert found == similar_patches(rgb, PATCH, NEIGHBOURS)[0, :ROWS].tolist()
        row = alone(search, side)
        rows.append({**row, "patches": len(vectors), "loop_seconds": loop, "ratio": loop / row["seconds"]})
    write_rows("patch_search", rows)

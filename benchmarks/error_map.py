"""SubspaceNet's predicted error against the true error, for all pixels of CAVE's test scenes of split figure4."""

import numpy as np
from scipy.stats import spearmanr

from benchmarks.common import cave, write_rows
from ifmsr.degradation.protocol import degrade
from ifmsr.inference.api import Learned, load_method

SEED = 0


def main() -> None:
    """Compare predicted and true errors per scene. Needs CAVE.

    `most_trusted` and `least_trusted` are the true errors of the 10 % of pixels with the lowest and the highest
    predicted error.
    """
    data = cave()
    if data is None:
        return
    rows = []
    for name in data.split("figure4").test:
        for scale in (4, 8):
            scene = data.load(name).crop_to_multiple(scale)
            method = load_method("subspace-net", scale, precision="bfloat16")
            assert isinstance(method, Learned)
            sr, expected = method.with_error(degrade(scene, scale, seed=SEED))
            true = np.abs(sr - scene.cube).mean(axis=0)
            tenths = np.array_split(true.flat[np.argsort(expected, axis=None)], 10)
            rows.append(
                {
                    "scene": name,
                    "scale": scale,
                    "seed": SEED,
                    "weights": method.fingerprint,
                    "rank_correlation": spearmanr(expected.ravel(), true.ravel()).statistic,
                    "expected": expected.mean(),
                    "happened": true.mean(),
                    "most_trusted": tenths[0].mean(),
                    "least_trusted": tenths[-1].mean(),
                }
            )
    write_rows("error_map", rows)

"""Whether SubspaceNet's expected error is the one that happens: all pixels of CAVE's test scenes of split figure4."""

import numpy as np
from scipy.stats import spearmanr

from benchmarks.common import cave, write_rows
from ifmsr.degradation.protocol import degrade
from ifmsr.inference.api import Learned, load_method

SEED = 0


def main() -> None:
    """Needs CAVE. `most_trusted`, `least_trusted`: the error in the tenths of the pixels expected to be best, worst."""
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
            happened = np.abs(sr - scene.cube).mean(axis=0)
            tenths = np.array_split(happened.flat[np.argsort(expected, axis=None)], 10)
            rows.append(
                {
                    "scene": name,
                    "scale": scale,
                    "seed": SEED,
                    "weights": method.fingerprint,
                    "rank_correlation": spearmanr(expected.ravel(), happened.ravel()).statistic,
                    "expected": expected.mean(),
                    "happened": happened.mean(),
                    "most_trusted": tenths[0].mean(),
                    "least_trusted": tenths[-1].mean(),
                }
            )
    write_rows("error_map", rows)

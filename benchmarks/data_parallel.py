"""Training throughput on two CPU cores: two processes of one thread against one process of two threads.

The runs of both take turns, so that other work on the machine disturbs both alike; rows have the median over the epochs
of all runs.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from benchmarks.common import write_rows
from benchmarks.training import patch_bands, scene
from ifmsr.paths import ROOT
from ifmsr.training import TrainConfig, train

NETWORK = TrainConfig(options={"features": 16}, epochs=5, checkpoint_every=1e9)
CASES = {
    "batched": replace(NETWORK, steps="batched", bands_per_step=4, batch=2, crops_per_scene=16),
    "batched, batch 16": replace(NETWORK, steps="batched", bands_per_step=4, batch=16, crops_per_scene=16),
    "per-band": replace(NETWORK, steps="per-band", batch=2, crops_per_scene=2),
}
WAYS = {"one process": (1, 2), "two processes": (2, 1)}  # processes, threads per process
TURNS = 3


def epochs(case: str, way: str) -> Iterator[float]:
    """Seconds of each epoch but the first, in processes of their own."""
    processes, threads = WAYS[way]
    with TemporaryDirectory() as folder:
        program = ("-m", "benchmarks.data_parallel", case, folder)
        subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", *program],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            cwd=ROOT,
            check=True,
        )
        yield from pd.read_csv(Path(folder) / "log.csv")["seconds"].diff().dropna()


def main() -> None:
    """Measure all cases both ways, in five minutes."""
    taken: dict[tuple[str, str], list[float]] = {(case, way): [] for case in CASES for way in WAYS}
    for _ in range(TURNS):
        for case, way in taken:
            taken[case, way] += epochs(case, way)
    rows = []
    for (case, way), seconds in taken.items():
        config = CASES[case]
        patches = config.crops_per_scene // config.batch * patch_bands(config, [scene()])
        alone, here = (pd.Series(values).median() for values in (taken[case, "one process"], seconds))
        rows.append(
            {
                "training": case,
                "processes": WAYS[way][0],
                "threads_per_process": WAYS[way][1],
                "batch": config.batch,
                "features": config.options["features"],
                "patch_bands_per_second": patches / here,
                "speed_against_one_process": alone / here,
                "slowest_epoch": max(seconds) / here,
            }
        )
    write_rows("data_parallel", rows)


if __name__ == "__main__":
    train(CASES[sys.argv[1]], [scene()], [], sys.argv[2], device="cpu")

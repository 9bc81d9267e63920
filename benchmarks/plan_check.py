"""Hours and memory that `ifmsr plan` predicts from ``costs.csv``, beside those of real runs of the same rows.

Each row is a process of its own, as `ifmsr study` starts it. CAVE takes part if it is here.
"""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import torch

from benchmarks.common import cave, write_rows
from ifmsr.experiments.costs import MEASURED, read_costs
from ifmsr.experiments.measuring import clock
from ifmsr.experiments.plan import plan
from ifmsr.experiments.study_rows import StudyRow

ROWS = (
    StudyRow("indian-pines", 4, "closed-form", "spatial"),
    StudyRow("indian-pines", 4, "ifmsr", "spatial"),
    StudyRow("indian-pines", 4, "ifmsr", "spatial", preset="smoke"),
)
ON_CAVE = (StudyRow("cave", 4, "closed-form", "figure4"),)
HEAD = "data,scale,method,split,seed,preset\n"
EVERY = 0.05  # seconds between two looks at the memory


def run(row: StudyRow, folder: Path) -> tuple[float, float]:
    """Seconds (see `clock`) and peak anonymous memory in GB of `ifmsr study --row`."""
    values = (row.data, row.scale, row.method, row.split, row.seed, row.preset)
    (folder / "study.csv").write_text(HEAD + ",".join(map(str, values)) + "\n", encoding="utf-8")
    words = [sys.executable, "-m", "ifmsr", "study", "study.csv", "--out", "out", "--row", row.name]
    started, most = clock(), 0
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        memory = watched.memory_info()
        most = max(most, memory.rss - memory.shared)
        time.sleep(EVERY)
    if process.returncode:
        raise RuntimeError(f"{row.name} failed: run it by ifmsr study")
    return clock() - started, most / 1e9


def check(row: StudyRow) -> dict[str, Any]:
    """One row, predicted and real."""
    predicted = plan([row], read_costs(MEASURED)).iloc[0]
    with TemporaryDirectory() as folder:
        seconds, memory = run(row, Path(folder))
    return {
        "row": row.name,
        "predicted_seconds": predicted["hours"] * 3600,
        "real_seconds": seconds,
        "seconds_ratio": predicted["hours"] * 3600 / seconds,
        "predicted_gb": predicted["memory_gb"],
        "real_gb": memory,
        "memory_ratio": predicted["memory_gb"] / memory,
    }


def main() -> None:
    """Run all rows with the threads of the measured costs, which the environment has to set."""
    print(f"costs: {read_costs(MEASURED).machine}; here: {torch.get_num_threads()} threads")
    write_rows("plan_check", [check(row) for row in (*ROWS, *(ON_CAVE if cave() else ()))])

"""What processes of their own do to a folder: ``python -m faults.processes WHAT FOLDER [METHOD]``."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

ROOM = Path(__file__).parents[1]


def train(folder: str, _: str) -> None:
    import tiny

    from ifmsr.training import train

    parts = tiny.parts()
    train(replace(tiny.CONFIG, average=0.9, decay="cosine"), parts[:1], parts[1:], folder)


def evaluate(folder: str, methods: str) -> None:
    from ifmsr.methods.bicubic import Bicubic
    from ifmsr.study.evaluation import Task, evaluate

    chosen = {name: Bicubic() for name in methods.split(",")}
    evaluate(Task("indian-pines", "spatial", side=16, seeds=range(6)), chosen, folder)


def run(folder: str, notebook: str) -> None:
    from ifmsr.notebooks import run_all

    run_all([notebook], {}, folder)


def start(what: str, folder: Path, about: str = "") -> "subprocess.Popen[bytes]":
    """One of these in a new process, in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "faults.processes", what, str(folder), about],
        cwd=ROOM, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{ROOM.parent}{os.pathsep}{ROOM}", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_for(path: Path, seconds: float = 120) -> None:
    """Until a file exists."""
    until = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError(path)
        time.sleep(0.005)


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    {"train": train, "evaluate": evaluate, "run": run}[sys.argv[1]](sys.argv[2], sys.argv[3])

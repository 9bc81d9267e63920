"""Processes of their own that work in a folder; they are forked from one that has imported everything already."""

import multiprocessing
import os
import sys
import tempfile
import time
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path

ROOM = Path(__file__).parents[1]

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["faults.warm"])


def start_server() -> None:
    """Start the process that the others are forked from; it finds its modules by the environment alone."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOM.parent), str(ROOM), *([before] if before else [])])
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before:
            os.environ["PYTHONPATH"] = before


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


def work(what: str, folder: str, about: str, said: str) -> None:
    """In the child: a group of its own, standard error into a file."""
    import torch

    os.setsid()
    os.dup2(os.open(said, os.O_WRONLY), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    {"train": train, "evaluate": evaluate, "run": run}[what](folder, about)


class Child:
    """A running process."""

    def __init__(self, what: str, folder: Path, about: str = ""):
        handle, self.said = tempfile.mkstemp()
        os.close(handle)
        start_server()
        self.process = SERVER.Process(target=work, args=(what, str(folder), about, self.said))
        self.process.start()
        assert self.process.pid is not None
        self.pid = self.process.pid

    def end(self, seconds: float = 300) -> tuple[int | None, str]:
        """Wait; the exit code, and what was written to standard error."""
        self.process.join(seconds)
        text = Path(self.said).read_text(encoding="utf-8")
        os.unlink(self.said)
        return self.process.exitcode, text


def wait_for(path: Path, seconds: float = 120) -> None:
    """Until a file exists."""
    until = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError(path)
        time.sleep(0.005)

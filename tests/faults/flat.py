"""The same work over and over in one process: ``python -m faults.flat SECONDS ROUNDS FOLDER``.

A round gives writing commands, writes one format after the other, reads every kind of file, and is refused a damaged
one. It ends after so many seconds, but not before so many rounds. Without any seconds it leaves out the commands that
take long. After each round it prints its memory and its open handles as a line of JSON.
"""

import contextlib
import gc
import io
import json
import shutil
import sys
import time
import warnings
from pathlib import Path

import psutil
import torch
from faults import samples
from faults.commands import COMMANDS, make_inputs, super_resolve

from ifmsr.cli import main

SUFFIXES = (".npy", ".tif", ".nc", ".mat", ".npz", ".hdr")


def one_round(
    inputs: Path, out: Path, files: dict[str, samples.Sample], names: list[str], suffix: str
) -> None:
    """These commands, a result in the format of `suffix`, and one refusal."""
    for name in names:
        assert main(COMMANDS[name](inputs, out)) == 0
    assert main(super_resolve(inputs, out / f"a{suffix}")) == 0
    (out / "damaged.npy").write_bytes((inputs / "lr.npy").read_bytes()[:1000])
    damaged = super_resolve(inputs, out / "b.npy")
    damaged[1] = str(out / "damaged.npy")
    assert main(damaged) == 2
    for sample in files.values():
        sample.read()
    shutil.rmtree(out)


def repeat(seconds: float, rounds: int, folder: Path) -> None:
    """Rounds until the time is over."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    inputs, said = folder / "inputs", sys.stdout
    inputs.mkdir()
    names = [*COMMANDS] if seconds else ["evaluate", "view"]
    own, until, number = psutil.Process(), time.monotonic() + seconds, 0
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        make_inputs(inputs)
        files = samples.make(folder / "samples")
        while number < rounds or time.monotonic() < until:
            one_round(inputs, folder / "out", files, names, SUFFIXES[number % len(SUFFIXES)])
            number += 1
            for stream in (sys.stdout, sys.stderr):
                stream.seek(0)
                stream.truncate()
            gc.collect()
            about = {"round": number, "MiB": own.memory_info().rss / 2**20, "handles": own.num_fds()}
            print(json.dumps(about), file=said, flush=True)


if __name__ == "__main__":
    repeat(float(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))

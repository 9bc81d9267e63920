"""Reads mutated files in a process that may hang, crash or fill its memory.

The process is ``python -m faults.fuzz SEED FIRST LAST FOLDER [NAME ...]``. It writes one JSON line per case to
standard output. The parent, `run`, starts it again after the case that ended it.
"""

import faulthandler
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

SECONDS = 10  # per case
MEBIBYTES = 1024  # per case
ROOM = Path(__file__).parents[1]


class TooSlow(BaseException):
    """Not an Exception, so that no reader takes it for a damaged file."""


def worker(seed: int, first: int, last: int, folder: Path, chosen: list[str]) -> None:
    """Cases `first` to `last`, one after the other over all samples."""
    import numpy as np
    import torch
    from faults import mutate, samples

    from ifmsr.errors import InputError

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    made = samples.make(folder)
    names = [name for name in made if not chosen or name in chosen]
    contents = {name: made[name].path.read_bytes() for name in names}
    companions = {
        name: {p: p.read_bytes() for p in made[name].path.parent.rglob("*") if p.is_file()} for name in names
    }
    for name in names:
        made[name].read()  # whole files are read

    def late(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, late)
    for number in range(first, last):
        name = names[number % len(names)]
        sample = made[name]
        say(case=number, name=name)
        for path, content in companions[name].items():
            path.write_bytes(content)
        sample.path.write_bytes(mutate.mutated(contents[name], np.random.default_rng((seed, number))))
        before = reset_peak()
        faulthandler.dump_traceback_later(SECONDS + 5, exit=True)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        started, outcome, reason = time.monotonic(), "read", ""
        try:
            sample.read()
        except InputError:
            outcome = "refused"
        except TooSlow:
            outcome, reason = "slow", traceback.format_exc(limit=-6)
        except Exception:
            outcome, reason = "error", traceback.format_exc(limit=-6)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.cancel_dump_traceback_later()
        taken = peak() - before
        if taken > MEBIBYTES:
            outcome, reason = "large", f"{taken} MiB"
        say(case=number, name=name, outcome=outcome, reason=reason, seconds=time.monotonic() - started)


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def reset_peak() -> int:
    """MiB of resident memory now; the peak counts from here."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    """MiB of resident memory at most since `reset_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024


def run(seed: int, count: int, chosen: tuple[str, ...] = ()) -> tuple[Counter[str], list[dict[str, object]]]:
    """How many of `count` cases were read and refused, and the others with what happened."""
    outcomes: Counter[str] = Counter()
    faults: list[dict[str, object]] = []
    first = 0
    while first < count:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-m", "faults.fuzz", str(seed), str(first), str(count), folder, *chosen],
                cwd=ROOM, capture_output=True,
                env={**os.environ, "PYTHONPATH": f"{ROOM.parent}{os.pathsep}{ROOM}", "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        said = [json.loads(line) for line in done.stdout.decode().splitlines()]
        ended = [line for line in said if "outcome" in line]
        outcomes.update(line["outcome"] for line in ended)
        faults += [line for line in ended if line["outcome"] not in ("read", "refused")]
        if done.returncode == 0:
            break
        if not said:
            raise RuntimeError(done.stderr.decode(errors="replace")[-3000:])
        last = said[-1]
        outcomes["crashed"] += 1
        error = done.stderr.decode(errors="replace")[-1500:]
        faults.append({**last, "outcome": "crashed", "reason": f"exit code {done.returncode}: {error}"})
        first = last["case"] + 1
    return outcomes, faults


if __name__ == "__main__":
    worker(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), sys.argv[5:])

"""A process that works on and on needs no more memory, and has no more files open, than at its beginning."""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOM = Path(__file__).parents[1]
SECONDS = int(os.environ.get("IFMSR_SOAK_SECONDS", "1800" if os.environ.get("IFMSR_SOAK") == "1" else "0"))
ROUNDS = 6
MEBIBYTES = 24  # what the allocator keeps or gives back differs by so much from round to round


def test_memory_and_open_handles_stay_flat(tmp_path, capsys):
    paths = os.pathsep.join([str(ROOM.parent), str(ROOM)])
    done = subprocess.run(
        [sys.executable, "-m", "faults.flat", str(SECONDS), str(ROUNDS), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    third = len(rounds) // 3  # the first third imports and fills caches
    early, late = (rounds[third : 2 * third], rounds[-third:])
    memory = [median(entry["MiB"] for entry in part) for part in (early, late)]
    handles = [max(entry["handles"] for entry in part) for part in (early, late)]
    with capsys.disabled():
        print(
            f"\n{len(rounds)} rounds: {memory[0]:.0f} -> {memory[1]:.0f} MiB, {handles[0]} -> {handles[1]} handles"
        )
    assert len(rounds) >= ROUNDS
    assert memory[1] - memory[0] < MEBIBYTES, rounds
    assert handles[1] <= handles[0], rounds

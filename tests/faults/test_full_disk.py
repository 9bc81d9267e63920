"""A disk that is really full: see `faults.full_disk`, which runs where it may mount one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[1]
NAMESPACES = (("unshare", "--map-root-user", "--mount"), ("unshare", "--mount"))
"""Ways to a process with mounts of its own: as any user, and as root where user namespaces are switched off."""


def test_full_disks_leave_old_files_and_one_clear_line(tmp_path, capsys):
    trial = tmp_path / "trial"
    trial.mkdir()
    found = None
    for way in NAMESPACES:
        try:
            subprocess.run(
                [*way, "mount", "-t", "tmpfs", "tmpfs", str(trial)], check=True, capture_output=True
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        found = way
        break
    if found is None:
        pytest.skip("no file system can be mounted here, neither in a user namespace nor as root")
    paths = os.pathsep.join([str(ROOM.parent), str(ROOM)])
    done = subprocess.run(
        [*found, sys.executable, "-m", "faults.full_disk", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with capsys.disabled():
        print("\n" + done.stdout.strip())

"""Every place where a command writes, found by watching it, under a full, a failing and a forbidding disk."""

import errno
import itertools
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from ifmsr.cli import main
from ifmsr.files import TEMPORARY

EVERY = os.environ.get("IFMSR_SOAK") == "1"  # every error at every place, instead of one at each
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
CALLS = ("open", "fsync", "replace", "mkdir", "unlink", "chmod")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Disk:
    """Counts what the process does to the files of a folder, and fails once, at the call of one number."""

    def __init__(self, folder: Path, fails_at: int = -1, error: int = 0):
        self.folder, self.fails_at, self.error = str(folder), fails_at, error
        self.sites: list[tuple[str, str]] = []
        self.names: dict[int, str] = {}

    def concerns(self, name: object) -> bool:
        return isinstance(name, str | os.PathLike) and os.fspath(name).startswith(self.folder)

    def note(self, call: str, name: str) -> None:
        self.sites.append((call, os.path.basename(name)))
        if len(self.sites) - 1 == self.fails_at:
            raise OSError(self.error, os.strerror(self.error), name)

    @contextmanager
    def watched(self) -> Iterator["Disk"]:
        whole = {call: getattr(os, call) for call in CALLS}

        def opened(path, flags, *more, **named):
            if self.concerns(path) and flags & WRITING:
                self.note("open", os.fspath(path))
            number = whole["open"](path, flags, *more, **named)
            if self.concerns(path):
                self.names[number] = os.fspath(path)
            return number

        def flushed(number):
            if number in self.names:
                self.note("fsync", self.names[number])
            return whole["fsync"](number)

        def named(call: str) -> Callable[..., object]:
            def do(path, *more, **how):
                if self.concerns(path):
                    self.note(call, os.fspath(path))
                return whole[call](path, *more, **how)

            return do

        stand_ins = {"open": opened, "fsync": flushed, **{call: named(call) for call in CALLS[2:]}}
        with pytest.MonkeyPatch.context() as patch:
            for call, stand_in in stand_ins.items():
                patch.setattr(os, call, stand_in)
            yield self


TRAINING = [
    *("train", "--data", "indian-pines", "--split", "spatial", "--preset", "quick", "--device", "cpu"),
    *(
        "--set",
        "options.features=4",
        "--set",
        "start=''",
        "--set",
        "options.stages=1",
        "--set",
        "epochs=1",
        "--set",
        "crops_per_scene=2",
    ),
    *(
        "--set",
        "batch=2",
        "--set",
        "steps=batched",
        "--set",
        "bands_per_step=2",
        "--set",
        "checkpoint_every=0",
    ),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A pair of images and a finished evaluation."""
    folder = tmp_path_factory.mktemp("inputs")
    random = np.random.default_rng(0)
    np.save(folder / "lr.npy", random.random((4, 8, 8), np.float32))
    Image.fromarray(random.integers(0, 255, (16, 16, 3), np.uint8)).save(folder / "rgb.png")
    cell = nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "n.ipynb")
    assert main([*EVALUATION, "--method", "bicubic", "--out", str(folder / "e")]) == 0
    return folder


EVALUATION = ["evaluate", "--data", "indian-pines", "--split", "spatial", "--side", "16"]
COMMANDS = {
    "evaluate": lambda inputs, out: [*EVALUATION, "--method", "bicubic", "--again", "--out", f"{out}/e"],
    "train": lambda inputs, out: [*TRAINING, "--out", f"{out}/t"],
    "super-resolve": lambda inputs, out: [
        *(
            "super-resolve",
            f"{inputs}/lr.npy",
            f"{inputs}/rgb.png",
            "--method",
            "bicubic",
            "-o",
            f"{out}/a.hdr",
        ),
    ],
    "tables": lambda inputs, out: ["tables", f"{inputs}/e", "--out", f"{out}/tables"],
    "runs": lambda inputs, out: ["runs", f"{inputs}", "--csv", f"{out}/runs.csv"],
    "view": lambda inputs, out: ["view", f"{inputs}/lr.npy", "-o", f"{out}/a.html"],
}
if EVERY:
    COMMANDS["run"] = lambda inputs, out: ["run", f"{inputs}/n.ipynb", "--out", f"{out}/n"]


def places(sites: list[tuple[str, str]]) -> list[tuple[int, tuple[str, str]]]:
    """The calls to fail: all of them, or the last of each kind of call on each file."""
    if EVERY:
        return list(enumerate(sites))
    last = {(call, re.sub(r"\d+-\w+", "", of)): number for number, (call, of) in enumerate(sites)}
    return [(number, sites[number]) for number in last.values()]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_failing_disk_leaves_old_files_and_one_clear_line(name, inputs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ifmsr"])
    out = tmp_path / "out"
    command = COMMANDS[name](inputs, out)
    assert main(command) == 0
    whole = contents(out)
    kept = tmp_path / "kept"
    shutil.copytree(out, kept)
    if name == "train":  # a finished training returns at once
        command.append("--restart")
    with Disk(out).watched() as again:
        assert main(command) == 0
    assert {call for call, _ in again.sites} >= {"open", "fsync", "replace"}
    tried = 0
    errors = itertools.cycle(ERRORS)
    for fails_at, (call, of) in places(again.sites):
        for error in ERRORS if EVERY else (next(errors),):
            shutil.rmtree(out)
            shutil.copytree(kept, out)
            capsys.readouterr()
            with Disk(out, fails_at, error).watched() as disk:
                code = main(command)
            said = capsys.readouterr().err
            where = f"{call} of {of} with {errno.errorcode[error]}: {said}"
            left = contents(out)
            assert len(disk.sites) > fails_at, where
            if code == 0 and (call in ("unlink", "mkdir") or of.endswith(".lock")):
                continue  # a left-over file is no failure; a lock is tried again
            tried += 1
            assert code == 1, where
            lines = [line for line in said.splitlines() if line.startswith("ifmsr: ")]
            assert len(lines) == 1 and "Traceback" not in said and str(out) in lines[0], where
            assert "unchanged" in lines[0] or "Nothing was changed" in lines[0] or "is written" in lines[0], (
                where
            )
            for path, content in whole.items():
                if path.name in ("checkpoint.pt", "log.csv") or path.suffix == ".json":
                    continue  # gone with the first change of a restart, or with times in it
                assert path in left, f"{path} is lost: {where}"
                if path.name != "rows.csv":  # which has times in it
                    assert left[path] == content, f"{path} is changed: {where}"
            assert not [path for path in left if TEMPORARY.fullmatch(path.name)], where
    with capsys.disabled():
        print(f"\n{name}: {len(again.sites)} places, {tried} failures injected")
    assert main(command) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_standard_output_is_one_line():
    import subprocess

    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ifmsr", "methods"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr

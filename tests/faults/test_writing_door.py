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

import numpy as np
import pytest
from faults.commands import COMMANDS, again, errors_of, make_inputs

from ifmsr.cli import main
from ifmsr.files import TEMPORARY, WriteError
from ifmsr.io import Cube, write_cube
from ifmsr.io.writing import WRITERS

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


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


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
    command = again(name, command)
    with Disk(out).watched() as whole_disk:
        assert main(command) == 0
    assert {call for call, _ in whole_disk.sites} >= {"open", "fsync", "replace"}
    tried = 0
    errors = itertools.cycle(ERRORS)
    for fails_at, (call, of) in places(whole_disk.sites):
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
            lines = errors_of(said)
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
        print(f"\n{name}: {len(whole_disk.sites)} places, {tried} failures injected")
    assert main(command) == 0


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_that_may_not_grow_to_its_end_replaces_nothing(suffix, tmp_path):
    """GDAL and HDF5 write the last of a file when it is closed, and GDAL does not report that this failed."""
    resource = pytest.importorskip("resource")
    old, new = (Cube(np.random.default_rng(seed).random((3, 64, 64), np.float32)) for seed in (0, 1))
    (tmp_path / "whole").mkdir()
    write_cube(tmp_path / "whole" / f"a{suffix}", new)
    size = max(map(len, contents(tmp_path).values()))
    if not (tmp_path / "whole" / f"a{suffix}").is_dir():  # a store, which is never replaced
        write_cube(tmp_path / f"a{suffix}", old)
    before = contents(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for short in (1, 300, 5000, 30000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - short, hard))
        try:
            with pytest.raises(WriteError, match=r"cannot be written: File too large\. (What|Nothing) was"):
                write_cube(tmp_path / f"a{suffix}", new)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert contents(tmp_path) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_standard_output_is_one_line():
    import subprocess

    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ifmsr", "methods"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr

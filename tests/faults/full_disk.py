"""Every writing command and every format on a disk that is really full: ``python -m faults.full_disk FOLDER``.

The disk is a tmpfs that this process mounts in FOLDER, so it has to be started in a mount namespace of its own
(``unshare``). Prints its counts; an assertion ends it.
"""

import contextlib
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from faults.commands import COMMANDS, again, errors_of, make_inputs, super_resolve

from ifmsr.cli import main
from ifmsr.files import TEMPORARY, WriteError
from ifmsr.io import Cube, write_cube
from ifmsr.io.blockwise import TARGETS, block_target
from ifmsr.io.writing import WRITERS

SIZE, FILES, PAGE = 16 * 2**20, 400, 4096
GOES_FIRST = ("checkpoint.pt", "log.csv")  # with the first change of a training that starts again
HAS_TIMES = ("rows.csv", ".json")


def mount(disk: Path) -> None:
    """A tmpfs of `SIZE` bytes and `FILES` files."""
    disk.mkdir()
    options = f"size={SIZE},nr_inodes={FILES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)


@contextlib.contextmanager
def full(disk: Path, room: int) -> Iterator[None]:
    """The disk with so many bytes free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(PAGE))
    os.truncate(filler, filler.stat().st_size - room)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def no_more_files(disk: Path) -> Iterator[None]:
    """The disk with room, but with as many files as it can have."""
    many = disk / "many"
    many.mkdir()
    with contextlib.suppress(OSError):
        for number in range(FILES):
            (many / str(number)).touch()
    try:
        yield
    finally:
        shutil.rmtree(many)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def said_by(command: list[str]) -> tuple[int, str]:
    """Exit code and standard error of a command."""
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        code = main(command)
    return code, said.getvalue()


def rooms(files: dict[Path, bytes]) -> list[int]:
    """Free bytes that do not suffice: none, and in whole pages half of the largest file, and almost all of it."""
    pages = max(map(len, files.values())) // PAGE
    return sorted({0, pages // 2 * PAGE, max(pages - 1, 0) * PAGE})


def check_command(disk: Path, name: str, command: list[str]) -> int:
    """The command on full disks, after it has succeeded once; how often it was tried."""
    out = disk / "out"
    code, said = said_by(command)
    assert code == 0, said
    before = contents(out)
    kept = disk.parent / "kept"
    shutil.copytree(out, kept)
    command = again(name, command)
    cases = [full(disk, room) for room in rooms(before)] + [no_more_files(disk)]
    for number, case in enumerate(cases):
        with case:
            code, said = said_by(command)
            after = contents(out)
        where = f"{name}, full disk {number}: exit code {code}: {said}"
        assert code == 1, where
        lines = errors_of(said)
        assert len(lines) == 1 and "Traceback" not in said, where
        assert "the disk is full" in lines[0] and str(disk) in lines[0], where
        for path, content in before.items():
            if path.name not in GOES_FIRST and not path.name.endswith(HAS_TIMES):
                assert after.get(path) == content, f"{path} is lost or changed: {where}"
        assert not [path for path in after if TEMPORARY.fullmatch(path.name)], where
        shutil.rmtree(out)
        shutil.copytree(kept, out)
    code, said = said_by(command)
    assert code == 0, said
    shutil.rmtree(out)
    shutil.rmtree(kept)
    return len(cases)


def check_writer(disk: Path, path: Path, write: Callable[[Path, Cube], object]) -> int:
    """A writer of cubes on full disks, over an old file; how often it was tried."""
    old, new = (Cube(np.random.default_rng(seed).random((4, 128, 128), np.float32)) for seed in (0, 1))
    write(path, old)
    before = contents(disk)
    cases = [full(disk, room) for room in rooms(before)] + [no_more_files(disk)]
    if path.is_dir():  # a store: it is never replaced, so there is nothing old
        before = clear(disk)
    for number, case in enumerate(cases):
        failed = ""
        with case:
            try:
                write(path, new)
            except WriteError as error:
                failed = str(error)
            after = {name: contents(disk)[name] for name in before}
            left = {name.name for name in contents(disk)}
        where = f"{write.__name__} of {path.name}, full disk {number}: {failed}"
        assert "the disk is full" in failed and str(disk) in failed and "\n" not in failed, where
        assert after == before, f"the old file is changed: {where}"
        assert not [name for name in left if TEMPORARY.fullmatch(name)], where
        assert before or not path.exists(), f"half a store is left: {where}"
    write(path, new)
    assert contents(disk) != before
    clear(disk)
    return len(cases)


def clear(disk: Path) -> dict[Path, bytes]:
    """Remove everything; what there is now."""
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return contents(disk)


def in_blocks(path: Path, cube: Cube) -> None:
    with block_target(path, cube) as target:
        for row in range(0, cube.values.shape[1], 32):
            rows = slice(row, row + 32)
            target[:, rows, :] = cube.values[:, rows]


def check(folder: Path) -> None:
    """Everything, in a new `folder`."""
    inputs, disk = folder / "inputs", folder / "disk"
    inputs.mkdir()
    with contextlib.redirect_stdout(io.StringIO()):
        make_inputs(inputs)
    mount(disk)
    commands = {name: make(inputs, disk / "out") for name, make in COMMANDS.items()}
    results = [disk / "out" / f"a{suffix}" for suffix in (".npy", ".tif", ".nc", ".mat", ".npz")]
    commands |= {f"super-resolve to {path.name}": super_resolve(inputs, path) for path in results}
    for name, command in commands.items():
        print(f"{name}: {check_command(disk, name, command)} full disks", flush=True)
    for write, suffixes in ((write_cube, WRITERS), (in_blocks, TARGETS)):
        tried = sum(check_writer(disk, disk / f"cube{suffix}", write) for suffix in suffixes)
        print(f"{write.__name__}: {len(suffixes)} formats, {tried} full disks", flush=True)


if __name__ == "__main__":
    check(Path(sys.argv[1]))

"""Atomic writing of files, one error for whatever prevents it, creation of folders, and SHA-256 of files."""

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ifmsr.errors import InputError, RunFailed

REASONS = {
    errno.ENOSPC: ("the disk is full", "Free some space"),
    errno.EDQUOT: ("your disk quota is used up", "Free some space"),
    errno.EIO: ("the device reports an error", "Check the disk"),
    errno.EACCES: ("permission is denied", "Change the permissions, or choose another folder"),
    errno.EPERM: ("it is not permitted", "Change the permissions, or choose another folder"),
    errno.EROFS: ("the file system is read-only", "Choose another folder"),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter one"),
}
"""Error number -> what it means, what to do."""
UNCHANGED = "What was there before is unchanged"
TEMPORARY = re.compile(r"\..+\.(\d+)-[a-z0-9_]{8}\.tmp(\.\w+)?")
"""Name of a temporary file; the group is the process that writes it."""


class WriteError(RunFailed, OSError):
    """Error for a file or folder that cannot be written although its name is usable: disk full, no permission."""


@contextmanager
def writing(path: str | Path, safe: str = UNCHANGED) -> Iterator[None]:
    """Every OSError inside becomes one WriteError that names the path, the reason and what is `safe`."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        usual = (error.strerror or str(error), "Check the disk and the folder")
        problem, fix = REASONS.get(error.errno or 0, usual)
        failed = WriteError(
            f"{path}: it cannot be written: {problem}. {safe}. {fix}, then run the command again."
        )
        failed.errno = error.errno
        raise failed from error


def make_folder(path: str | Path) -> Path:
    """Create the folder `path` and its parents if they are missing.

    Raises InputError if there can be no such folder, WriteError if the disk or the permissions prevent it.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", 0)
        if number in REASONS and number != errno.ENAMETOOLONG:
            with writing(path, "Nothing was changed"):
                raise
        raise InputError(path, f"it cannot be made a folder ({error})", "Name another one") from error
    return path


def write_atomically(path: str | Path, write: Callable[[IO[Any]], object]) -> Path:
    """Call `write(file)` on a temporary binary file in the same folder, then rename it to `path`.

    File and folder are flushed to the disk. After a failure (full disk, interrupt, exception in `write`) the old
    content of `path` is unchanged, and the exception is raised. Temporary files of `path` that killed processes have
    left are removed.

    Raises
    ------
    InputError : `path` exists and is not an ordinary file (for example a link), or there can be no such folder.
    WriteError : the disk or the permissions prevent it.
    """
    path = Path(path)
    # open to be read too: into a file for writing alone NumPy writes by itself, and does not say that a disk is full
    with replacing(path) as temporary, temporary.open("w+b") as file:
        write(file)
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name of a temporary file in the folder of `path`, which takes that name when the block ends.

    After a failure the old content of `path` is unchanged. Errors are those of `write_atomically`.
    """
    check_ordinary(path)
    make_folder(path.parent)
    with writing(path):
        start = f".{path.name[:40]}."
        sweep(path.parent, start)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f"{start}{os.getpid()}-", suffix=f".tmp{path.suffix[:10]}"
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
    flush_folder(path)


def reserve(path: Path) -> None:
    """Take the room on the disk that a file's size promises, before it is written as a memory map.

    A page of a map that finds the disk full would end the process. Raises OSError if there is not so much room.
    """
    if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def temporary_beside(path: Path) -> Path:
    """The name of a file for work under way in the folder of `path`, which `sweep` removes if the process is killed."""
    return path.with_name(f".{path.name[:40]}.{os.getpid()}-underway.tmp{path.suffix}")


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` atomically in UTF-8, whatever the locale; returns the path."""
    return write_atomically(path, lambda file: file.write(text.encode()))


def move(source: Path, target: Path) -> None:
    """Move a file to another folder of the same disk, which is created if missing; it replaces what is there."""
    check_ordinary(target)
    make_folder(target.parent)
    with writing(target):
        os.replace(source, target)
    flush_folder(target)


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    with writing(path):
        path.unlink(missing_ok=True)


def check_ordinary(path: Path) -> None:
    """Raise InputError if something lies at `path` that is no ordinary file, WriteError if that cannot be told.

    A folder, a link, which would be replaced instead of its target, a FIFO, or a device such as /dev/null.
    """
    with writing(path, "Nothing was changed"):
        other = path.is_symlink() or (path.exists() and not path.is_file())
    if other or "\0" in str(path):
        raise InputError(path, "it is no ordinary file", "Name another one")


def flush_folder(path: Path) -> None:
    """Make the disk know the new name of the file `path`, so that it survives a power failure."""
    if os.name == "nt":  # folders cannot be opened there
        return
    with writing(path.parent, f"{path.name} is written, but may be lost in a power failure"):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def sweep(folder: Path, start: str = ".") -> None:
    """Remove temporary files, of names that begin with `start`, whose process has ended."""
    import psutil

    for name in os.listdir(folder):
        found = TEMPORARY.fullmatch(name) if name.startswith(start) else None
        if found and int(found[1]) != os.getpid() and not psutil.pid_exists(int(found[1])):
            with suppress(OSError):  # another process has removed it, or it is not ours
                os.unlink(folder / name)


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Atomic writing of files, creation of folders, and SHA-256 of files."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ifmsr.errors import InputError


def make_folder(path: str | Path) -> Path:
    """Create the folder `path` and its parents if they are missing. Raises InputError if that is impossible."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise InputError(path, f"it cannot be made a folder ({error})", "Name another one") from error
    return path


def write_atomically(path: str | Path, write: Callable[[IO[Any]], object]) -> Path:
    """Call `write(file)` on a temporary binary file in the same folder, then rename it to `path`.

    After a failure (full disk, interrupt, exception in `write`) the old content of `path` is unchanged, and the
    exception is raised.

    Raises InputError if `path` exists and is not an ordinary file (for example a link), or if its folder cannot be
    created.
    """
    path = Path(path)
    # a folder, a link, which would be replaced instead of its target, or a device such as /dev/null
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError(path, "it is no ordinary file", "Name another one")
    make_folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` atomically in UTF-8, whatever the locale; returns the path."""
    return write_atomically(path, lambda file: file.write(text.encode()))


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

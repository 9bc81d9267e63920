"""Writing files so that a crash never leaves half of one, and telling them apart by content."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ifmsr.errors import InputError


def make_folder(path: str | Path) -> Path:
    """The folder `path` and those above it, made where they are missing. Raises InputError if that is impossible."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise InputError(path, f"it cannot be made a folder ({error})", "Name another one") from error
    return path


def write_atomically(path: str | Path, write: Callable[[IO[Any]], object]) -> Path:
    """Call `write(file)` on a temporary binary file beside `path`, then move it into place.

    The old content of `path` survives any failure (full disk, interrupt, exception in `write`), and the
    failure is raised.

    Raises InputError if `path` is no ordinary file (a link is none), or lies in what cannot be a folder.
    """
    path = Path(path)
    # a folder, a link whose target would stay as it is, or a device such as /dev/null, which root could replace
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
    """Write `text` atomically, in UTF-8 whatever the locale."""
    return write_atomically(path, lambda file: file.write(text.encode()))


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Folders with one owner: a second process that would write into a training or a notebook run is refused."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from ifmsr.errors import InputError
from ifmsr.extras import require
from ifmsr.files import make_folder, remove, writing

LOCK, OWNER = ".owner.lock", ".owner.json"


@contextmanager
def owned(folder: str | Path, doing: str) -> Iterator[None]:
    """Own a folder while results are written into it. The system releases the lock when the process ends, however.

    The same thread may own a folder several times.

    Parameters
    ----------
    folder : created if missing.
    doing : what the owner does there, for the message to a second process: "trains".

    Raises
    ------
    InputError : another process or thread owns the folder; the message has its process id and its start.
    """
    require("filelock")
    from filelock import FileLock, Timeout

    folder = make_folder(folder).resolve()
    lock = FileLock(folder / LOCK, timeout=0, is_singleton=True)
    with writing(folder / LOCK, "Nothing was changed"):
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(
                folder, f"{_owner(folder)} in it now", "Wait until it ends, or choose another folder"
            ) from error
    try:
        if lock.lock_counter == 1:
            about = {
                "pid": os.getpid(),
                "started": datetime.now(UTC).isoformat(timespec="seconds"),
                "does": doing,
            }
            with writing(folder / OWNER, "Nothing was changed"):
                (folder / OWNER).write_text(json.dumps(about) + "\n", encoding="utf-8")
        yield
    finally:
        if lock.lock_counter == 1:
            remove(folder / OWNER)
        lock.release()


def _owner(folder: Path) -> str:
    """Who owns the folder, as far as it has said so."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        about = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return f"process {about['pid']}, started {about['started']}, {about['does']}"
    return "another process works"

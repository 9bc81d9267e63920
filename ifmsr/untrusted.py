"""Reading files of unknown origin: one error for whatever a decoder raises, and sizes checked before allocation."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ifmsr.errors import InputError
from ifmsr.extras import require

MOST_INFLATION = 200
"""How many times larger than its file an array may be: measured images compress to a tenth, bombs to a thousandth."""
ALWAYS_ALLOWED = 64 * 2**20  # bytes; below it a file may inflate as it likes
MOST_TEXT = 64 * 2**20  # bytes of a JSON, CSV or notebook file
MOST_YAML = 2**16  # bytes of a YAML text
MOST_NODES = 100_000  # values in a YAML text, aliases counted as often as they are used
CGROUP = Path("/sys/fs/cgroup")


@contextmanager
def decoding(path: object, kind: str, fix: str = "Download or copy the file again") -> Iterator[None]:
    """Whatever a decoder raises on a missing, damaged or malicious file becomes one InputError.

    Decoders raise far more than they document (struct, zip, header, index and recursion errors), so everything but an
    interrupt counts as the file's fault.

    Parameters
    ----------
    kind : what the file should be, with its article: "an HDF5 file".
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(path, "there is no such file", "Check the path") from error
    except MemoryError as error:
        raise InputError(
            path, "it does not fit into memory", "Crop it, or use a machine with more memory"
        ) from error
    except Exception as error:
        reason = in_one_line(error)
        raise InputError(path, f"cannot be read as {kind} ({reason})", fix) from error


def in_one_line(error: Exception, longest: int = 300) -> str:
    """A library's error as part of a message: PyTorch lists a line for each weight that does not fit."""
    return " ".join(str(error).split())[:longest] or type(error).__name__


def check_bytes(where: object, what: str, wanted: int, stored: int | None = None) -> None:
    """Raise InputError, naming `where`, if so many bytes exceed the free memory or what the file can honestly hold.

    Parameters
    ----------
    what : the thing that takes the bytes, for the message: "an array of shape (8, 10, 12)".
    wanted : bytes in memory.
    stored : bytes on disk, of a compressed or sparse file; see `check_inflation`.
    """
    free = free_memory()
    if wanted > free:
        raise InputError(
            where,
            f"{what} takes {wanted / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free",
            "Crop it to the part you need, or use a machine with more memory",
        )
    if stored is not None:
        check_inflation(where, what, wanted, stored)


def check_inflation(where: object, what: str, wanted: int, stored: int) -> None:
    """Raise InputError, naming `where`, if `wanted` bytes exceed `MOST_INFLATION` times those `stored` on disk."""
    if wanted > max(ALWAYS_ALLOWED, MOST_INFLATION * stored):
        raise InputError(
            where,
            f"{what} takes {wanted / 2**20:.0f} MiB, more than {MOST_INFLATION} times the {stored} bytes on disk",
            "Do not trust this file. If it is yours, store it without compression",
        )


def free_memory() -> int:
    """Bytes that may still be used: the machine's, or what the control group (container, batch job) leaves."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # no such version of control groups, or "max": no limit
            left = int((CGROUP / limit).read_text("ascii")) - int((CGROUP / used).read_text("ascii"))
            free = min(free, max(left, 0))
    return free


def bytes_on_disk(path: Path) -> int:
    """The bytes that a file really occupies: fewer than its size if it is sparse."""
    about = path.stat()
    blocks = getattr(about, "st_blocks", None)  # not on Windows
    return about.st_size if blocks is None else min(about.st_size, max(512 * blocks, 4096))


def read_text(path: str | Path, most: int = MOST_TEXT) -> str:
    """A text file in UTF-8. Raises InputError if it is larger than `most` bytes, OSError or ValueError otherwise."""
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(path, f"a text of more than {most / 2**20:.0f} MiB", "Give the right file")
    return content.decode("utf-8-sig")


def read_json(path: str | Path, kind: str, fix: str) -> dict[str, Any]:
    """A JSON object. Raises InputError, with `kind` and `fix` as in `decoding`, for anything else."""
    with decoding(path, kind, fix):
        content = json.loads(read_text(path))
        if not isinstance(content, dict):
            raise ValueError(f"found {type(content).__name__}, not an object")
    return content


def check_types(path: object, content: dict[str, Any], kinds: dict[str, Any], fix: str) -> None:
    """Raise InputError, naming the file and the entry, unless each entry of `kinds` is there and of its type."""
    for name, kind in kinds.items():
        if name not in content:
            raise InputError(path, f"it has no {name!r}", fix)
        if not isinstance(content[name], kind):
            raise InputError(path, f"its {name!r} is {type(content[name]).__name__}", fix)


def read_yaml(where: object, text: str) -> Any:
    """The value of a YAML text, without tags that name Python objects.

    Raises InputError if it is not YAML, larger than `MOST_YAML` bytes, or has more than `MOST_NODES` values after its
    aliases are replaced by what they stand for (nine aliases of nine aliases of ... fill any memory when printed).
    """
    require("yaml")
    import yaml

    with decoding(where, "YAML", "Quote texts with special characters"):
        if len(text) > MOST_YAML:
            raise ValueError("it is too long")
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _nodes(node, {}) > MOST_NODES:
                raise ValueError("its aliases stand for too many values")
            return loader.construct_document(node)
        finally:
            loader.dispose()


def _nodes(node: Any, known: dict[int, int]) -> int:
    """How many values a node of YAML stands for; `known` are those of nodes that were counted, 0 while they are."""
    if id(node) in known:
        if not known[id(node)]:
            raise ValueError("a value holds itself")
        return known[id(node)]
    known[id(node)] = 0
    inside = node.value if isinstance(node.value, list) else []
    parts = [part for entry in inside for part in (entry if isinstance(entry, tuple) else (entry,))]
    known[id(node)] = 1 + sum(_nodes(part, known) for part in parts)
    return known[id(node)]

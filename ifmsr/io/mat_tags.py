"""A check of .mat files of version 5 before SciPy reads them.

A file is a header of 128 bytes and a sequence of elements: a tag (type, number of bytes) and the content, which for an
array is itself a sequence of elements: flags, sizes, name, numbers. SciPy looks up the type of the numbers in a table
without asking whether it is one, which ends the process where a damaged file says otherwise.

Source: MathWorks, "MAT-File Format", version 5.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

HEADER = 128
COMPRESSED, ARRAY = 15, 14
NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13}  # types of the numbers of an array
COMPLEX = 0x0800  # of an array's flags
NUMERIC = range(6, 16)  # classes of arrays: double, single and the integers
BEGINNING = 2**16  # bytes of an array, in which its sizes, its name and the tag of its numbers lie


def check_arrays(path: Path) -> None:
    """Raise ValueError if the numbers of an array are complex or of no type; a damaged file raises other errors, too.

    Files of version 4 have no such tags and pass.
    """
    with path.open("rb") as file:
        head = file.read(HEADER)
        if len(head) < HEADER or 0 in head[:4]:  # version 4 begins with a small number
            return
        order = "<" if head[126:128] == b"IM" else ">"
        while tag := file.read(8):
            kind, size = struct.unpack(order + "II", tag)
            start = file.tell()
            content = file.read(min(size, BEGINNING))
            if kind == COMPRESSED:
                inner = zlib.decompressobj().decompress(content, BEGINNING)
                kind, content = struct.unpack_from(order + "I", inner)[0], inner[8:]
            if kind == ARRAY:
                _check_array(order, content)
            file.seek(start + size)


def _check_array(order: str, content: bytes) -> None:
    elements = _elements(order, content)
    _, flags = next(elements)
    (about,) = struct.unpack_from(order + "I", flags)
    if about & 0xFF not in NUMERIC:
        return
    next(elements), next(elements)  # sizes, name
    kind, _ = next(elements)
    if kind not in NUMBERS or about & COMPLEX:
        raise ValueError(f"the numbers of an array are {'complex' if about & COMPLEX else f'of type {kind}'}")


def _elements(order: str, content: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of each element; the content may be cut off."""
    place = 0
    while place + 8 <= len(content):
        first, size = struct.unpack_from(order + "II", content, place)
        if first >> 16:  # a small element has both in one number, and its content in the other
            yield first & 0xFFFF, content[place + 4 : place + 8]
            place += 8
        else:
            yield first, content[place + 8 : place + 8 + size]
            place += 8 + -(-size // 8) * 8

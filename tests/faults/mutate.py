"""A byte mutator: one damaged version of a file per random generator."""

import re

import numpy as np

NUMBERS = (
    b"0", b"-1", b"1e999", b"nan", b"NaN", b"-inf", b"1000000000", b"99999999999999999999", b"0.5", b"4294967296",
    b"true", b"null", b'"x"', b"[]", b"{}", b"9" * 5000,
)  # fmt: skip
TOKENS = (
    b"\0", b"\xff" * 4, b"[" * 3000, b"{", b'"', b",", b"\n", b"&a [*a, *a]", b"<<: *s", b"../",
    b"!!python/object:os.system ", b"\xef\xbb\xbf", b"__import__",
)  # fmt: skip


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """`content` after one to four random changes."""
    for _ in range(random.integers(1, 5)):
        content = CHANGES[random.integers(len(CHANGES))](content, random)
    return content


def flip(content: bytes, random: np.random.Generator) -> bytes:
    data = bytearray(content)
    for place in random.integers(0, max(len(data), 1), random.integers(1, 9)) if data else ():
        data[place] ^= 1 << random.integers(8)
    return bytes(data)


def overwrite(content: bytes, random: np.random.Generator) -> bytes:
    """A little- or big-endian number of 1, 2, 4 or 8 bytes, of those that break size calculations."""
    width = int(2 ** random.integers(4))
    number = int(random.choice([0, 1, 2**7, 2**15 - 1, 2**16, 2**20, 2**30, 2**31 - 1, 2**31, 2**40, 2**62]))
    if random.random() < 0.2:
        number = -1
    order = ("little", "big")[random.integers(2)]
    put = (number % 256**width).to_bytes(width, order)
    place = int(random.integers(0, len(content) + 1))
    return content[:place] + put + content[place + width :]


def cut(content: bytes, random: np.random.Generator) -> bytes:
    return content[: random.integers(0, len(content) + 1)]


def remove(content: bytes, random: np.random.Generator) -> bytes:
    first, length = random.integers(0, len(content) + 1), random.integers(1, 65)
    return content[:first] + content[first + length :]


def repeat(content: bytes, random: np.random.Generator) -> bytes:
    first, length = random.integers(0, len(content) + 1), random.integers(1, 129)
    part = content[first : first + length]
    place = random.integers(0, len(content) + 1)
    return content[:place] + part * int(random.integers(1, 5)) + content[place:]


def insert(content: bytes, random: np.random.Generator) -> bytes:
    place = random.integers(0, len(content) + 1)
    return content[:place] + TOKENS[random.integers(len(TOKENS))] + content[place:]


def renumber(content: bytes, random: np.random.Generator) -> bytes:
    """Another number, or something that is none, where a text has a number."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content[:20000]))
    if not found:
        return flip(content, random)
    match = found[random.integers(len(found))]
    return content[: match.start()] + NUMBERS[random.integers(len(NUMBERS))] + content[match.end() :]


def swap_lines(content: bytes, random: np.random.Generator) -> bytes:
    lines = content.splitlines(keepends=True)
    if len(lines) < 2:
        return flip(content, random)
    a, b = random.integers(len(lines)), random.integers(len(lines))
    lines[a] = lines[b]
    return b"".join(lines)


CHANGES = (flip, flip, overwrite, overwrite, cut, remove, repeat, insert, renumber, renumber, swap_lines)

"""Docstrings of the package as reStructuredText: their sections become headings with definition lists.

A section is a heading underlined with hyphens. Below those of `WITH_ENTRIES` an entry is
``name : text``, whose text may go on in indented lines; everything else is text as it stands.
"""

import re
from collections.abc import Iterator

WITH_ENTRIES = ("Parameters", "Attributes", "Returns", "Raises")
ENTRY = re.compile(r"(?P<names>[\w*., ]+?) : (?P<text>.*)")
IN_CODE = re.compile(r"(``.*?``)")


def to_restructured_text(lines: list[str]) -> list[str]:
    """The lines of one docstring, without its common indentation."""
    return list(_escaped(_sections(lines)))


def _sections(lines: list[str]) -> Iterator[str]:
    section, places = "", iter(range(len(lines)))
    for place in places:
        line = lines[place]
        underline = lines[place + 1] if place + 1 < len(lines) else ""
        entry = ENTRY.fullmatch(line) if section in WITH_ENTRIES else None
        if line and set(underline) == {"-"} and len(underline) == len(line):
            section = line
            next(places)
            yield from (f".. rubric:: {section}", "")
        elif entry:
            names = ", ".join(f"``{name.strip()}``" for name in entry["names"].split(","))
            yield from (names, f"    {entry['text']}")
        else:
            yield line


def _escaped(lines: Iterator[str]) -> Iterator[str]:
    """Bars, which mean norms and absolute values here, outside of code and of literal blocks."""
    literal = None  # the indentation of the paragraph that announced a literal block
    for line in lines:
        indentation = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indentation <= literal:
            literal = None
        if literal is None:
            parts = IN_CODE.split(line)
            yield "".join(part if part.startswith("``") else part.replace("|", r"\|") for part in parts)
            literal = indentation if line.endswith("::") else None
        else:
            yield line

"""References between the chapters, and their statements about the data."""

import re

import nbformat
import pytest

from ifmsr.paths import ROOT

CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
WITHOUT_QUALITY = ("03_network", "09_performance")  # how the network is built and how fast it is


def text(path, kind="markdown"):
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == kind)


def linked(table, folder):
    """File names of the chapters that a text's table lists, one per line, in their order."""
    return re.findall(rf"^\| \[\d\d [^\]]+\]\({folder}(\d\d_\w+\.ipynb)\) \|", table, re.MULTILINE)


def test_chapter_00_lists_every_chapter():
    first, *others = CHAPTERS
    said = text(first)
    assert linked(said, "") == [path.name for path in others]
    assert "| **00 Start here** |" in said
    assert not re.search(r"\b(nine|ten|eleven|twelve|thirteen|fourteen|\d+) (notebooks|chapters)\b", said)


def test_the_book_lists_every_chapter():
    page = (ROOT / "docs" / "chapters" / "index.md").read_text(encoding="utf-8")
    assert linked(page, "../../notebooks/") == [path.name for path in CHAPTERS]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_that_measures_on_indian_pines_says_that_the_file_is_damaged(path):
    if '"indian-pines"' not in text(path, "code") or path.stem in WITHOUT_QUALITY:
        pytest.skip("no quality on Indian Pines")
    said = " ".join(text(path).split())
    assert "low-rank model" in said and "3 %" in said

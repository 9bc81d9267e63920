"""References between the chapters, and their statements about the data."""

import ast
import re
from dataclasses import fields
from itertools import pairwise

import nbformat
import pytest

from ifmsr.paths import ROOT
from ifmsr.training.config import TrainConfig

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


def cells_of(path):
    return nbformat.read(path, as_version=4).cells


def exercises(path):
    """(task, solution) of each exercise: a Markdown cell, and the folded code cell below it."""
    cells = cells_of(path)
    return [
        (cell, below)
        for cell, below in pairwise(cells)
        if cell.cell_type == "markdown" and cell.source.startswith("**Exercise ")
    ]


def import_lines(source):
    """The number of lines that import statements take."""
    code = "\n".join(line for line in source.splitlines() if not line.startswith("%"))
    statements = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
    return sum(node.end_lineno - node.lineno + 1 for node in statements)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_opens_with_its_goals_and_ends_with_a_summary(path):
    opening, *others = cells_of(path)
    title, *parts = re.split(r"\n\n+", opening.source)
    assert re.fullmatch(rf"# {int(path.stem[:2])} · .+", title)
    assert parts[0].startswith("**After this chapter you can** ")
    assert parts[1].startswith("**You need:** ")
    assert re.fullmatch(r"\*\*Minutes:\*\* about \d+ to read; \d+(\.\d)? to run on one CPU core\.", parts[2])
    headings = [line for cell in others for line in cell.source.splitlines() if line.startswith("## ")]
    assert headings[-2:] == ["## Summary", "## Exercises"]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_first_code_of_a_chapter_has_at_most_six_import_lines(path):
    parameters, first, *_ = (cell for cell in cells_of(path) if cell.cell_type == "code")
    assert "parameters" in parameters.metadata["tags"]
    assert 1 <= import_lines(first.source) <= 6
    assert max(map(len, first.source.splitlines())) <= 120


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_exercise_has_a_folded_solution_that_was_executed(path):
    found = exercises(path)
    assert len(found) >= 2
    for number, (task, solution) in enumerate(found, start=1):
        assert task.source.startswith(f"**Exercise {number}.** ")
        assert solution.cell_type == "code" and solution.source.startswith(f"# Solution {number}\n")
        assert {"hide-cell", "solution"} <= set(solution.metadata["tags"])
        assert solution.metadata["jupyter"] == {"source_hidden": True, "outputs_hidden": True}
        assert solution.execution_count and solution.outputs
        assert "assert " in solution.source or solution.outputs[-1].output_type == "execute_result"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_only_exercises_have_folded_solutions(path):
    tagged = [cell.id for cell in cells_of(path) if "solution" in cell.metadata.get("tags", [])]
    assert tagged == [solution.id for _, solution in exercises(path)]


def test_chapter_00_names_a_short_and_a_long_path():
    opening = cells_of(CHAPTERS[0])[0].source
    short, long = (re.search(rf"\* \*\*{name} minutes:\*\* .+", opening) for name in ("Ten", "Ninety"))
    assert short and "(05_table_iv.ipynb)" in short.group() + opening[short.end() : long.start()]
    assert "chapters 00 to 05" in long.group()
    stated = [int(re.search(r"about (\d+) to read", cells_of(path)[0].source).group(1)) for path in CHAPTERS]
    assert 80 <= sum(stated[:6]) <= 100


def headings(path):
    """The headings of columns and rows of a chapter's tables, without the empty ones."""
    outputs = [output for cell in cells_of(path) for output in cell.get("outputs", [])]
    tables = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    found = re.findall(r"<th\b[^>]*>(.*?)</th>", tables, re.DOTALL)
    return {text for heading in found if (text := re.sub(r"<[^>]+>", "", heading).strip())}


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_headings_of_tables_are_words(path):
    settings = {field.name for field in fields(TrainConfig)}  # which a reader types after --set
    assert {heading for heading in headings(path) if "_" in heading} - settings == set()


LABELS = ("set_xlabel", "set_ylabel", "set_title", "suptitle", "set", "plot", "legend", "annotate", "text")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_labels_of_plots_are_words(path):
    code = "\n".join(line for line in text(path, "code").splitlines() if not line.startswith("%"))
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    drawing = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in LABELS]
    said = [
        argument for call in drawing for argument in (*call.args, *(word.value for word in call.keywords))
    ]
    texts = [argument.value for argument in said if isinstance(argument, ast.Constant)]
    assert [label for label in texts if isinstance(label, str) and re.search(r"\w_\w", label)] == []

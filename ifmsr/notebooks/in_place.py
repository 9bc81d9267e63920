"""Execution of a notebook in place, for committing it with its outputs."""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from ifmsr.errors import InputError
from ifmsr.files import write_text
from ifmsr.notebooks.execution import execute
from ifmsr.notebooks.parameters import check_parameters
from ifmsr.paths import ROOT

MAX_BYTES = 1_000_000
WIDGET = "application/vnd.jupyter.widget-view+json"


def _path(folder: Path, then: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w:/.]){re.escape(str(folder))}{then}")


HERE = ROOT.resolve()
MACHINE_SPECIFIC = (
    (_path(HERE, r"/(?=[\w.])"), ""),
    (_path(HERE, r"(?![\w.-])"), "."),
    (_path(HERE.parent, r"/(?=\w)"), "../"),
    (_path(Path.home(), r"(?![\w.-])"), "~"),
    (re.compile(r"(?<![^\s(<\"'])[^\s(<\"']*/ipykernel_\d+/\d+\.py"), "<cell>"),
    (re.compile(r" at 0x[0-9a-fA-F]+"), " at 0x..."),
)


def execute_in_place(notebook: str | Path, cell_timeout: int | None = None) -> Path:
    """Execute `notebook` with its default parameters and rewrite it with its outputs.

    Parts that differ between runs or machines (times, progress bars, addresses, absolute paths) are removed, which
    keeps diffs small. The notebook is not changed if anything fails.

    Raises NotebookError as `run_notebook` does, and InputError if the result exceeds `MAX_BYTES`.
    """
    notebook = Path(notebook)
    check_parameters(notebook, {})
    copy = Path(tempfile.mkdtemp(prefix="ifmsr-")) / notebook.name
    execute(notebook, {}, copy, cell_timeout)
    text = nbformat.writes(_cleaned(nbformat.read(copy, as_version=4))) + "\n"
    if (size := len(text.encode())) > MAX_BYTES:
        raise InputError(
            notebook,
            f"executed it takes {size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.1f} MB",
            f"Show fewer or smaller pictures (the executed copy is {copy})",
        )
    write_text(notebook, text)
    shutil.rmtree(copy.parent)
    return notebook


def _cleaned(notebook: NotebookNode) -> NotebookNode:
    """The notebook without parts that differ between runs or machines."""
    for key in ("papermill", "widgets"):
        notebook.metadata.pop(key, None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            cell.outputs = [
                _portable(_still(output)) for output in cell.outputs if not _is_progress_bar(output)
            ]
    return notebook


def _is_progress_bar(output: NotebookNode) -> bool:
    """Whether an output is a widget without a picture, or was overwritten on its line."""
    data = output.get("data", {})
    return (WIDGET in data and "image/png" not in data) or "\r" in output.get("text", "")


def _still(output: NotebookNode) -> NotebookNode:
    """The output without its widget, whose state is not kept: its picture is shown instead."""
    output.get("data", {}).pop(WIDGET, None)
    return output


def _portable(value: Any) -> Any:
    """`value` without absolute paths and memory addresses in its strings."""
    match value:
        case str():
            for pattern, replacement in MACHINE_SPECIFIC:
                value = pattern.sub(replacement, value)
            return value
        case dict():
            images = {key: entry for key, entry in value.items() if key.startswith("image/")}
            return NotebookNode({key: _portable(entry) for key, entry in value.items()} | images)
        case list():
            return [_portable(entry) for entry in value]
    return value

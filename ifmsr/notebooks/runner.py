"""Execution of notebooks with parameters as finished runs.

A misspelt parameter, a failing or hanging cell, a dead kernel and an early exit are errors. No kernel keeps running
after Ctrl-C, SIGTERM or a closed terminal. A run is finished if it has a `manifest.json`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ifmsr.files import sha256
from ifmsr.notebooks.execution import execute
from ifmsr.notebooks.parameters import check_parameters, check_stems
from ifmsr.ownership import owned
from ifmsr.runs import Run


def run_notebook(
    notebook: str | Path,
    parameters: Mapping[str, Any] | None,
    out_folder: str | Path,
    cell_timeout: int | None = None,
) -> Path:
    """Execute `notebook` with `parameters` and store the executed copy as a finished run.

    Parameters
    ----------
    notebook : the .ipynb file; it is not changed.
    parameters : new values for names in its cell tagged `parameters`; None: its defaults.
    out_folder : gets `<stem>/<stem>.ipynb` and, last, `<stem>/manifest.json`.
    cell_timeout : time limit per cell in seconds; None: no limit.

    Returns
    -------
    The path of the executed notebook.

    Raises
    ------
    InputError : there is no such notebook, or a parameter is unknown or has another type.
    NotebookError : a cell raised an exception, exceeded the time limit, ended the kernel or exited early.
    """
    notebook = Path(notebook)
    values = check_parameters(notebook, parameters or {})
    seeds = values.get("seeds", values.get("seed", []))
    run = Run(
        Path(out_folder) / notebook.stem,
        config={"notebook": notebook.absolute(), "parameters": values},
        seeds=seeds if isinstance(seeds, list | tuple) else [seeds],
        data={notebook.absolute(): sha256(notebook)},
    )
    with owned(run.folder, "executes a notebook"), run:
        copy = run.record(notebook.name)
        execute(notebook, parameters or {}, copy, cell_timeout)
    return copy


def run_all(
    notebooks: Iterable[str | Path],
    profile: Mapping[str, Mapping[str, Any]],
    out_folder: str | Path,
    cell_timeout: int | None = None,
) -> list[Path]:
    """Execute notebooks in the order of their names, each with `profile[stem]`; the first failure ends the run.

    All parameters are checked before the first notebook runs. `out_folder` gets a manifest after the last one. Returns
    the paths of the executed notebooks. Raises the errors of `run_notebook`.
    """
    ordered = sorted(map(Path, notebooks), key=lambda path: path.name)
    check_stems("profile", profile, ordered)
    for notebook in ordered:
        check_parameters(notebook, profile.get(notebook.stem, {}))
    config = {path.stem: profile.get(path.stem, {}) for path in ordered}
    with owned(out_folder, "executes notebooks"), Run(out_folder, config) as run:
        run.unfinish()
        return [run_notebook(path, profile.get(path.stem), out_folder, cell_timeout) for path in ordered]

"""Running notebooks strictly: papermill underneath, without its leniency.

A misspelt parameter, a failing or hanging cell, a dead kernel and an early exit are all errors; Ctrl-C,
SIGTERM and a closed terminal leave no kernel behind; a run counts only if its `manifest.json` is there.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ifmsr.files import sha256
from ifmsr.notebooks.execution import execute
from ifmsr.notebooks.parameters import check_parameters, check_stems
from ifmsr.runs import Run


def run_notebook(
    notebook: str | Path,
    parameters: Mapping[str, Any] | None,
    out_folder: str | Path,
    cell_timeout: int | None = None,
) -> Path:
    """Run `notebook` with `parameters` in place of its own and keep the executed copy as a finished run.

    Parameters
    ----------
    notebook : the .ipynb file; it is not changed.
    parameters : new values for names in its cell tagged `parameters`.
    out_folder : gets `<stem>/<stem>.ipynb` and, last, `<stem>/manifest.json`.
    cell_timeout : seconds that one cell may take; None for no limit.

    Returns
    -------
    The executed notebook's path.

    Raises
    ------
    InputError : no such notebook, or a parameter that it does not have or of another type.
    NotebookError : a cell raised an exception, took too long, ended the kernel or left early.
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
    with run:
        copy = run.record(notebook.name)
        execute(notebook, parameters or {}, copy, cell_timeout)
    return copy


def run_all(
    notebooks: Iterable[str | Path],
    profile: Mapping[str, Mapping[str, Any]],
    out_folder: str | Path,
    cell_timeout: int | None = None,
) -> list[Path]:
    """Run notebooks in the order of their names, each with `profile[stem]`, and stop at the first failure.

    Every parameter of every notebook is checked before the first one runs, and `out_folder` gets a manifest of
    its own after the last one. Raises what `run_notebook` raises.
    """
    ordered = sorted(map(Path, notebooks), key=lambda path: path.name)
    check_stems("profile", profile, ordered)
    for notebook in ordered:
        check_parameters(notebook, profile.get(notebook.stem, {}))
    with Run(out_folder, config={path.stem: profile.get(path.stem, {}) for path in ordered}) as run:
        run.unfinish()
        return [run_notebook(path, profile.get(path.stem), out_folder, cell_timeout) for path in ordered]

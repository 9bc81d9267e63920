"""New notebooks from the package's template of an experiment."""

import re
from pathlib import Path

import nbformat

from ifmsr.errors import InputError
from ifmsr.files import write_text

TEMPLATE = Path(__file__).with_name("experiment.ipynb")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
IN_TEMPLATE = {"# An experiment": "# {name}", "results/smoke/experiment": "results/{name}"}
"""What of the template is replaced by the new experiment's name."""


def new_experiment(name: str) -> Path:
    """Write ``<name>.ipynb``, an ablation study that trains for seconds, ready to be changed, into the current folder.

    Parameters
    ----------
    name : the notebook's title and file, and the folder below ``results`` for what it trains: letters, digits, hyphens
        and underscores.

    Returns
    -------
    The notebook's path.

    Raises
    ------
    InputError : the name cannot be a file's, or there is such a file already.
    """
    if not NAME.fullmatch(name):
        problem = f"{name[:60]!r} cannot name a notebook and a folder"
        raise InputError("name", problem, "Use letters, digits, hyphens and underscores, at most 60")
    path = Path(f"{name}.ipynb")
    if path.exists():
        raise InputError(path, "there is such a file already", "Choose another name, or delete it")
    notebook = nbformat.read(TEMPLATE, as_version=4)
    for cell in notebook.cells:
        for old, new in IN_TEMPLATE.items():
            cell.source = cell.source.replace(old, new.format(name=name))
    return write_text(path, nbformat.writes(notebook) + "\n")

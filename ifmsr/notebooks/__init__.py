"""Execution of notebooks with parameters (papermill), in which all failures are errors."""

from ifmsr.extras import require

require("filelock", "ipykernel", "jupyter_client", "nbclient", "nbformat", "papermill", "traitlets", "yaml")

from ifmsr.notebooks.execution import NotebookError
from ifmsr.notebooks.in_place import execute_in_place
from ifmsr.notebooks.new import new_experiment
from ifmsr.notebooks.parameters import check_parameters, read_profile
from ifmsr.notebooks.runner import run_all, run_notebook

__all__ = [
    "NotebookError",
    "check_parameters",
    "execute_in_place",
    "new_experiment",
    "read_profile",
    "run_all",
    "run_notebook",
]

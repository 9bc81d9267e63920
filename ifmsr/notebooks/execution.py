"""Execution of one notebook by papermill: all failures raise NotebookError, and no kernel keeps running."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import nbformat
import papermill
import psutil
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError
from papermill.exceptions import PapermillExecutionError
from traitlets import default

from ifmsr.errors import RunFailed
from ifmsr.files import temporary_beside, write_atomically, writing


class NotebookError(RunFailed):
    """Error for a notebook that did not finish.

    Attributes
    ----------
    notebook : the source notebook.
    cell : the number of the failed code cell, counted from 1; 0 if no cell was reached.
    ename, evalue : name and message of the exception.
    copy : the partly executed notebook with its outputs.
    """

    def __init__(self, notebook: Path, cell: int, source: str, ename: str, evalue: str, copy: Path):
        line = next((line for line in source.splitlines() if line.strip()), "")
        where = f"code cell {cell} ({line.strip()})" if cell else "before the first cell"
        super().__init__(f"{notebook}: {where}: {ename}: {evalue}. The outputs until there are in {copy}.")
        self.notebook, self.cell, self.ename, self.evalue, self.copy = notebook, cell, ename, evalue, copy


def execute(notebook: Path, parameters: Mapping[str, Any], copy: Path, cell_timeout: int | None) -> None:
    """Execute `notebook` in its own folder, as nbval does, and write the result to `copy`. Raises NotebookError.

    papermill writes after each cell, into a hidden file beside `copy`, which is replaced once, also after a failure.
    """
    underway = temporary_beside(copy)
    with writing(copy):
        try:
            _execute(notebook, parameters, underway, copy, cell_timeout)
        finally:
            if underway.exists():
                write_atomically(copy, lambda file: file.write(underway.read_bytes()))
                underway.unlink()


def _execute(
    notebook: Path, parameters: Mapping[str, Any], underway: Path, copy: Path, cell_timeout: int | None
) -> None:
    """`execute`, with papermill's file `underway`; errors name `copy`."""
    try:
        with _signals_raise(), _no_kernel_left():
            executed = papermill.execute_notebook(
                _no_template(notebook),
                _no_template(underway),
                dict(parameters),
                kernel_name="python3",
                language="python",
                progress_bar=sys.stderr.isatty() and "CI" not in os.environ,
                cwd=str(notebook.absolute().parent),
                execution_timeout=cell_timeout,
                kernel_manager_class=_Kernel,
                record_timing=False,
                store_widget_state=False,  # else a converted notebook shows the widget, not its picture
            )
    except PapermillExecutionError as error:
        raise _failure(notebook, underway, copy, error.ename, error.evalue) from error
    except CellTimeoutError as error:
        raise _failure(
            notebook, underway, copy, "TimeoutError", f"not done after {cell_timeout} s"
        ) from error
    except RuntimeError as error:  # a kernel that died or did not start
        raise _failure(notebook, underway, copy, type(error).__name__, str(error)) from error
    if executed.metadata.papermill.exception:  # papermill takes sys.exit() for success
        raise _failure(notebook, underway, copy, "SystemExit", "the notebook left before its end")


def _no_template(path: Path) -> str:
    """The absolute path with escaped braces, because papermill treats paths as templates."""
    return str(path.absolute()).replace("{", "{{").replace("}", "}}")


def _failure(notebook: Path, underway: Path, copy: Path, ename: str, evalue: str) -> NotebookError:
    """The error for the last cell that was started; papermill's `status` of a cell is not reliable."""
    cells = nbformat.read(underway, as_version=4).cells
    started = [
        cell
        for cell in cells
        if cell.cell_type == "code"
        and "injected-parameters" not in cell.metadata.get("tags", [])
        and cell.metadata.get("papermill", {}).get("start_time")
    ]
    return NotebookError(notebook, len(started), started[-1].source if started else "", ename, evalue, copy)


class _ThisPython(KernelSpecManager):
    """Kernel specification of the running interpreter, whatever the kernel named python3 on this machine is."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(**get_kernel_dict(extra_arguments=["--log-level=ERROR"]))


class _Kernel(AsyncKernelManager):
    @default("kernel_spec_manager")
    def _this_python(self) -> KernelSpecManager:
        return _ThisPython()


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into an exception, so that clean-up runs; ignore later ones."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ignored = (signal.SIG_IGN, None)  # by nohup, for instance
    old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    old = {number: handler for number, handler in old.items() if handler not in ignored}

    def stop(number: int, frame: FrameType | None) -> None:
        for handled in old:
            signal.signal(handled, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    for number in old:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def _no_kernel_left() -> Iterator[None]:
    """Kill all kernels that were started inside and still run, with their child processes."""
    before = set(psutil.Process().children())
    try:
        yield
    finally:
        for kernel in set(psutil.Process().children()) - before:
            with suppress(psutil.NoSuchProcess):
                if "ipykernel_launcher" in kernel.cmdline():
                    family = [*kernel.children(recursive=True), kernel]
                    for process in family:
                        process.kill()
                    psutil.wait_procs(family, timeout=10)

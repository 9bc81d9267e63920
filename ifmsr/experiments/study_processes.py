"""A whole study: its rows in processes of their own, several at once, and a table of all."""

import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import sleep
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from ifmsr.errors import InputError, whole
from ifmsr.experiments.study_rows import StudyRow
from ifmsr.experiments.study_runs import RowRun, run_of
from ifmsr.files import make_folder, write_text, writing
from ifmsr.runs import read_manifest
from ifmsr.study.names import DIGITS
from ifmsr.study.rows import TEXT
from ifmsr.untrusted import decoding

LOG, TABLE = "run.log", "table.csv"
POLL = 0.2  # seconds between two looks at the running processes


def run_study(
    path: str | Path,
    rows: Sequence[StudyRow],
    out: str | Path,
    workers: int = 1,
    device: str | None = None,
) -> pd.DataFrame:
    """Run the rows of a study that are not finished, several at once, and write ``table.csv`` with all of them.

    Each row runs in a process of its own (`ifmsr study --row`), whose output is in ``run.log`` of the row's folder. A
    row that fails, or whose process dies, does not stop the others. An interrupt ends the processes; trainings write a
    checkpoint first.

    Parameters
    ----------
    path : the file of the study, from which `rows` were read.
    workers : number of processes at a time. Unless `OMP_NUM_THREADS` is set, they share the CPUs evenly.

    Returns
    -------
    The table: name, columns and state of each row ("finished" or "failed"), means of the metrics and of the seconds
    over its scenes, their number, its folder, and why it failed.
    """
    whole("workers", workers, least=1)
    make_folder(out)
    runs = [run_of(row, out) for row in rows]
    errors = {run.row.name: run.error for run in runs if run.error}
    for name, error in errors.items():
        warnings.warn(f"{name}: {error}", stacklevel=2)
    waiting = [run for run in runs if run.state == "missing"]
    errors |= _run_all(waiting, path, out, workers, device)
    table = pd.DataFrame([_line(run, errors.get(run.row.name, "")) for run in runs])
    write_text(Path(out) / TABLE, table.to_csv(index=False, float_format="%.6g"))
    return table


def _run_all(
    runs: Sequence[RowRun], path: str | Path, out: str | Path, workers: int, device: str | None
) -> dict[str, str]:
    """Run rows in processes, `workers` at a time; the names of those that failed, with the reason."""
    command = [sys.executable, "-m", "ifmsr", "study", str(path), "--out", str(out)]
    command += ["--device", device] if device else []
    share = max((os.cpu_count() or 1) // workers, 1)
    environment = {"OMP_NUM_THREADS": str(share), **os.environ}
    errors: dict[str, str] = {}
    waiting, running = list(runs), list[_Process]()
    with tqdm(total=len(runs), desc="rows", mininterval=2) as bar, _ended_at_last(running):
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_Process(waiting.pop(0), command, environment))
            sleep(POLL)
            for process in [process for process in running if process.ended]:
                running.remove(process)
                bar.update()
                if not process.run.finished:
                    name, reason = process.run.row.name, process.reason()
                    errors[name] = reason
                    warnings.warn(f"{name}: {reason}", stacklevel=3)
    return errors


class _Process:
    """The process of one row, in a session of its own: Ctrl-C reaches it through this process only."""

    def __init__(self, run: RowRun, command: list[str], environment: dict[str, str]):
        self.run, self.log = run, make_folder(_folder(run)) / LOG
        with writing(self.log), self.log.open("ab") as said:
            self.begin = said.tell()
            self.process = subprocess.Popen(
                [*command, "--row", run.row.name],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=environment,
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def reason(self) -> str:
        """Why it failed: its last message, or how it ended."""
        said = self.log.read_bytes()[self.begin :].decode("utf-8", "replace").splitlines()
        messages = [line for line in said if line.startswith("ifmsr: ") and "ifmsr: warning:" not in line]
        if messages:
            return messages[-1].removeprefix("ifmsr: ")
        code = self.process.returncode
        if code < 0:
            return f"its process was ended by signal {-code}"
        return next(
            (line.strip() for line in reversed(said) if line.strip()), f"it ended with exit code {code}"
        )


@contextmanager
def _ended_at_last(running: Sequence[_Process]) -> Iterator[None]:
    """End the running processes on leaving; SIGTERM leaves as an interrupt does."""

    def stop(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
        for part in running:
            part.process.terminate()
        for part in running:
            part.process.wait()


def _folder(run: RowRun) -> Path:
    assert run.folder is not None  # rows without a folder are not run
    return run.folder


def _line(run: RowRun, error: str) -> dict[str, Any]:
    """A row's line of the table."""
    line = {"row": run.row.name, **asdict(run.row), "state": "finished"}
    try:
        means = _means(_folder(run)) if run.finished else {}
    except InputError as damaged:
        means, error = {}, str(damaged)
    if not means:
        line["state"] = "failed"
    numbers = dict.fromkeys((*DIGITS, "seconds", "scenes")) | means
    return line | numbers | {"folder": str(run.folder or ""), "error": error}


def _means(folder: Path) -> dict[str, float]:
    """Means over the scenes of a finished row. Raises InputError if its files were changed."""
    read_manifest(folder)
    with decoding(folder / "rows.csv", "a table of rows"):
        rows = pd.read_csv(folder / "rows.csv", dtype=TEXT)
        return {name: rows[name].mean() for name in (*DIGITS, "seconds")} | {"scenes": len(rows)}

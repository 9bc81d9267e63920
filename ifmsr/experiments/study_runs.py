"""The runs of a study (`ifmsr.experiments.study_rows`): one folder per row, and a table of all.

The name of a row's folder ends in a hash of what decides its result: the task with its scenes, the code of data set and
degradation, and the method's settings, weights and code (`ifmsr.study.made_by`), or those of its training. So a row is
run again when one of these changes, and the runs of other rows stay.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import sleep
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from ifmsr.errors import InputError, whole
from ifmsr.experiments.study_rows import StudyRow
from ifmsr.files import make_folder, write_text, writing
from ifmsr.inference.api import load_method
from ifmsr.inference.learned import Learned
from ifmsr.methods.registry import VARIANTS
from ifmsr.ownership import owned
from ifmsr.runs import MANIFEST, read_manifest
from ifmsr.scenes import open_dataset
from ifmsr.study.evaluation import evaluate
from ifmsr.study.made_by import NEUTRAL, OURS, code_of, digest, made_by
from ifmsr.study.names import DIGITS
from ifmsr.study.rows import TEXT
from ifmsr.training import build_network, train_in_stages
from ifmsr.training.state import start_digest
from ifmsr.untrusted import decoding

ABOUT, LOG, TABLE = "row.json", "run.log", "table.csv"
POLL = 0.2  # seconds between two looks at the running processes
TRAINING_COUNTS = tuple(room for room in NEUTRAL if room != "ifmsr.training")
SCENES_COUNT = (*(room for room in NEUTRAL if room != "ifmsr.scenes"), "ifmsr.io")
"""What does not affect a trained row, and a data set's scenes, as `NEUTRAL` does not affect a method's result."""


@dataclass(frozen=True)
class RowRun:
    """A row of a study and its folder.

    Attributes
    ----------
    row : the row.
    folder : of its run; None if it cannot be run here.
    about : what the hash in the folder's name covers.
    error : why it cannot be run here, for example because its data are missing; "" if it can.
    """

    row: StudyRow
    folder: Path | None
    about: dict[str, Any]
    error: str = ""

    @property
    def finished(self) -> bool:
        """Whether its run is finished."""
        return self.folder is not None and (self.folder / MANIFEST).exists()

    @property
    def state(self) -> str:
        """One of "finished", "missing" and "unavailable"."""
        if self.folder is None:
            return "unavailable"
        return "finished" if self.finished else "missing"


def run_of(row: StudyRow, out: str | Path) -> RowRun:
    """A row with its folder in `out`."""
    try:
        about = decided_by(row)
    except InputError as error:
        return RowRun(row, None, {}, str(error))
    return RowRun(row, Path(out) / f"{row.name}-{digest(about)}", about)


def decided_by(row: StudyRow) -> dict[str, Any]:
    """Everything that decides a row's result, in JSON types.

    Raises InputError if its data, split or weights are not available.
    """
    data = open_dataset(row.data)
    split = data.split(row.split)
    about: dict[str, Any] = {
        "task": asdict(replace(row.task(), scenes=split.test)),
        "data": _code(type(data), SCENES_COUNT),
        "degradation": code_of(["ifmsr.degradation.protocol"]),
        "method": row.method,
    }
    if not row.preset:
        return about | {"made_by": made_by(load_method(row.method, row.scale, device="cpu"))}
    variant = VARIANTS[row.method][1] if row.method in VARIANTS else ""
    net = build_network(row.stages()[-1], data.bands)
    untrained = net.as_method(Learned(net, "", "", "cpu"), variant, "cpu", "float32")
    return about | {
        "made_by": made_by(untrained),
        "train": split.train,
        "validation": split.validation,
        "stages": [config.identity() | {"start": start_digest(config)} for config in row.stages()],
        "training": f"{code_of(['ifmsr.training.loop'], neutral=TRAINING_COUNTS)}-{_code(type(net), TRAINING_COUNTS)}",
    }


def _code(kind: type, neutral: Sequence[str]) -> str:
    """Hash of the source code of a class, of this or another package."""
    return code_of([kind.__module__], {kind.__module__.partition(".")[0], *OURS}, neutral)


def run_row(row: StudyRow, out: str | Path, device: str | None = None) -> Path:
    """Train, if the row has a preset, and evaluate; return the row's folder, which then has a manifest.

    A finished row is left as it is, an interrupted one resumes.

    Raises
    ------
    InputError : data, split or weights are not available, another process runs the row, or the errors of training and
        evaluation.
    """
    this = run_of(row, out)
    if this.folder is None:
        raise InputError(row.name, "it cannot be run here", this.error.rstrip("."))
    if this.finished:
        return this.folder
    with owned(this.folder, "runs this row"):
        write_text(this.folder / ABOUT, json.dumps(this.about, indent=2) + "\n")
        weights = None
        if row.preset:
            training = this.folder / "training"
            weights = train_in_stages(row.stages(), row.data, row.split, training, device=device)
        evaluate(row.task(), {row.method: load_method(row.method, row.scale, weights, device)}, this.folder)
    return this.folder


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

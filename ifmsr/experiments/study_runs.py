"""The run of a study's row (`ifmsr.experiments.study_rows`), in a folder of its own.

The name of a row's folder ends in a hash of what decides its result: the task with its scenes, the code of data set and
degradation, and the method's settings, weights and code (`ifmsr.study.made_by`), or those of its training. So a row is
run again when one of these changes, and the runs of other rows stay.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ifmsr.errors import InputError
from ifmsr.experiments.study_rows import StudyRow
from ifmsr.files import write_text
from ifmsr.inference.api import load_method
from ifmsr.inference.learned import Learned
from ifmsr.methods.registry import VARIANTS
from ifmsr.ownership import owned
from ifmsr.runs import MANIFEST
from ifmsr.scenes import open_dataset
from ifmsr.study.evaluation import evaluate
from ifmsr.study.made_by import NEUTRAL, OURS, code_of, digest, made_by
from ifmsr.training import build_network, train_in_stages
from ifmsr.training.state import start_digest

ABOUT = "row.json"
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

"""A study as a table: a CSV file with one result per line, given by data, scale, method, split, seed and preset."""

import csv
import re
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path

from ifmsr.errors import InputError, check_choice, did_you_mean, whole
from ifmsr.fields import check_fields
from ifmsr.methods.registry import method_names, network_of
from ifmsr.scenes.datasets import dataset_type
from ifmsr.study.evaluation import Task
from ifmsr.training import TrainConfig, preset, preset_names, stages, with_settings
from ifmsr.training.config import LARGEST_SEED
from ifmsr.untrusted import decoding, read_text

SPLIT = re.compile(r"\w[\w.-]*")  # a split's name becomes part of a folder's name


@dataclass(frozen=True)
class StudyRow:
    """One row of a study: a method, measured on the test scenes of a data set's split.

    Attributes
    ----------
    data, split : a data set's name and one of its splits.
    scale : magnification.
    method : one of `ifmsr.methods.method_names`.
    seed : random seed of the degradation, and of the training if there is one.
    preset : the training configuration (`ifmsr.training.preset_names`) of the method's network, which is then trained
        on the split's training scenes first. "": shipped weights, or a method that needs no training.

    Raises
    ------
    InputError : a value is unknown, has the wrong type or does not fit the others; it names the attribute.
    """

    data: str
    scale: int
    method: str
    split: str
    seed: int = 0
    preset: str = ""

    def __post_init__(self) -> None:
        check_fields(self)
        dataset_type(self.data)
        check_choice("method", self.method, method_names())
        if not SPLIT.fullmatch(self.split):
            raise InputError("split", f"{self.split!r} is no name", "Give a split of the data set")
        whole("scale", self.scale, least=1)
        whole("seed", self.seed, 0, LARGEST_SEED)
        if self.preset:
            self._check_preset()

    def _check_preset(self) -> None:
        check_choice("preset", self.preset, preset_names())
        network = network_of(self.method)
        if network is None:
            raise InputError("preset", f"{self.method} needs no training", "Leave it empty")
        if preset(self.preset).network != network:
            fitting = [name for name in preset_names() if preset(name).network == network]
            raise InputError(
                "preset",
                f"{self.preset} does not train {network}",
                f"Leave it empty or choose one of {', '.join(fitting)}",
            )
        self.stages()

    @property
    def name(self) -> str:
        """The row's name: its values, joined."""
        preset = f"-{self.preset}" if self.preset else ""
        return f"{self.data}-x{self.scale}-{self.method}-{self.split}-s{self.seed}{preset}"

    def task(self) -> Task:
        """The evaluation's task, under the paper's test degradation."""
        return Task(self.data, self.split, self.scale, seeds=(self.seed,))

    def stages(self) -> tuple[TrainConfig, ...]:
        """The configurations to train one after the other; none without a `preset`."""
        changes = {"scale": self.scale, "seed": self.seed}
        return tuple(with_settings(config, changes) for config in stages(self.preset)) if self.preset else ()


COLUMNS = tuple(entry.name for entry in fields(StudyRow))


def read_study(path: str | Path) -> list[StudyRow]:
    """The rows of a study from a CSV file with the columns `COLUMNS`, in any order.

    Raises
    ------
    InputError : the file cannot be read, or a column or a value is missing, unknown, or of the wrong type, or a row
        occurs twice; it names the file and the line.
    """
    with decoding(path, "the table of a study"):
        reader = csv.reader(StringIO(read_text(path)), strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    if len(lines) < 2:
        raise InputError(path, "it has no rows", f"Give the columns {', '.join(COLUMNS)}, and a line per row")
    (number, head), *body = lines
    _check_head(f"{path}, line {number}", head)
    first: dict[StudyRow, int] = {}
    for number, cells in body:
        where = f"{path}, line {number}"
        if len(cells) != len(head):
            raise InputError(where, f"it has {len(cells)} values", f"Give {len(head)}, one per column")
        row = _row(where, dict(zip(head, cells, strict=True)))
        if row in first:
            raise InputError(where, f"the row of line {first[row]} again", "Give each row once")
        first[row] = number
    return list(first)


def _check_head(where: str, head: list[str]) -> None:
    for name in head:
        if name not in COLUMNS:
            fix = f"{did_you_mean(name, COLUMNS)}The columns are {', '.join(COLUMNS)}"
            raise InputError(where, f"there is no column {name!r}", fix)
    for name in COLUMNS:
        if head.count(name) != 1:
            problem = f"the column {name} is {'missing' if name not in head else 'there twice'}"
            raise InputError(where, problem, f"Give the columns {', '.join(COLUMNS)}, each once")


def _row(where: str, values: dict[str, str]) -> StudyRow:
    """A row from its texts. Raises InputError, naming the line and the column."""
    numbers = {name: int(text) for name, text in values.items() if re.fullmatch(r"[0-9]{1,20}", text)}
    read = {
        name: numbers.get(name, text) if name in ("scale", "seed") else text for name, text in values.items()
    }
    try:
        return StudyRow(**read)  # type: ignore[arg-type]  # the row checks its types
    except InputError as error:
        raise InputError(f"{where}, {error.where}", error.problem, error.fix) from error


def chosen(rows: list[StudyRow], name: str) -> StudyRow:
    """The row of this name. Raises InputError if there is none."""
    names = [row.name for row in rows]
    if name not in names:
        raise InputError("row", f"there is no {name!r}", f"{did_you_mean(name, names)}List them: --list")
    return rows[names.index(name)]

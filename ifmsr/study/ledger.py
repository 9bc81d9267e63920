"""The rows of one results folder, kept so that neither a killed process nor a second one loses any.

``rows.csv`` holds whole methods only and changes when one is complete; ``partial/rows.csv`` holds the rows of methods
that are still being measured, one more after each measurement. Whoever reads a table sees ``rows.csv``. Every change
happens under a lock on the folder, after reading again what is there.
"""

import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from ifmsr.errors import InputError
from ifmsr.files import make_folder, write_text
from ifmsr.runs import MANIFEST, read_manifest
from ifmsr.study.made_by import UNKNOWN
from ifmsr.study.names import DIGITS
from ifmsr.study.rows import TEXT

Row = dict[str, Any]
Rows = dict[tuple[Any, ...], Row]
PARTIAL = "partial"
NUMBERS = dict.fromkeys((*DIGITS, "seconds"), float)  # exact to the last bit, unlike the default of pandas 2


class Ledger:
    """The rows of one folder, by their key.

    Parameters
    ----------
    folder : made if missing; InputError if that is impossible.
    key : the columns that tell rows apart; `method` and `made_by` are among a row's columns.
    columns : of the files, in order.
    float_format : of the files, see `pandas.DataFrame.to_csv`.

    Attributes
    ----------
    lock : to be held while files of the folder change. A process that dies releases it.
    """

    def __init__(
        self,
        folder: Path,
        key: Sequence[str],
        columns: Sequence[str],
        float_format: str | None = None,
    ):
        self.folder, self.key, self.columns, self.float_format = folder, key, columns, float_format
        make_folder(folder)
        self.lock = FileLock(folder / ".lock")

    @property
    def partial(self) -> Path:
        """The folder of what belongs to methods that are not complete."""
        return self.folder / PARTIAL

    def finished(self) -> Rows:
        """The rows of complete methods. Raises InputError if the file was changed after its run had finished."""
        path = self.folder / "rows.csv"
        with self.lock:
            if path.exists() and (self.folder / MANIFEST).exists():
                read_manifest(self.folder)
            return self._read(path)

    def unfinished(self) -> Rows:
        """The rows of methods that are not complete."""
        return self._read(self.partial / "rows.csv")

    def kept(self, method: str, maker: str, count: int, again: bool, fault: Callable[[Row], str]) -> Rows:
        """The rows of a method that need not be measured again; a warning says why others of it must be.

        Parameters
        ----------
        maker : what makes the method's rows now, see `ifmsr.study.made_by`; only such rows are kept. A complete
            method whose rows do not say what made them (`made_by` is empty) is kept as well, with a warning.
        count : how many rows a complete method has.
        again : measure the method again although it is complete; rows of an interrupted call are kept.
        fault : what else is wrong with a finished row; "" for nothing.
        """
        if maker.endswith(UNKNOWN):
            return {}
        under_way = _only(self.unfinished(), lambda row: row["method"] == method and row["made_by"] == maker)
        if again:
            return under_way
        finished = _only(self.finished(), lambda row: row["method"] == method)
        faults = {key: _change(row["made_by"], maker) or fault(row) for key, row in finished.items()}
        good = {key: row for key, row in finished.items() if not faults[key]}
        rows = _only(good, lambda row: row["made_by"] == maker) | under_way
        silent = _only(good, lambda row: row["made_by"] == "")
        if len(silent) == count and not under_way:
            self._warn(
                f"the rows of {method} do not say what made them; they are kept. To measure them again, say so: "
                "--again, or again=True"
            )
            return silent
        if reasons := sorted(set(faults.values()) - {""}):
            self._warn(f"{method} is measured again: {', '.join(reasons)}")
        return rows

    def _warn(self, text: str) -> None:
        warnings.warn(f"{self.folder}: {text}", stacklevel=5)

    def add(self, row: Row) -> None:
        """Keep one more row of a method that is not complete, in place of one with the same key."""
        with self.lock:
            rows = self.unfinished() | {self._key(row): row}
            self._write_unfinished(rows)

    def complete(self, methods: Iterable[str]) -> None:
        """Forget what is partial of these methods: it is in ``rows.csv`` now. Hold the lock."""
        done = set(methods)
        rows = _only(self.unfinished(), lambda row: row["method"] not in done)
        if rows:
            self._write_unfinished(rows)
        else:
            shutil.rmtree(self.partial, ignore_errors=True)

    def csv(self, rows: pd.DataFrame) -> str:
        """Rows as the files hold them."""
        return rows.to_csv(index=False, columns=list(self.columns), float_format=self.float_format)

    def _write_unfinished(self, rows: Rows) -> None:
        write_text(self.partial / "rows.csv", self.csv(pd.DataFrame(list(rows.values()))))

    def _read(self, path: Path) -> Rows:
        if not path.exists():
            return {}
        try:
            table = pd.read_csv(path, keep_default_na=False, dtype=TEXT, converters=NUMBERS)
            table["made_by"] = table.get("made_by", "")
            rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
            return {self._key(row): row for row in rows}
        except (ValueError, KeyError) as error:
            raise InputError(path, f"not a table of rows ({error!r})", "Restore or delete it") from error

    def _key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.key)


def _only(rows: Rows, wanted: Callable[[Row], bool]) -> Rows:
    return {key: row for key, row in rows.items() if wanted(row)}


def _change(made: str, maker: str) -> str:
    """What has changed in a method since it made a row; "" for nothing, or if the row does not say."""
    if made in ("", maker):
        return ""
    if made.partition("-")[0] == maker.partition("-")[0]:
        return "its code has changed"
    return "its settings or its weights have changed"

"""The rows of one results folder, safe against killed processes and concurrent ones.

``rows.csv`` holds complete methods only. ``partial/rows.csv`` holds the rows of methods that are still being measured
and grows by one row per measurement. Every change happens under a lock on the folder, after reading the files again.
"""

import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from ifmsr.files import make_folder, write_text, writing
from ifmsr.runs import MANIFEST, read_manifest
from ifmsr.study.made_by import UNKNOWN
from ifmsr.study.names import DIGITS
from ifmsr.study.rows import TEXT
from ifmsr.untrusted import decoding, read_text

Row = dict[str, Any]
Rows = dict[tuple[Any, ...], Row]
PARTIAL = "partial"
NUMBERS = dict.fromkeys((*DIGITS, "seconds"), float)  # exact to the last bit, unlike the default of pandas 2


class Ledger:
    """The rows of one folder, by their key.

    Parameters
    ----------
    folder : created if missing; InputError if that is impossible.
    key : the columns that identify a row; `method` and `made_by` are among a row's columns.
    columns : of the files, in order.
    float_format : of the files, see `pandas.DataFrame.to_csv`.

    Files of the folder change inside `locked`; the lock is released when its process dies.
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
        self._lock = FileLock(folder / ".lock")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """A context in which no other process changes the folder; it may be entered again inside."""
        with writing(Path(self._lock.lock_file), "Nothing was changed"):
            self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    @property
    def partial(self) -> Path:
        """The folder of incomplete methods' rows and cubes."""
        return self.folder / PARTIAL

    def finished(self) -> Rows:
        """The rows of complete methods. Raises InputError if the file was changed after its run had finished."""
        path = self.folder / "rows.csv"
        with self.locked():
            if path.exists() and (self.folder / MANIFEST).exists():
                read_manifest(self.folder)
            return self._read(path)

    def unfinished(self) -> Rows:
        """The rows of incomplete methods."""
        return self._read(self.partial / "rows.csv")

    def kept(self, method: str, maker: str, count: int, again: bool, fault: Callable[[Row], str]) -> Rows:
        """The rows of a method that need not be measured again; a warning gives the reason for measuring others.

        Parameters
        ----------
        maker : the method's present `ifmsr.study.made_by.made_by`; only rows with this value are kept. A complete
            method whose rows have no `made_by` is kept as well, with a warning.
        count : how many rows a complete method has.
        again : measure the method again although it is complete; rows of an interrupted call are kept.
        fault : gives another reason against a finished row, or "".
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
                f"the rows of {method} do not record the settings and code that made them; they are kept. To measure "
                "them again, give --again or again=True"
            )
            return silent
        if reasons := sorted(set(faults.values()) - {""}):
            self._warn(f"{method} is measured again: {', '.join(reasons)}")
        return rows

    def _warn(self, text: str) -> None:
        warnings.warn(f"{self.folder}: {text}", stacklevel=5)

    def add(self, row: Row) -> None:
        """Add a row of an incomplete method; it replaces a row with the same key."""
        with self.locked():
            rows = self.unfinished() | {self._key(row): row}
            self._write_unfinished(rows)

    def complete(self, methods: Iterable[str]) -> None:
        """Remove the partial rows of these methods, which are in ``rows.csv`` now. The caller holds the lock."""
        done = set(methods)
        rows = _only(self.unfinished(), lambda row: row["method"] not in done)
        if rows:
            self._write_unfinished(rows)
        else:
            shutil.rmtree(self.partial, ignore_errors=True)

    def csv(self, rows: pd.DataFrame) -> str:
        """Rows in the files' CSV format."""
        return rows.to_csv(index=False, columns=list(self.columns), float_format=self.float_format)

    def _write_unfinished(self, rows: Rows) -> None:
        write_text(self.partial / "rows.csv", self.csv(pd.DataFrame(list(rows.values()))))

    def _read(self, path: Path) -> Rows:
        if not path.exists():
            return {}
        with decoding(path, "a table of rows", "Restore or delete it"):
            text = StringIO(read_text(path))
            table = pd.read_csv(text, keep_default_na=False, dtype=TEXT, converters=NUMBERS)
            table["made_by"] = table.get("made_by", "")
            rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
            return {self._key(row): row for row in rows}

    def _key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.key)


def _only(rows: Rows, wanted: Callable[[Row], bool]) -> Rows:
    return {key: row for key, row in rows.items() if wanted(row)}


def _change(made: str, maker: str) -> str:
    """What has changed in a method since it made a row; "" if nothing has or the row has no `made_by`."""
    if made in ("", maker):
        return ""
    if made.partition("-")[0] == maker.partition("-")[0]:
        return "its code has changed"
    return "its settings or its weights have changed"

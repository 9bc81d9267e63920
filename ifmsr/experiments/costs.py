"""The measured costs of one machine as a table, and laws fitted to them.

A law is ``a + b P + c P B`` with P pixels, B bands and a, b, c >= 0, for the seconds or the memory of one part of the
work (`ifmsr.experiments.calibration.Point`), fitted by non-negative least squares of relative errors. It is scaled to
the measurement of the nearest size, because the cost of a pixel grows where an image no longer fits into the caches.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from io import StringIO
from math import log
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ifmsr.errors import InputError
from ifmsr.experiments.calibration import Subject, measure
from ifmsr.experiments.measuring import machine
from ifmsr.files import write_text
from ifmsr.paths import RESULTS
from ifmsr.untrusted import decoding, read_text

MEASURED = RESULTS / "performance" / "costs.csv"
KEY = ["method", "preset", "stage", "scale"]
ABOUT = ["device", "threads", "torch", "ifmsr"]
COLUMNS = ["part", *KEY, "pixels", "bands", "seconds", "peak_mb", *ABOUT]
TRAINING_PARTS = ("epoch", "samples", "step", "validation")
MEASURE = "Measure this machine: ifmsr plan STUDY.csv --machine FILE.csv --measure"


@dataclass(frozen=True)
class Law:
    """``a + b P + c P B``, scaled to the nearest measurement.

    Attributes
    ----------
    coefficients : (a, b, c).
    sizes : (P, B) of each measurement.
    ratios : each measurement divided by ``a + b P + c P B``.
    """

    coefficients: tuple[float, float, float]
    sizes: tuple[tuple[float, float], ...]
    ratios: tuple[float, ...]

    def __call__(self, pixels: float, bands: float) -> float:
        """Its value at so many pixels and bands."""
        apart = [abs(log((pixels + 1) / (p + 1))) + abs(log((bands + 1) / (b + 1))) for p, b in self.sizes]
        return self.plain(pixels, bands) * self.ratios[apart.index(min(apart))]

    def plain(self, pixels: float, bands: float) -> float:
        """``a + b P + c P B``."""
        a, b, c = self.coefficients
        return a + b * pixels + c * pixels * bands

    @classmethod
    def fit(cls, points: pd.DataFrame, column: str) -> "Law":
        """The law of the points, one per row; a value of 0 counts as a millionth."""
        from scipy.optimize import nnls

        values = points[column].to_numpy(float).clip(1e-6)
        pixels, bands = points["pixels"].to_numpy(float), points["bands"].to_numpy(float)
        terms = np.stack([np.ones_like(pixels), pixels, pixels * bands], axis=1) / values[:, np.newaxis]
        size = np.maximum(terms.max(axis=0), 1e-30)  # equal magnitudes, for the solver
        found = nnls(terms / size, np.ones_like(values))[0] / size
        ratios = 1 / (terms @ found)
        a, b, c = map(float, found)
        sizes = tuple(zip(pixels.tolist(), bands.tolist(), strict=True))
        return cls((a, b, c), sizes, tuple(map(float, ratios)))


class Costs:
    """The measured costs of one machine.

    Parameters
    ----------
    table : one row per measurement, columns `COLUMNS`.
    where : where the table comes from, for messages.
    """

    def __init__(self, table: pd.DataFrame, where: object):
        self.table, self.where = table, where
        self._law = cache(self._fit)

    @property
    def machine(self) -> str:
        """Device, threads and versions of the measurements."""
        first = self.table.iloc[0]
        return (
            f"{first['device']}, {first['threads']} threads, torch {first['torch']}, ifmsr {first['ifmsr']}"
        )

    def seconds(self, part: str, subject: Subject, pixels: float, bands: float) -> float:
        """Seconds of a part of a subject's work. Raises InputError if it was not measured."""
        return self._law(part, subject, "seconds")(pixels, bands)

    def megabytes(self, part: str, subject: Subject, pixels: float, bands: float) -> float:
        """Memory of a process at a part of a subject's work, in MB. Raises InputError if it was not measured."""
        return self._law(part, subject, "peak_mb")(pixels, bands)

    def has(self, subject: Subject) -> bool:
        """Whether a subject was measured."""
        part = TRAINING_PARTS[0] if subject.part == "training" else subject.part
        return not self._points(part, subject).empty

    def _points(self, part: str, subject: Subject) -> pd.DataFrame:
        table = self.table[self.table["part"] == part]
        for name in KEY:
            table = table[table[name] == getattr(subject, name)]
        return table

    def _fit(self, part: str, subject: Subject, column: str) -> Law:
        points = self._points(part, subject)
        if points.empty:
            named = " ".join(filter(None, (subject.method, subject.preset, f"x{subject.scale}")))
            raise InputError(self.where, f"it has no costs of {named}", MEASURE)
        return Law.fit(points, column)


def read_costs(path: str | Path) -> Costs:
    """The costs in a file. Raises InputError if there is no such file, or it is not one that `add_costs` wrote."""
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "there is no such file", MEASURE)
    with decoding(path, "a table of measured costs", MEASURE):
        texts = dict.fromkeys(("part", "method", "preset", *ABOUT), str)
        table = pd.read_csv(StringIO(read_text(path)), dtype=texts, keep_default_na=False)
        if missing := [name for name in COLUMNS if name not in table]:
            raise ValueError(f"the columns {missing} are missing")
        numbers = table[["stage", "scale", "pixels", "bands", "seconds", "peak_mb"]].astype(float)
        if table.empty or not np.isfinite(numbers).all(axis=None) or (numbers < 0).any(axis=None):
            raise ValueError("it has no rows, or a value is no number")
    return Costs(table, path)


def add_costs(path: str | Path, subjects: Iterable[Subject]) -> Costs:
    """The costs in a file, which is created if missing, after measuring those `subjects` that it does not have.

    Each takes seconds, methods that take minutes per scene up to a minute.

    Raises
    ------
    InputError : the file has measurements of another machine, of another number of threads or other versions.
    """
    path = Path(path)
    known = read_costs(path) if path.is_file() else Costs(pd.DataFrame(columns=COLUMNS), path)
    here = machine()
    if not known.table.empty and dict(known.table.iloc[0][ABOUT]) != here:
        raise InputError(path, f"it was measured on {known.machine}", "Name a new file for this machine")
    missing = [subject for subject in dict.fromkeys(subjects) if not known.has(subject)]
    for subject in tqdm(missing, desc="measure", disable=not missing):
        new = pd.DataFrame(measure(subject), columns=COLUMNS)
        known = Costs(pd.concat([known.table, new], ignore_index=True) if len(known.table) else new, path)
        write_text(path, known.table.to_csv(index=False))
    return known

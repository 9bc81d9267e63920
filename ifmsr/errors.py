"""`InputError` for unusable input, `InputWarning` for doubtful input, and checks of single values."""

import difflib
import os
import sys
from collections.abc import Iterable, Sequence
from math import inf
from pathlib import Path
from typing import Any

LARGEST = sys.float_info.max


class InputError(ValueError):
    """Error for input that cannot be used; the message names the place, the problem and the remedy.

    Parameters
    ----------
    where : a path, or the name of an argument.
    problem : what was found there.
    fix : what the user can do.
    """

    def __init__(self, where: object, problem: str, fix: str):
        super().__init__(f"{where}: {problem}. {fix}.")
        self.where = str(where)
        self.problem = problem
        self.fix = fix


class InputWarning(UserWarning):
    """Warning about doubtful input; there is a result, and the message says what may be wrong with it."""


class RunFailed(RuntimeError):
    """Error for a training or a notebook that did not finish."""


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise InputError, naming the argument, unless `value` is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise InputError(
            name,
            f"{shown(value)} is unknown",
            f"{did_you_mean(value, choices)}Choose one of {', '.join(map(repr, choices))}",
        )


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """``"Did you mean x? "`` for the most similar names of `known`, or ``""``.

    Only the part after the last dot is compared, as in ``options.features``.
    """
    endings = {entry.rpartition(".")[2]: entry for entry in known}
    close = difflib.get_close_matches(str(name).rpartition(".")[2], endings)
    return f"Did you mean {' or '.join(endings[ending] for ending in close)}? " if close else ""


def whole(where: object, value: object, least: float = -inf, most: float = inf) -> int:
    """`value` as an int; whole floats and NumPy scalars are accepted.

    Raises InputError, naming `where`, for anything else and for numbers outside [`least`, `most`].
    """
    number = plain(value)
    usable = isinstance(number, int | float) and not isinstance(number, bool) and number % 1 == 0
    if not usable or not least <= number <= most:
        raise InputError(where, f"found {shown(value)}", f"Give a whole number{_span(least, most)}")
    return int(number)


def real(where: object, value: object, least: float = -inf, most: float = inf) -> float:
    """`value` as a float. Raises InputError, naming `where`, unless it is a finite number in [`least`, `most`]."""
    number = plain(value)
    usable = isinstance(number, int | float) and not isinstance(number, bool) and abs(number) <= LARGEST
    if not usable or not least <= number <= most:
        raise InputError(where, f"found {shown(value)}", f"Give a number{_span(least, most)}")
    return float(number)


def as_path(where: object, value: object) -> Path:
    """`value` as a Path. Raises InputError, naming `where`, unless it is a string or a path."""
    if not isinstance(value, str | os.PathLike):
        raise InputError(where, f"found {shown(value)}", "Give the path of a file")
    return Path(value)


def plain(value: Any) -> Any:
    """A NumPy or torch scalar as a Python number; other values unchanged."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def shown(value: object) -> str:
    """A value as a short part of a message: the repr of numbers and strings, the type of anything else."""
    number = plain(value)
    return repr(number) if isinstance(number, int | float | str | None) else type(value).__name__


def _span(least: float, most: float) -> str:
    if least == -inf:
        return "" if most == inf else f" of at most {most}"
    return f" of at least {least}" if most == inf else f" from {least} to {most}"

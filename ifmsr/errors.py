"""The one error that bad input gets, and the base of those that a failed run gets."""

from collections.abc import Sequence


class InputError(ValueError):
    """Something the user handed over cannot be used.

    The message always has three parts, so that nobody has to read a traceback: where (the file or the
    argument), what was wrong, and what to do about it.

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


class RunFailed(RuntimeError):
    """A training or a notebook did not reach its end."""


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise InputError, naming the argument, unless `value` is one of `choices`."""
    if value not in choices:
        raise InputError(name, f"{value!r} is unknown", f"Choose one of {', '.join(map(repr, choices))}")


class InputWarning(UserWarning):
    """Doubtful input: the result is given, and the warning says what to doubt about it."""

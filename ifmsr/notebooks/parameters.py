"""Checks of notebook parameters, the names that a notebook's cell tagged `parameters` assigns."""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat

from ifmsr.errors import InputError, did_you_mean
from ifmsr.untrusted import decoding, read_text, read_yaml

FAMILIES: tuple[tuple[type, ...], ...] = ((bool,), (int, float), (str,), (list, tuple), (dict,))


def read_profile(path: str | Path, notebooks: Iterable[str | Path]) -> dict[str, dict[str, Any]]:
    """Read a profile, `{notebook stem: {parameter: value}}`, from a YAML file.

    Raises InputError, naming the file, if it cannot be read, has another form, or names a notebook that is not in
    `notebooks`.
    """
    with decoding(path, "a profile", "Give a YAML file"):
        text = read_text(path)
    content = read_yaml(path, text) or {}
    if not isinstance(content, dict) or not all(isinstance(entry, dict | None) for entry in content.values()):
        raise InputError(
            path,
            "not a mapping of notebooks to parameters",
            "Write `notebook:` and below, indented, `name: value`",
        )
    profile = {str(stem): dict(values or {}) for stem, values in content.items()}
    check_stems(path, profile, notebooks)
    return profile


def check_parameters(notebook: str | Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All parameter values of a run of `notebook`: its defaults, overridden by `parameters`.

    Raises InputError, naming the notebook and the parameter, if there is no such notebook, or if a parameter is not
    assigned in the cell tagged `parameters` or has another type than its default. None is allowed for any type, and
    ints and floats for each other.
    """
    defaults = _defaults(Path(notebook))
    for name, value in parameters.items():
        if name not in defaults:
            raise InputError(notebook, f"it has no parameter {name!r}", _suggestion(name, defaults))
        family, default = _family(value), _family(defaults[name])
        if value is not None and (family is None or default not in (None, family)):
            raise InputError(
                notebook,
                f"parameter {name} = {value!r} is of another type than its default {defaults[name]!r}",
                "Give a value of the default's type (YAML reads 1e-4 as text: write 1.0e-4)",
            )
    return {**defaults, **parameters}


def check_stems(where: object, profile: Mapping[str, Any], notebooks: Iterable[str | Path]) -> None:
    """Raise InputError, naming `where`, if a key of `profile` is not the file stem of a notebook."""
    stems = [Path(notebook).stem for notebook in notebooks]
    for stem in profile:
        if stem not in stems:
            raise InputError(where, f"there is no notebook {stem!r}", _suggestion(stem, stems))


def _suggestion(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    return f"{did_you_mean(name, known)}Known are: {', '.join(known) or 'none'}"


class _Expression(str):
    """The source code of a computed default, whose type is unknown before the notebook runs."""


def _defaults(notebook: Path) -> dict[str, Any]:
    """Names and values of the assignments in the first cell tagged `parameters`."""
    with decoding(notebook, "a notebook", "Give an .ipynb file of format 4"):
        cells = nbformat.reads(read_text(notebook), as_version=4).cells
        tagged = (cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))
        return _assigned(ast.parse(next(tagged, "")).body)


def _assigned(statements: Iterable[ast.stmt]) -> dict[str, Any]:
    """Names and values of the assignments among statements."""
    defaults: dict[str, Any] = {}
    for statement in statements:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                try:
                    defaults[name] = ast.literal_eval(value)
                except (ValueError, TypeError):  # as of {[]: 1}
                    defaults[name] = _Expression(ast.unparse(value))
    return defaults


def _family(value: Any) -> tuple[type, ...] | None:
    """The types that may replace `value`, or None if that is unknown."""
    if isinstance(value, _Expression):
        return None
    return next((family for family in FAMILIES if isinstance(value, family)), None)

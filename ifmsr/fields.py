"""Type checks of configurations: dataclass fields are converted to their annotated types."""

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ifmsr.errors import InputError, check_choice, plain, real, shown, whole


def check_fields(config: Any) -> None:
    """Convert each field of a dataclass, frozen or not, to its annotated type; for `__post_init__`.

    Supported types are int, float, bool, str, ``Literal[...]``, ``tuple[x, ...]`` and ``Mapping[str, Any]``.

    Raises
    ------
    InputError : a value is not of its field's type; the message names the field.
    """
    kinds = get_type_hints(type(config))
    for entry in fields(config):
        value = fitted(entry.name, getattr(config, entry.name), kinds[entry.name])
        object.__setattr__(config, entry.name, value)


def fitted(where: str, value: Any, kind: Any) -> Any:
    """`value` as type `kind`: whole floats become ints, ints become floats, lists tuples. Errors name `where`."""
    if kind is int:
        return whole(where, value)
    if kind is float:
        return real(where, value)
    if get_origin(kind) is Literal:
        check_choice(where, value, get_args(kind))
        return value
    if kind is bool and isinstance(plain(value), bool):
        return plain(value)
    if kind is str and isinstance(value, str | os.PathLike):
        return str(value)
    if get_origin(kind) is tuple and isinstance(value, list | tuple | range):
        return tuple(fitted(where, entry, get_args(kind)[0]) for entry in value)
    if (
        get_origin(kind) is Mapping
        and isinstance(value, Mapping)
        and all(isinstance(key, str) for key in value)
    ):
        return dict(value)
    raise InputError(where, f"found {shown(value)}", f"Give {NAMES[get_origin(kind) or kind]}")


NAMES = {bool: "True or False", str: "a text", tuple: "a list", Mapping: "a mapping of names to values"}

"""The origin of a row, as two short hashes: of the method's settings and of the code that computes it.

The first hash covers the method's class, its settings (the fields of a dataclass that take part in comparisons, so
not the device) and the `fingerprint` of its weights. The second covers source code: the modules of its class and of
every object in its fields, `ifmsr.metrics`, and all that these import from this package (except `NEUTRAL`) and from
the method's own package. Comments, docstrings and layout do not count.
"""

import ast
import hashlib
import inspect
import json
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from ifmsr.methods.base import Method

NEUTRAL = (
    *("ifmsr.errors", "ifmsr.extras", "ifmsr.fields", "ifmsr.files", "ifmsr.paths", "ifmsr.registry"),
    *("ifmsr.ownership", "ifmsr.untrusted", "ifmsr.methods.registry", "ifmsr.scenes", "ifmsr.training"),
)
"""Packages and modules whose code does not affect a method's result on a given observation."""
OURS = ("ifmsr",)
# "package.module:attribute", see `ifmsr.registry.resolve`
PLACE = re.compile(r"[a-z_]\w*(\.\w+)+:\w+", re.IGNORECASE)
UNKNOWN = "unknown"  # the code of a method defined in a notebook or at a prompt
DIGITS = 8


def made_by(method: Method) -> str:
    """``<settings>-<code>``: two hashes of 8 hexadecimal digits, equal on every machine.

    The second is ``unknown`` if the method was defined in a notebook or at a prompt and its code is in no file.
    """
    settings = {"method": _settings(method), "weights": fingerprint(method)}
    return f"{digest(settings)}-{_code(method)}"


def fingerprint(method: Method) -> str:
    """The hash of a method's weights; "" if it has none."""
    return str(getattr(method, "fingerprint", ""))


def _settings(value: Any) -> Any:
    """A method, or one of its settings, in JSON types."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.generic():
            return value.item()
        case np.ndarray() | Tensor():
            array = np.ascontiguousarray(value)
            return [str(array.dtype), *array.shape, hashlib.sha256(array.tobytes()).hexdigest()]
        case Mapping():
            return {str(name): _settings(entry) for name, entry in value.items()}
        case list() | tuple():
            return [_settings(entry) for entry in value]
        case nn.Module():
            return [type(value).__qualname__, _settings(getattr(value, "config", None))]
    if is_dataclass(value):
        chosen = {
            entry.name: _settings(getattr(value, entry.name)) for entry in fields(value) if entry.compare
        }
        return [type(value).__qualname__, chosen]
    return [_kind(value).__qualname__, fingerprint(value)]


def _kind(value: Any) -> Any:
    """The function itself, or an object's class."""
    return value if inspect.isfunction(value) else type(value)


def _code(method: Method) -> str:
    """Hash of the source code that computes the method and the metrics, or `UNKNOWN`."""
    roots = {_kind(part).__module__ for part in _parts(method)}
    packages = {_kind(method).__module__.partition(".")[0], *OURS}
    return code_of([*(root for root in roots if _computes(root, packages)), "ifmsr.metrics"], packages)


def code_of(
    modules: Iterable[str], packages: Collection[str] = OURS, neutral: Collection[str] = NEUTRAL
) -> str:
    """Hash of the source code of `modules` and of all that they import, or `UNKNOWN` if one is in no file.

    Parameters
    ----------
    packages : imports from these packages are followed.
    neutral : but not those of these packages and modules.
    """
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        path = _file(module)
        if path is None:
            return UNKNOWN
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        found[module], imported = _read(path.read_text(encoding="utf-8"), package)
        waiting += [name for name in imported if _follows(module, name, packages, neutral)]
    return digest(sorted(found.values()))


def _parts(value: Any) -> Iterator[Any]:
    """A method and the objects in its fields, for example the network of a learned method."""
    yield value
    if is_dataclass(value):
        for entry in fields(value):
            yield from _parts(getattr(value, entry.name))


def _computes(module: str, packages: Collection[str], neutral: Collection[str] = NEUTRAL) -> bool:
    """Whether a module can affect results: it is in one of the packages, and not neutral."""
    left_out = any(module == room or module.startswith(f"{room}.") for room in neutral)
    return module.partition(".")[0] in packages and module != "ifmsr" and not left_out


def _follows(module: str, imported: str, packages: Collection[str], neutral: Collection[str]) -> bool:
    """Whether to follow an import. Those of methods by `ifmsr.inference`, which runs any method, are not followed."""
    runs_it = module.startswith("ifmsr.inference") and imported.startswith("ifmsr.methods")
    return _computes(imported, packages, neutral) and not runs_it


def _file(module: str) -> Path | None:
    """The source file of a module or package, without importing it; None if there is none."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded:
        return Path(loaded)
    top, *rest = module.split(".")
    for folder in getattr(sys.modules.get(top), "__path__", ()):
        place = Path(folder, *rest)
        for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if rest and path.is_file():
                return path
    return None


@lru_cache(maxsize=512)
def _read(source: str, package: str) -> tuple[str, tuple[str, ...]]:
    """A module's hash and every module that it imports, inside functions and by `ifmsr.registry.resolve` too."""
    tree = ast.parse(source)
    return digest(_structure(tree)), tuple(_imported(tree, package))


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            yield module
            modules = (f"{module}.{alias.name}" for alias in node.names)
            yield from (name for name in modules if _file(name))
        elif isinstance(node, ast.Constant) and PLACE.fullmatch(str(node.value)):
            module = str(node.value).partition(":")[0]
            yield from [module] if _file(module) else []


def _structure(node: Any) -> Any:
    """A syntax tree as nested lists, equal in all versions of Python, without docstrings."""
    if isinstance(node, ast.AST):
        held = [[name, _structure(value)] for name, value in ast.iter_fields(node) if value not in (None, [])]
        return [type(node).__name__, *held]
    if isinstance(node, list):
        return [_structure(entry) for entry in node if not _is_docstring(entry)]
    return repr(node)


def _is_docstring(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def digest(value: Any) -> str:
    """The first 8 hexadecimal digits of the SHA-256 of a value in JSON types."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]

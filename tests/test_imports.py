"""The direction of imports between the subpackages, and the absence of import cycles."""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter

import pytest

import ifmsr
from ifmsr.paths import ROOT
from ifmsr.registry import resolve

BASICS = {
    "devices",
    "errors",
    "extras",
    "fields",
    "files",
    "ownership",
    "paths",
    "precision",
    "progress",
    "registry",
    "untrusted",
}  # imported by all, import none of the others
MAY_IMPORT = {
    **{basic: BASICS - {basic} for basic in BASICS},
    "metrics": {"errors"},
    "io": BASICS,
    "scenes": {"io"},
    "degradation": {"scenes"},
    "guide": {"degradation", "scenes"},
    "assessment": {"guide", "degradation", "scenes"},
    "methods": {"degradation", "scenes"},
    "weights": {"methods"},
    "runs": BASICS,
    "published": BASICS,
    "inference": {"assessment", "guide", "weights", "methods", "degradation", "scenes"},
    "training": {"inference", "weights", "methods", "degradation", "scenes", "runs", "metrics"},
    "study": {"published", "methods", "degradation", "scenes", "runs", "metrics"},
    "figures": {"study", "methods", "degradation", "scenes", "runs"},
    "viewer": {"figures", "io"},
    "experiments": {
        *{"figures", "study", "training", "inference", "weights", "runs"},
        *{"methods", "degradation", "scenes", "metrics"},
    },
    "notebooks": {"runs"},
    "doctor": {"inference", "scenes", "runs"},
    "": {"inference", "assessment"},  # ifmsr/__init__.py
}
"""Room -> the rooms that it may import from, besides itself and `BASICS`; `cli` and `__main__` may from all."""

HOOKS = {
    ("methods.base", "training.patches:Patches"),
    ("methods.subspace_net.network", "training.solved:SolvedPatches"),
    ("methods.subspace_net.network", "inference.assessed:Assessed"),
    ("methods.ifmsr.network", "inference.fast_ifmsr.run:run_in_strips"),
}
"""What a network names of a higher room, to be imported when it is trained or run (see `ifmsr.registry.resolve`)."""


@cache
def modules():
    """Module without the leading ``ifmsr.`` -> its syntax tree; packages by their name."""
    found = {}
    for path in sorted((ROOT / "ifmsr").rglob("*.py")):
        parts = path.relative_to(ROOT / "ifmsr").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def room(module):
    return module.partition(".")[0]


def imported(tree):
    """The modules of the package that a module imports, anywhere in it but for type checking."""
    skipped = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    inside = {child for node in skipped for child in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if node in inside:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole.removeprefix("ifmsr.") in modules() else node.module)
    ours = {name for name in found if name == "ifmsr" or name.startswith("ifmsr.")}
    return {name.removeprefix("ifmsr").removeprefix(".") for name in ours}


def named(tree):
    """The objects ``"ifmsr.module:attribute"`` that a module names in strings."""
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return {text for text in strings if isinstance(text, str) and re.fullmatch(r"ifmsr[\w.]*:\w+", text)}


def test_every_room_has_its_rule():
    assert {room(name) for name in modules()} == {*MAY_IMPORT, "cli", "__main__"}


@pytest.mark.parametrize("name", [name for name in MAY_IMPORT])
def test_a_room_imports_only_from_the_rooms_below_it(name):
    allowed = MAY_IMPORT[name] | BASICS | {name}
    wrong = [
        f"{module} imports {other}"
        for module, tree in modules().items()
        if room(module) == name
        for other in sorted(imported(tree))
        if room(other) not in allowed
    ]
    assert wrong == []


def test_no_module_is_imported_by_what_it_imports():
    graph = {name: imported(tree) - {name} for name, tree in modules().items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)  # raises CycleError


def test_rules_have_no_circle_either():
    TopologicalSorter({name: allowed - BASICS for name, allowed in MAY_IMPORT.items()}).prepare()


def test_what_is_named_is_there_and_only_hooks_name_a_higher_room():
    upward = set()
    for module, tree in modules().items():
        for place in named(tree):
            resolve(place)
            if room(place.removeprefix("ifmsr.").partition(":")[0]) != room(module):
                upward.add((module, place.removeprefix("ifmsr.")))
    assert upward == HOOKS


def test_every_public_name_of_the_package_can_be_imported():
    assert set(ifmsr.__all__) == {*ifmsr.MODULES, "__version__"}
    for name in ifmsr.__all__:
        assert getattr(ifmsr, name) is not None

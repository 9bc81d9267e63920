"""Mutation testing: small changes of the code, and whether the fast tests notice (``make mutants``).

A mutant differs from a module in one operator, comparison, number or condition. Each is tried in a process that is
forked from one with PyTorch, SciPy and pytest imported, and counts as killed if a test fails or takes too long.
"""

import argparse
import ast
import contextlib
import importlib.abc
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
TARGETS = {
    "ifmsr.metrics": ("tests/test_metrics.py",),
    "ifmsr.degradation.protocol": (
        "tests/degradation/test_protocol.py",
        "tests/degradation/test_sampling.py",
    ),
    "ifmsr.degradation.blurs": ("tests/degradation/test_blurs.py", "tests/degradation/test_protocol.py"),
    "ifmsr.degradation.sampling": ("tests/degradation/test_sampling.py",),
    "ifmsr.degradation.estimation": (
        "tests/degradation/test_estimation.py",
        "tests/degradation/test_noise.py",
    ),
    "ifmsr.study.evaluation": ("tests/study/test_evaluation.py", "tests/study/test_ledger.py"),
    "ifmsr.study.ledger": ("tests/study/test_ledger.py", "tests/study/test_evaluation.py"),
    "ifmsr.study.rows": ("tests/study/test_table4.py",),
    "ifmsr.training.state": ("tests/training/test_state.py",),
    "ifmsr.files": ("tests/test_files.py",),
    "ifmsr.untrusted": ("tests/faults/test_malicious.py",),
}
"""Module -> its fast tests."""
WARM = (
    "pytest",
    "hypothesis",
    "nbval.plugin",
    "pandas",
    "scipy.ndimage",
    "scipy.optimize",
    "tensorly",
    "h5py",
    "filelock",
)
"""What the tests import, none of which imports ifmsr."""
SECONDS = 120  # of computing per mutant; five times as long by the clock
OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.USub: ast.UAdd, ast.Not: ast.UAdd,
}  # fmt: skip


def places(tree: ast.Module) -> list[tuple[int, str]]:
    """The changes that can be made: the number of a node in `ast.walk`, and which of its parts."""
    skipped = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise | ast.JoinedStr)  # messages
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):  # annotations are no behaviour
        for name in ("annotation", "returns"):
            if (annotation := getattr(node, name, None)) is not None:
                skipped |= {id(child) for child in ast.walk(annotation)}
    found = []
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.BinOp | ast.BoolOp | ast.UnaryOp) and type(node.op) in OPERATORS:
            found.append((number, "op"))
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
            found.append((number, "compare"))
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            found.append((number, "constant"))
        elif isinstance(node, ast.If | ast.IfExp):
            found.append((number, "condition"))
    return found


def mutant(tree: ast.Module, number: int, part: str) -> tuple[ast.Module, str]:
    """The module after one change, and the change as a line."""
    changed = deepcopy(tree)
    node = next(node for place, node in enumerate(ast.walk(changed)) if place == number)
    before = ast.unparse(node).splitlines()[0]
    if part == "op":
        node.op = OPERATORS[type(node.op)]()  # type: ignore[attr-defined]
    elif part == "compare":
        node.ops[0] = OPERATORS[type(node.ops[0])]()  # type: ignore[attr-defined]
    elif part == "constant":
        value = node.value  # type: ignore[attr-defined]
        node.value = not value if isinstance(value, bool) else value + 1  # type: ignore[attr-defined]
    else:
        node.test = ast.UnaryOp(ast.Not(), node.test)  # type: ignore[attr-defined]
    changed = ast.fix_missing_locations(changed)
    after = ast.unparse(node).splitlines()[0]
    return changed, f"line {getattr(node, 'lineno', 0)}: {before}  ->  {after}"


class Stand(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Imports one module from another syntax tree."""

    def __init__(self, name: str, path: Path, tree: ast.Module):
        self.name, self.path, self.tree = name, path, tree

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def get_filename(self, fullname):
        return str(self.path)

    def get_data(self, path):
        return ast.unparse(self.tree).encode()


def survives(name: str, path: Path, tree: ast.Module, tests: tuple[str, ...]) -> bool:
    """Whether every test passes on the mutant."""
    child = os.fork()
    if child == 0:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # ends the process, as the next one does
        signal.alarm(5 * SECONDS)
        import pytest

        sys.meta_path.insert(0, Stand(name, path, tree))
        code = 3
        with contextlib.suppress(BaseException):
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests])
        os._exit(int(code))
    return os.waitpid(child, 0)[1] == 0


def tried(name: str, count: int, seed: int) -> Iterator[tuple[str, bool]]:
    """Each mutant of a random sample, and whether it survived. Raises RuntimeError if the tests fail without one."""
    path = ROOT / Path(*name.split(".")).with_suffix(".py")
    tree, tests = ast.parse(path.read_text(encoding="utf-8")), TARGETS[name]
    if not survives(name, path, tree, tests):
        raise RuntimeError(f"the tests of {name} fail without a mutant")
    found = places(tree)
    chosen = np.random.default_rng(seed).permutation(len(found))[:count]
    for place in sorted(chosen):
        changed, line = mutant(tree, *found[place])
        yield line, survives(name, path, changed, tests)


def report(names: list[str], count: int, seed: int) -> None:
    """Print survivors as they are found, and the share that was killed."""
    for package in WARM:  # before the forks
        importlib.import_module(package)
    import torch

    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports much at its first use
    os.chdir(ROOT)
    killed = total = 0
    for name in names:
        started, own, dead = time.perf_counter(), 0, 0
        for line, survived in tried(name, count, seed):
            own, dead = own + 1, dead + (not survived)
            if survived:
                print(f"{name} survived, {line}", flush=True)
        print(f"{name}: {dead} of {own} killed, {time.perf_counter() - started:.0f} s", flush=True)
        killed, total = killed + dead, total + own
    print(f"{killed} of {total} mutants killed ({killed / max(total, 1):.0%})")


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("modules", nargs="*", default=[*TARGETS], help="default: all of TARGETS")
    asked.add_argument("--count", type=int, default=40, help="mutants per module (default %(default)s)")
    asked.add_argument("--seed", type=int, default=0)
    args = asked.parse_args()
    report(args.modules or [*TARGETS], args.count, args.seed)

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ifmsr.inference.api import load_method
from ifmsr.methods.base import Method
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.closed_form.chain import ClosedForm
from ifmsr.methods.cms import CMS
from ifmsr.methods.cnmf import CNMF
from ifmsr.methods.lttr import LTTR
from ifmsr.methods.patch_based.non_blind import TrueKernel
from ifmsr.methods.ual import Adapted
from ifmsr.paths import ROOT
from ifmsr.study.made_by import made_by


def code(method: Method) -> str:
    return made_by(method).partition("-")[2]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LTTR(), LTTR(kernel="estimated")),
        (LTTR(), LTTR(seed=1)),
        (LTTR(), TrueKernel(LTTR())),
        (LTTR(kernel=np.ones((4, 4)) / 16), LTTR(kernel=np.ones((5, 5)) / 25)),
        (CMS(), CMS(back_projection=True)),
        (CMS(eta=0.1), CMS(eta=0.2)),
        (CNMF(), LTTR()),
        (Adapted(Bicubic()), Adapted(ClosedForm())),
        (Adapted(Bicubic(), steps=10), Adapted(Bicubic(), steps=11)),
        (Adapted(Bicubic()), Adapted(Bicubic(), precision="bfloat16")),
    ],
)
def test_every_setting_counts(one, other):
    assert made_by(one) != made_by(other)


@pytest.mark.cpu
def test_precision_and_weights_count_and_the_device_does_not(computes_bfloat16):
    usual = load_method("ifmsr", 4)
    assert made_by(usual) == made_by(load_method("ifmsr", 4, device="cpu", memory=10**8))
    other = made_by(load_method("ifmsr", 4, precision="bfloat16"))
    assert (made_by(usual) != other) == computes_bfloat16
    assert made_by(usual) != made_by(load_method("ifmsr", 8))
    assert code(usual) == code(load_method("ifmsr", 8))


def test_an_image_that_was_adapted_to_is_no_setting():
    method = Adapted(Bicubic())
    before = made_by(method)
    method.last = object()
    assert made_by(method) == before


def test_another_process_finds_the_same():
    script = (
        "from ifmsr.methods.cms import CMS; from ifmsr.study.made_by import made_by; print(made_by(CMS()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == made_by(CMS())


@pytest.fixture
def edited(monkeypatch):
    """Replaces the text of one of our source files."""
    genuine = Path.read_text

    def edit(name: str, text: str) -> None:
        def read(path, *arguments, **named):
            found = genuine(path, *arguments, **named)
            return found + text if path == ROOT / name else found

        monkeypatch.setattr(Path, "read_text", read)

    return edit


@pytest.mark.parametrize(
    ("name", "changed", "unchanged"),
    [
        (
            "ifmsr/methods/closed_form/detail_gain.py",
            ["closed-form", "subspace-net"],
            ["bicubic", "lttr", "ifmsr"],
        ),
        ("ifmsr/degradation/estimation.py", ["closed-form", "gsa"], ["bicubic", "ifmsr"]),
        ("ifmsr/degradation/kernels.py", ["closed-form", "lttr-estimated"], ["bicubic", "ifmsr"]),
        ("ifmsr/inference/fast_ifmsr/strips.py", ["ifmsr"], ["bicubic", "closed-form"]),
        ("ifmsr/metrics.py", ["bicubic", "closed-form", "ifmsr"], []),
        ("ifmsr/precision.py", ["closed-form", "ifmsr", "ual"], ["bicubic"]),
        ("ifmsr/assessment.py", ["auto"], ["closed-form", "ifmsr"]),
        ("ifmsr/inference/api.py", [], ["closed-form", "ifmsr", "ual"]),
        ("ifmsr/scenes/cave.py", [], ["bicubic", "closed-form", "ifmsr"]),
        ("ifmsr/methods/registry.py", [], ["bicubic", "closed-form", "ifmsr"]),
    ],
)
def test_the_code_that_counts_is_what_the_method_imports(edited, name, changed, unchanged):
    methods = {method: load_method(method, 4) for method in [*changed, *unchanged]}
    before = {method: code(made) for method, made in methods.items()}
    edited(name, "\nEXTRA = 1\n")
    assert {method for method, made in methods.items() if code(made) != before[method]} == set(changed)


FOREIGN = '''
"""A method from elsewhere."""

from . import helpers


class Mean:
    """Bicubic."""

    title, schedule = "Mean", ""

    def __call__(self, observation):
        return helpers.FACTOR * observation.lr
'''


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """The class of a package that is not ours, and the package's folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "helpers.py").write_text("FACTOR = 1\n")
    (folder / "unused.py").write_text("FACTOR = 1\n")
    (folder / "mean.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(tmp_path)
    from elsewhere.mean import Mean

    yield Mean, folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "elsewhere"]:
        del sys.modules[name]


def test_a_foreign_methods_code_counts_but_not_how_it_is_laid_out(foreign):
    kind, folder = foreign
    before = code(kind())
    assert before != "unknown"
    (folder / "unused.py").write_text("FACTOR = 2\n")
    commented = FOREIGN.replace('"""Bicubic."""', '"""Says more."""  # and more')
    (folder / "mean.py").write_text(commented.replace('"Mean", ""', '"Mean", (\n        ""\n    )'))
    assert code(kind()) == before
    (folder / "helpers.py").write_text("FACTOR = 2\n")
    helped = code(kind())
    assert helped != before
    (folder / "mean.py").write_text(FOREIGN.replace("* observation", "+ observation"))
    assert code(kind()) not in (before, helped)


def test_the_code_of_a_method_that_was_typed_in_is_unknown():
    typed = type("Typed", (Bicubic,), {"__module__": "a_module_without_a_file"})
    assert made_by(typed()).endswith("-unknown")

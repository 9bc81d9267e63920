"""Files and modules that the benchmarks and the GPU script name exist; the benchmarks are run by hand."""

import re
from importlib.util import find_spec

from benchmarks.__main__ import ALL
from ifmsr.paths import ROOT


def test_the_gpu_script_names_tests_and_benchmarks_that_exist():
    words = (ROOT / "benchmarks" / "gpu.sh").read_text().split()
    tests = [word for word in words if word.startswith("tests/")]
    assert len(tests) >= 3 and all((ROOT / test).exists() for test in tests), tests
    first = words.index("benchmarks") + 1
    chosen = words[first : words.index("|", first)]
    assert chosen and set(chosen) <= set(ALL)
    assert all(find_spec(f"benchmarks.{name}") for name in ALL)


def test_chapters_name_tests_that_exist():
    named = {
        path
        for notebook in (ROOT / "notebooks").glob("*.ipynb")
        for path in re.findall(r"tests/[\w/]+\.py", notebook.read_text(encoding="utf-8"))
    }
    assert named and all((ROOT / path).exists() for path in named), named

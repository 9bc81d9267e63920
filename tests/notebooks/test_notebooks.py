import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ifmsr.errors import InputError
from ifmsr.files import sha256
from ifmsr.notebooks import (
    NotebookError,
    check_parameters,
    execute_in_place,
    read_profile,
    run_all,
    run_notebook,
)
from ifmsr.notebooks.in_place import _cleaned
from ifmsr.paths import ROOT
from ifmsr.runs import read_manifest

PARAMETERS = """\
scale: int = 4
rate = 1e-4  # of learning
scenes = ["face", "balloons"]
folder = str(scale)
seed = 3
verbose = True
checkpoint = None
"""
KERNEL = {"name": "elsewhere", "display_name": "A kernel of another machine", "language": "python"}


def notebook(path: Path, *sources: str, parameters: str = PARAMETERS) -> Path:
    """A notebook with prose, a `parameters` cell (code cell 1), and `sources` (from code cell 2)."""
    cells = [
        new_markdown_cell("# A title"),
        new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        *map(new_code_cell, sources),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)
    return path


def printed(executed: Path) -> str:
    cells = nbformat.read(executed, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "".join(
        output.text for output in outputs if output.output_type == "stream" and output.name == "stdout"
    )


def test_parameters_are_the_defaults_with_the_given_ones_on_top(tmp_path):
    values = check_parameters(notebook(tmp_path / "a.ipynb"), {"scale": 8, "rate": 1, "checkpoint": "x.pt"})
    assert values == {
        "scale": 8,
        "rate": 1,
        "scenes": ["face", "balloons"],
        "folder": "str(scale)",
        "seed": 3,
        "verbose": True,
        "checkpoint": "x.pt",
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"scael": 8}, ["a.ipynb", "'scael'", "scale"]),
        ({"zzz": 8}, ["a.ipynb", "'zzz'", "checkpoint, folder, rate"]),
        ({"rate": "1e-4"}, ["a.ipynb", "rate = '1e-4'", "0.0001", "1.0e-4"]),
        ({"scale": True}, ["scale = True"]),
        ({"scenes": "face"}, ["scenes = 'face'"]),
        ({"checkpoint": Path("x.pt")}, ["checkpoint"]),
    ],
)
def test_wrong_parameters_are_named_before_anything_runs(tmp_path, given, words):
    with pytest.raises(InputError) as error:
        run_notebook(notebook(tmp_path / "a.ipynb"), given, tmp_path / "out")
    assert all(word in str(error.value) for word in words)
    assert not (tmp_path / "out").exists()


def test_computed_defaults_take_any_value(tmp_path):
    path = notebook(tmp_path / "a.ipynb")
    assert check_parameters(path, {"folder": 5})["folder"] == 5
    assert check_parameters(path, {"seed": None})["seed"] is None


@pytest.mark.parametrize("content", [None, "no notebook at all", '{"cells": 3}'])
def test_unreadable_notebooks_are_named(tmp_path, content):
    path = tmp_path / "b.ipynb"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"b\.ipynb"):
        check_parameters(path, {})


def test_run_notebook_leaves_the_executed_copy_and_a_manifest(tmp_path):
    source = notebook(
        tmp_path / "notes {1}" / "04_training.ipynb",
        "import os, sys; print(scale, seed, sys.executable, os.getcwd())",
    )
    before = source.read_bytes()
    executed = run_notebook(source, {"scale": 8}, tmp_path / "new" / "out {x}")
    assert executed == tmp_path / "new" / "out {x}" / "04_training" / "04_training.ipynb"
    assert printed(executed).split(maxsplit=3) == ["8", "3", sys.executable, f"{source.parent}\n"]
    assert source.read_bytes() == before
    manifest = read_manifest(executed.parent)
    assert manifest["config"]["parameters"]["scale"] == 8
    assert manifest["config"]["parameters"]["rate"] == 1e-4
    assert manifest["seeds"] == [3]
    assert list(manifest["data"].values()) == [sha256(source)]
    assert manifest["files"] == {"04_training.ipynb": sha256(executed)}


@pytest.mark.parametrize(
    ("cell", "seeds"), [("seeds = (4, 5)", [4, 5]), ("seed = 6", [6]), ("seed = None", [None]), ("x = 1", [])]
)
def test_seeds_come_from_the_parameters(tmp_path, cell, seeds):
    executed = run_notebook(notebook(tmp_path / "a.ipynb", parameters=cell), None, tmp_path / "out")
    assert read_manifest(executed.parent)["seeds"] == seeds


@pytest.mark.parametrize(
    ("source", "ename", "evalue"),
    [
        ("x = 1\nraise OSError('disk gone')", "OSError", "disk gone"),
        ("import sys; sys.exit()", "SystemExit", "left before its end"),
        ("import os; os._exit(3)", "DeadKernelError", "died"),
        ("import time; time.sleep(60)", "TimeoutError", "2 s"),
    ],
)
def test_failures_name_the_cell_and_keep_what_was_done(tmp_path, source, ename, evalue):
    path = notebook(tmp_path / "a.ipynb", "print('done before')", source, "print('never')")
    run_notebook(notebook(tmp_path / "good" / "a.ipynb"), {}, tmp_path / "out")
    with pytest.raises(NotebookError) as caught:
        run_notebook(path, {"scale": 8}, tmp_path / "out", cell_timeout=2)
    error = caught.value
    assert (error.cell, error.ename) == (3, ename)
    assert evalue in error.evalue
    assert error.copy == tmp_path / "out" / "a" / "a.ipynb"
    assert printed(error.copy) == "done before\n"
    assert all(
        word in str(error) for word in ("a.ipynb", "code cell 3", source.splitlines()[0], str(error.copy))
    )
    with pytest.raises(InputError, match="unfinished"):
        read_manifest(tmp_path / "out" / "a")
    assert kernels_of(psutil.Process()) == []


def kernels_of(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children(recursive=True) if "ipykernel_launcher" in child.cmdline()]


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_until(condition, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


RUNNER = """
import signal, sys
from ifmsr.notebooks import run_notebook
signal.signal(signal.SIGINT, signal.default_int_handler)  # even where the tests run in the background
signal.signal(signal.SIGTERM, signal.SIG_DFL)
run_notebook(sys.argv[1], {}, sys.argv[2])
"""

SLEEPER = """
import os, pathlib, signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"])
pathlib.Path("pids.part").write_text(f"{os.getpid()} {child.pid}")
os.rename("pids.part", "pids")
time.sleep(600)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_signals_leave_no_kernel_and_no_manifest(tmp_path, number, code):
    path = notebook(tmp_path / "a.ipynb", SLEEPER, "print('never')")
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, path, tmp_path / "out"], stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert wait_until((tmp_path / "pids").exists)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(map(alive, pids))
        runner.send_signal(number)
        _, errors = runner.communicate(timeout=60)
    finally:
        runner.kill()
    assert runner.returncode == code, errors
    assert wait_until(lambda: not any(map(alive, pids)), 5)
    assert (tmp_path / "out" / "a" / "a.ipynb").exists()
    assert not (tmp_path / "out" / "a" / "manifest.json").exists()


def test_runner_shows_neither_warnings_nor_progress_bars_in_ci(tmp_path):
    path = notebook(tmp_path / "a.ipynb", "from tqdm.auto import tqdm\nfor _ in tqdm(range(3)): pass")
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", RUNNER, path, tmp_path / "out"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "CI": "1"},
        check=True,
    )
    assert done.stdout == ""
    assert not any(word in done.stderr.lower() for word in ("warn", "deprecat", "it/s", "%|"))


def test_profile(tmp_path):
    paths = [notebook(tmp_path / f"{stem}.ipynb") for stem in ("01_data", "02_degradation")]
    profile = tmp_path / "quick.yaml"
    profile.write_text("01_data:\n  scale: 8\n02_degradation:\n")
    assert read_profile(profile, paths) == {"01_data": {"scale": 8}, "02_degradation": {}}


@pytest.mark.parametrize("content", ["01_dat:\n  scale: 8\n", "- 01_data\n", "01_data: 8\n", "a: [", None])
def test_bad_profiles_are_named(tmp_path, content):
    profile = tmp_path / "quick.yaml"
    if content is not None:
        profile.write_text(content)
    with pytest.raises(InputError, match=r"quick\.yaml"):
        read_profile(profile, [notebook(tmp_path / "01_data.ipynb")])


def test_run_all_goes_by_name_and_stops_at_the_first_failure(tmp_path):
    first = notebook(tmp_path / "01_a.ipynb", "print(scale)")
    second = notebook(tmp_path / "02_b.ipynb", "1 / 0")
    third = notebook(tmp_path / "03_c.ipynb")
    with pytest.raises(NotebookError, match=r"02_b.*ZeroDivisionError"):
        run_all([third, second, first], {"01_a": {"scale": 8}}, tmp_path / "out")
    assert printed(tmp_path / "out" / "01_a" / "01_a.ipynb") == "8\n"
    read_manifest(tmp_path / "out" / "01_a")
    assert not (tmp_path / "out" / "03_c").exists()
    with pytest.raises(InputError, match="unfinished"):
        read_manifest(tmp_path / "out")
    run_all([first, third], {"01_a": {"scale": 8}}, tmp_path / "out")
    assert read_manifest(tmp_path / "out")["config"] == {"01_a": {"scale": 8}, "03_c": {}}


def test_run_all_checks_every_parameter_before_it_starts(tmp_path):
    paths = [notebook(tmp_path / f"{stem}.ipynb") for stem in ("01_a", "02_b")]
    for profile in ({"02_b": {"scael": 8}}, {"03_c": {}}):
        with pytest.raises(InputError):
            run_all(paths, profile, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_execute_in_place_writes_the_same_bytes_twice(tmp_path):
    path = notebook(
        tmp_path / "a.ipynb",
        "import os, pathlib\nprint(os.getcwd(), object())",
        "from tqdm.auto import tqdm\nfor _ in tqdm(range(3)): pass",
        "import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])",
    )
    once = execute_in_place(path).read_bytes()
    assert execute_in_place(path).read_bytes() == once
    cells = nbformat.read(path, as_version=4).cells
    assert "<object object at 0x...>" in cells[2].outputs[0].text
    assert cells[3].outputs == []
    assert "image/png" in cells[4].outputs[0].data
    assert cells[1].metadata == {"tags": ["parameters"]}
    assert cells[2].metadata == {}


def test_execute_in_place_changes_nothing_on_failure(tmp_path):
    failing = notebook(tmp_path / "a.ipynb", "1 / 0")
    large = notebook(tmp_path / "b.ipynb", "print('x' * 2_000_000)")
    before = failing.read_bytes(), large.read_bytes()
    with pytest.raises(NotebookError, match="ZeroDivisionError") as caught:
        execute_in_place(failing)
    assert caught.value.copy.exists()
    with pytest.raises(InputError, match=r"b\.ipynb.*2\.0 MB"):
        execute_in_place(large)
    assert (failing.read_bytes(), large.read_bytes()) == before


def test_cleaned_outputs_depend_on_no_machine():
    text = (
        f"{ROOT}/results/x.csv {ROOT} {ROOT.parent}/shared/data https://example.org/a {Path.home()}/.cache\n"
        "/var/tmp/ipykernel_12/34.py:1: UserWarning: <Line2D at 0x7f12ab>"
    )
    outputs = [
        new_output("stream", name="stdout", text=text),
        new_output("stream", name="stderr", text="\r 50%|####    | 1/2\r100%|########| 2/2"),
        new_output("display_data", data={"text/html": f"<b>{ROOT}/a</b>", "image/png": "aGk="}),
    ]
    dirty = new_notebook(
        cells=[new_code_cell("x", outputs=outputs)],
        metadata={"widgets": {}, "papermill": {}, "language_info": {"name": "python", "version": "3.1"}},
    )
    clean = _cleaned(dirty)
    assert clean.cells[0].outputs[0].text == (
        "results/x.csv . ../shared/data https://example.org/a ~/.cache\n<cell>:1: UserWarning: <Line2D at 0x...>"
    )
    assert clean.cells[0].outputs[1].data == {"text/html": "<b>a</b>", "image/png": "aGk="}
    assert clean.metadata == {"language_info": {"name": "python"}}
    nbformat.validate(clean)

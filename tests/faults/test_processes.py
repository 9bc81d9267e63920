"""Processes that share a folder or are killed at any moment: nothing is lost, nothing differs, nothing is left over."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import tiny
from faults.processes import Child, wait_for

from ifmsr.errors import InputError
from ifmsr.files import TEMPORARY
from ifmsr.ownership import LOCK, OWNER, owned
from ifmsr.runs import MANIFEST, read_manifest
from ifmsr.training import train

SOAK = os.environ.get("IFMSR_SOAK") == "1"
KILLS = int(os.environ.get("IFMSR_KILLS", "70" if SOAK else "2"))
PAIRS = 8 if SOAK else 1
TIMES = ["seconds"]


def ends(process, code=0):
    """What a process wrote to its standard error, once it has ended with this code."""
    ended, said = process.end()
    assert ended == code, said[-2000:]
    return said


def test_an_owner_is_named_and_a_refused_process_changes_nothing(tmp_path):
    first = Child("train", tmp_path)
    wait_for(tmp_path / "checkpoint.pt")
    os.kill(first.pid, signal.SIGSTOP)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    parts = tiny.parts()
    try:
        with pytest.raises(InputError, match=rf"process {first.pid}, started 20.*, trains in it now"):
            train(tiny.CONFIG, parts[:1], [], tmp_path, resume=False)
        after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
        assert after == before and OWNER in before
    finally:
        os.kill(first.pid, signal.SIGCONT)
    ends(first)
    assert not (tmp_path / OWNER).exists()


def test_a_folder_is_free_again_when_its_owner_is_killed(tmp_path):
    first = Child("train", tmp_path)
    wait_for(tmp_path / OWNER)
    os.kill(first.pid, signal.SIGKILL)
    ends(first, -signal.SIGKILL)
    with owned(tmp_path, "tests"), owned(tmp_path, "tests"):  # the same thread again
        assert json.loads((tmp_path / OWNER).read_text())["pid"] == os.getpid()
    assert not (tmp_path / OWNER).exists()


def test_of_two_trainings_one_is_refused(tmp_path):
    for number in range(PAIRS):
        both = [Child("train", tmp_path / str(number)) for _ in range(2)]
        ended = [process.end() for process in both]
        codes, said = sorted(code for code, _ in ended), [text for _, text in ended]
        refused = [text for text in said if "in it now" in text]
        assert (codes == [0, 1] and len(refused) == 1) or codes == [0, 0], said
        assert (tmp_path / str(number) / "weights.safetensors").exists()


def test_two_evaluations_of_one_folder_lose_no_row(tmp_path):
    for number in range(PAIRS):
        folder = tmp_path / str(number)
        both = [Child("evaluate", folder, methods) for methods in ("a,b", "c,d")]
        for process in both:
            ends(process)
        rows = pd.read_csv(folder / "rows.csv")
        assert rows.groupby("method").size().to_dict() == dict.fromkeys("abcd", 6)
        assert read_manifest(folder)["config"]["methods"] == list("abcd")
        assert len(list((folder / "cubes").rglob("*.npy"))) == 24 and not (folder / "partial").exists()


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    cells = [nbformat.v4.new_code_cell("seed = 0", metadata={"tags": ["parameters"]})]
    cells += [
        nbformat.v4.new_code_cell(f"import time; time.sleep(0.1); print({number} + seed)")
        for number in range(3)
    ]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    path = tmp_path_factory.mktemp("notebook") / "n.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return str(path)


def same_training(a: Path, b: Path) -> None:
    tiny.assert_same_weights(tiny.weights_of(a), tiny.weights_of(b))
    logs = [pd.read_csv(folder / "log.csv").drop(columns=TIMES) for folder in (a, b)]
    pd.testing.assert_frame_equal(*logs)


def same_evaluation(a: Path, b: Path) -> None:
    rows = [pd.read_csv(folder / "rows.csv").drop(columns=TIMES) for folder in (a, b)]
    pd.testing.assert_frame_equal(*rows)
    assert read_manifest(a)["data"] == read_manifest(b)["data"]
    for cube in (a / "cubes").rglob("*.npy"):
        np.testing.assert_array_equal(np.load(cube), np.load(b / cube.relative_to(a)))
    assert not (b / "partial").exists()


def same_notebook(a: Path, b: Path) -> None:
    assert set(read_manifest(a / "n")["files"]) == set(read_manifest(b / "n")["files"]) and read_manifest(b)
    outputs = [
        [cell.get("outputs") for cell in nbformat.read(folder / "n" / "n.ipynb", 4).cells]
        for folder in (a, b)
    ]
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("what", "same"), [("train", same_training), ("evaluate", same_evaluation), ("run", same_notebook)]
)
def test_killed_at_random_moments_it_ends_as_if_it_had_not_been(what, same, notebook, tmp_path, capsys):
    about = {"evaluate": "a,b", "run": notebook}.get(what, "")
    began = time.monotonic()
    ends(Child(what, tmp_path / "whole", about))
    whole = time.monotonic() - began
    random = np.random.default_rng(0)
    kills = survived = 0
    while kills < (KILLS if what == "train" or SOAK else max(KILLS - 1, 1)):
        folder = tmp_path / f"killed-{kills}"
        process = Child(what, folder, about)
        wait_for(folder / {"evaluate": "task.json"}.get(what, OWNER))
        time.sleep(random.uniform(0, whole / 2))
        with suppress(ProcessLookupError):  # it was faster
            os.killpg(process.pid, signal.SIGKILL)
        code, _ = process.end()
        survived += code == 0
        kills += 1
        ends(Child(what, folder, about))
        same(tmp_path / "whole", folder)
        left = {path.name for path in folder.rglob("*")}
        assert not {name for name in left if TEMPORARY.fullmatch(name)} and OWNER not in left, left
    with capsys.disabled():
        print(f"\n{what}: {kills - survived} killed of {kills}, all ended alike")


def test_locks_and_owners_are_no_results(tmp_path):
    with owned(tmp_path / "run", "tests"):
        assert (tmp_path / "run" / LOCK).exists()
    assert not (tmp_path / "run" / MANIFEST).exists()

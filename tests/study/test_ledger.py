import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pandas as pd
import pytest
from tiny import Counting, files_of

from ifmsr.errors import InputError
from ifmsr.files import sha256
from ifmsr.inference.api import load_method
from ifmsr.methods.bicubic import Bicubic
from ifmsr.paths import ROOT
from ifmsr.runs import read_manifest
from ifmsr.study.evaluation import Task, evaluate
from ifmsr.study.rows import read_rows

TASK = Task("indian-pines", "spatial", seeds=(0, 1), side=48)


@dataclass
class Scaled(Bicubic):
    """Bicubic with a setting."""

    factor: float = 1.0

    def __call__(self, observation):
        return self.factor * super().__call__(observation)


def test_a_changed_setting_replaces_the_row(tmp_path):
    before = evaluate(TASK, {"scaled": Scaled()}, tmp_path)
    with pytest.warns(UserWarning, match="scaled is measured again: its settings"):
        rows = evaluate(TASK, {"scaled": Scaled(0.5)}, tmp_path)
    assert (rows["PSNR"] < before["PSNR"] - 5).all() and len(rows) == 2
    assert rows["made_by"].nunique() == 1 and rows["made_by"][0] != before["made_by"][0]


@pytest.mark.cpu
def test_another_precision_replaces_the_row(tmp_path, computes_bfloat16):
    if not computes_bfloat16:
        pytest.skip("this processor computes in float32 either way")
    task = Task("indian-pines", "spatial", side=16)
    before = evaluate(task, {"ifmsr": load_method("ifmsr", 4)}, tmp_path)
    with pytest.warns(UserWarning, match="settings"):
        rows = evaluate(task, {"ifmsr": load_method("ifmsr", 4, precision="bfloat16")}, tmp_path)
    assert "inference in bfloat16" in rows["schedule"].item() and rows["PSNR"].item() != before["PSNR"].item()


def test_changed_code_replaces_the_row(tmp_path, monkeypatch):
    evaluate(TASK, {"bicubic": Bicubic()}, tmp_path)
    monkeypatch.setattr("ifmsr.study.made_by._code", lambda method: "0123abcd")
    with pytest.warns(UserWarning, match="bicubic is measured again: its code has changed"):
        rows = evaluate(TASK, {"bicubic": Bicubic()}, tmp_path)
    assert set(rows["made_by"].str.partition("-")[2]) == {"0123abcd"}


@pytest.fixture
def silent(tmp_path):
    """A finished evaluation whose rows have no `made_by`."""
    evaluate(TASK, {"bicubic": Counting("w"), "second": Counting("v")}, tmp_path)
    rows = pd.read_csv(tmp_path / "rows.csv").drop(columns="made_by")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    rows.to_csv(tmp_path / "rows.csv", index=False)
    manifest["files"]["rows.csv"] = sha256(tmp_path / "rows.csv")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_rows_that_do_not_say_what_made_them_are_kept_with_a_warning(silent):
    assert set(read_rows(silent)["made_by"]) == {""}
    method, before = Counting("w"), files_of(silent)
    with pytest.warns(
        UserWarning, match="rows of bicubic do not record the settings and code that made them; they are kept"
    ):
        evaluate(TASK, {"bicubic": method}, silent)
    assert method.calls == 0 and files_of(silent) == before
    evaluate(TASK, {"third": Counting()}, silent)
    made = read_rows(silent).groupby("method")["made_by"].unique()
    assert list(made["Bicubic"]) == [""] == list(made["second"]) and len(made["third"][0]) == 17


def test_rows_that_do_not_say_what_made_them_are_never_mixed_with_others(silent):
    other = Counting("x")
    with pytest.warns(UserWarning, match="its weights or its precision have changed"):
        evaluate(TASK, {"bicubic": other}, silent)
    assert other.calls == 2
    (silent / "cubes" / "second" / "test-s1.npy").unlink()
    second = Counting("v")
    with pytest.warns(UserWarning, match="its cubes are missing"):
        evaluate(TASK, {"second": second}, silent)
    assert second.calls == 2 and (read_rows(silent)["made_by"] != "").all()


def test_methods_are_measured_again_on_request(silent):
    method = Counting("w", breaks_at=1)
    with pytest.raises(RuntimeError, match="power"):
        evaluate(TASK, {"bicubic": method}, silent, again=True)
    method = Counting("w")
    rows = evaluate(TASK, {"bicubic": method}, silent, again=True)
    assert method.calls == 1 and (rows.query("method == 'bicubic'")["made_by"] != "").all()
    evaluate(TASK, {"bicubic": method}, silent, again=True)
    assert method.calls == 3


def test_rows_that_were_edited_raise(tmp_path):
    evaluate(TASK, {"bicubic": Bicubic()}, tmp_path)
    text = (tmp_path / "rows.csv").read_text()
    (tmp_path / "rows.csv").write_text(text.replace("bicubic,,", "bicubic,better,"))
    with pytest.raises(InputError, match="changed after its run had finished"):
        evaluate(TASK, {"second": Bicubic()}, tmp_path)


WORKER = """
import sys, time
from pathlib import Path
from ifmsr.methods.bicubic import Bicubic
from ifmsr.study.evaluation import Task, evaluate

TASK = Task("indian-pines", "spatial", seeds=(0, 1, 2, 3), side=24)


class Slow(Bicubic):
    seconds = 0.0

    def __call__(self, observation):
        time.sleep(self.seconds)
        return super().__call__(observation)


if __name__ == "__main__":
    name, out, Slow.seconds, *others = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]
    Path(f"{out}-{name}").touch()
    while not all(Path(f"{out}-{other}").exists() for other in others):
        time.sleep(0.02)
    evaluate(TASK, {name: Slow()}, out)
"""


@pytest.fixture
def worker(tmp_path):
    """A script that evaluates a slow method in a folder, once the others are ready too."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def start(name, out, seconds, *others):
        command = [sys.executable, script, name, out, seconds, *others]
        return subprocess.Popen(list(map(str, command)), env=environment, stderr=subprocess.DEVNULL)

    return start


def test_two_processes_in_one_folder_lose_nothing(worker, tmp_path):
    out = tmp_path / "out"
    both = [worker("one", out, 0.05, "two"), worker("two", out, 0.07, "one")]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    rows = read_rows(out)
    assert dict(rows.groupby("method").size()) == {"one": 4, "two": 4}
    assert set(read_manifest(out)["config"]["methods"]) == {"one", "two"}
    assert len(list((out / "cubes").glob("*/*.npy"))) == 8 and not (out / "partial").exists()


def test_a_killed_process_leaves_the_finished_run_and_its_own_rows(worker, tmp_path, monkeypatch):
    out = tmp_path / "out"
    started = worker("two", out, 0.5)
    monkeypatch.syspath_prepend(tmp_path)
    from worker import TASK, Slow

    evaluate(TASK, {"one": Bicubic()}, out)
    before, partial = files_of(out), out / "partial" / "rows.csv"
    wait_for(lambda: partial.exists() and partial.read_text().count("two") >= 2)
    started.kill()
    assert started.wait(timeout=60) == -signal.SIGKILL
    assert files_of(out) == before and read_manifest(out)
    kept = pd.read_csv(partial)
    evaluate(TASK, {"two": Slow()}, out)
    after = pd.read_csv(out / "rows.csv").query("method == 'two'")
    assert len(after) == 4 and set(kept["seconds"]) <= set(after["seconds"])
    assert min(kept["seconds"]) >= 0.5 > min(after["seconds"])


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)

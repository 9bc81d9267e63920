"""The runs of a study, in processes of their own, with methods of another package whose code can be changed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import psutil
import pytest
from strangers import DATA_SET

from ifmsr.errors import InputError
from ifmsr.experiments import study_processes, study_runs
from ifmsr.experiments.study_rows import StudyRow
from ifmsr.experiments.study_runs import run_of, run_row
from ifmsr.ownership import owned
from ifmsr.paths import ROOT
from ifmsr.runs import read_manifest
from ifmsr.training import PRESETS

HEAD = "data,scale,method,split,seed,preset\n"
FILES = {
    "strange/__init__.py": "",
    "strange/data.py": DATA_SET.replace("Stripes", "Waves"),
    "strange/one.py": """
class One:
    title, schedule = "One", ""

    def __call__(self, observation):
        return observation.lr.repeat(observation.scale, axis=1).repeat(observation.scale, axis=2)
""",
    "strange/two.py": """
class Two:
    title, schedule = "Two", ""

    def __call__(self, observation):
        return 0.9 * observation.lr.repeat(observation.scale, axis=1).repeat(observation.scale, axis=2)
""",
    "strange/bad.py": """
import os, signal, time
from pathlib import Path

class Fails:
    title, schedule = "Fails", ""

    def __call__(self, observation):
        raise ValueError("no light")

class Dies(Fails):
    def __call__(self, observation):
        os.kill(os.getpid(), signal.SIGKILL)

class Sleeps(Fails):
    def __call__(self, observation):
        Path("sleeps").write_text(str(os.getpid()))
        time.sleep(60)
""",
    "strange-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n",
    "strange-1.0.dist-info/entry_points.txt": """
[ifmsr.datasets]
waves = strange.data:Waves

[ifmsr.methods]
one = strange.one:One
two = strange.two:Two
fails = strange.bad:Fails
dies = strange.bad:Dies
sleeps = strange.bad:Sleeps
""",
}


@pytest.fixture
def site(tmp_path):
    """The folder of an installed package, from which methods of a study come."""
    for name, content in FILES.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "site"


@pytest.fixture
def start(site, tmp_path):
    """A function that starts `ifmsr study` with these methods on x4 in an empty folder."""
    here = tmp_path / "here"
    here.mkdir()
    path = os.pathsep.join([str(site), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def process(methods, *arguments):
        lines = [f"waves,4,{method},only,0,\n" for method in methods]
        (here / "study.csv").write_text(HEAD + "".join(lines))
        words = [sys.executable, "-m", "ifmsr", "study", "study.csv", "--out", "out", *arguments]
        return subprocess.Popen(
            words, cwd=here, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return process


@pytest.fixture
def study(start):
    """A function that runs a study and returns its exit code, output and errors."""

    def run(methods, *arguments):
        process = start(methods, *arguments)
        said, warned = process.communicate()
        return process.returncode, said, warned

    return run


def runs(folder):
    """The folders of rows and when their manifests were written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/manifest.json")}


def test_what_is_missing_runs_once_and_a_changed_method_runs_alone(study, site, tmp_path):
    out = tmp_path / "here" / "out"
    code, said, _ = study(["bicubic", "one", "two"], "--workers", "2")
    assert code == 0 and said.splitlines()[-1] == "out/table.csv"
    table = pd.read_csv(out / "table.csv")
    assert list(table["method"]) == ["bicubic", "one", "two"] and set(table["state"]) == {"finished"}
    assert (
        table["PSNR"].is_monotonic_decreasing and (table["scenes"] == 1).all() and table["error"].isna().all()
    )
    before = runs(out)
    assert set(before) == {Path(folder).name for folder in table["folder"]}

    logs = {path: path.stat().st_mtime_ns for path in out.glob("*/run.log")}
    code, _, _ = study(["bicubic", "one", "two"])
    assert code == 0 and runs(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/run.log")} == logs  # no process was started
    pd.testing.assert_frame_equal(pd.read_csv(out / "table.csv"), table)

    text = (site / "strange" / "one.py").read_text()
    (site / "strange" / "one.py").write_text(text.replace("return obs", "return 0.5 * obs"))
    code, _, _ = study(["bicubic", "one", "two"])
    after = runs(out)
    assert code == 0 and before.items() <= after.items()
    (new,) = after.keys() - before.keys()
    assert new.startswith("waves-x4-one-only-s0-")
    again = pd.read_csv(out / "table.csv").set_index("method")
    assert again.loc["one", "folder"] == f"out/{new}" and again.loc["one", "PSNR"] < table["PSNR"][1] - 1
    assert (again["PSNR"].drop("one").to_numpy() == table["PSNR"].drop(1).to_numpy()).all()


def test_a_bad_row_does_not_stop_the_others_and_is_named(study, tmp_path):
    code, _, warned = study(["fails", "dies", "one"])
    assert code == 1 and "ifmsr: 2 of 3 rows failed" in warned
    assert "waves-x4-fails-only-s0: ValueError: no light" in warned
    table = pd.read_csv(tmp_path / "here" / "out" / "table.csv").set_index("method")
    assert list(table["state"]) == ["failed", "failed", "finished"]
    assert table.loc["fails", "error"] == "ValueError: no light"
    assert table.loc["dies", "error"] == "its process was ended by signal 9"
    assert table["PSNR"].isna().tolist() == [True, True, False]


def test_data_that_are_missing_make_one_row_unavailable(tmp_path, monkeypatch):
    monkeypatch.setenv("IFMSR_DATA", str(tmp_path / "nothing"))
    here, missing = (
        StudyRow("indian-pines", 4, "bicubic", "spatial"),
        StudyRow("cave", 4, "bicubic", "figure4"),
    )
    monkeypatch.setattr(
        study_processes, "_run_all", lambda runs, *_: {run.row.name: "not run" for run in runs}
    )
    with pytest.warns(UserWarning, match=r"cave-x4-bicubic-figure4-s0: .*there is no such folder"):
        table = study_processes.run_study("study.csv", [here, missing], tmp_path)
    assert list(table["error"].str.contains("no such folder")) == [False, True]
    assert run_of(missing, tmp_path).state == "unavailable"
    with pytest.raises(
        InputError, match=r"cave-x4-bicubic-figure4-s0: it cannot be run here\. .*no such folder"
    ):
        run_row(missing, tmp_path)


def test_an_end_of_the_study_ends_its_processes(start, tmp_path):
    process = start(["sleeps"])
    note, until = tmp_path / "here" / "sleeps", time.monotonic() + 60
    while not (note.exists() and note.read_text()):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)
    child = psutil.Process(int(note.read_text()))
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def edited(monkeypatch):
    """Replaces the text of one of our source files, and counts training as anything else does."""
    genuine = Path.read_text

    def edit(name):
        def read(path, *arguments, **named):
            return genuine(path, *arguments, **named) + ("\nEXTRA = 1\n" if path == ROOT / name else "")

        monkeypatch.setattr(Path, "read_text", read)

    return edit


ROWS = {
    "bicubic": StudyRow("indian-pines", 4, "bicubic", "spatial"),
    "closed-form": StudyRow("indian-pines", 4, "closed-form", "spatial"),
    "ifmsr": StudyRow("indian-pines", 4, "ifmsr", "spatial"),
    "trained": StudyRow("indian-pines", 4, "ifmsr", "spatial", preset="smoke"),
    "subspace-net": StudyRow("indian-pines", 4, "subspace-net", "spatial", preset="subspace-net"),
}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("ifmsr/methods/closed_form/detail_gain.py", {"closed-form", "subspace-net"}),
        ("ifmsr/methods/ifmsr/network.py", {"ifmsr", "trained"}),
        ("ifmsr/methods/mog_dcn/network.py", set()),
        ("ifmsr/training/loop.py", {"trained", "subspace-net"}),
        ("ifmsr/training/solved.py", {"subspace-net"}),
        ("ifmsr/training/presets.py", set()),
        ("ifmsr/degradation/protocol.py", set(ROWS)),
        ("ifmsr/scenes/indian_pines.py", set(ROWS)),
        ("ifmsr/scenes/cave.py", set()),
        ("ifmsr/io/geotiff.py", set()),
        ("ifmsr/experiments/study_runs.py", set()),
    ],
)
def test_the_code_that_decides_a_row_changes_its_folder(edited, name, changed):
    before = {key: run_of(row, "out").folder for key, row in ROWS.items()}
    edited(name)
    after = {key: run_of(row, "out").folder for key, row in ROWS.items()}
    assert {key for key in ROWS if after[key] != before[key]} == changed


def test_settings_of_the_training_and_seeds_change_a_rows_folder(monkeypatch):
    row = ROWS["trained"]
    before = run_of(row, "out").folder
    monkeypatch.setitem(PRESETS, "smoke", replace(PRESETS["smoke"], epochs=4))
    other = run_of(row, "out").folder
    assert other != before and run_of(replace(row, seed=1), "out").folder != other
    monkeypatch.setitem(PRESETS, "smoke", replace(PRESETS["smoke"], epochs=4, checkpoint_every=1))
    assert run_of(row, "out").folder == other  # how often it is saved decides nothing


def test_a_row_with_a_preset_is_trained_then_measured_once(tmp_path, monkeypatch):
    tiny = replace(
        PRESETS["smoke"], options={"features": 2}, epochs=1, crops_per_scene=2, batch=2, bands_per_step=1
    )
    monkeypatch.setitem(PRESETS, "smoke", tiny)
    row = replace(ROWS["trained"], seed=3)
    folder = run_row(row, tmp_path)
    measured = pd.read_csv(folder / "rows.csv")
    assert measured["schedule"][0].startswith("1 epochs x 1 scenes x 2 patches") and measured["seed"][0] == 3
    training = read_manifest(folder / "training")
    assert training["seeds"] == [3] and training["files"]["weights.safetensors"].startswith(
        measured["weights"][0]
    )
    assert json.loads((folder / "row.json").read_text())["stages"][0]["seed"] == 3
    for part in ("train_in_stages", "evaluate"):
        monkeypatch.setattr(study_runs, part, None)
    assert run_row(row, tmp_path) == folder


def test_a_row_has_one_owner(tmp_path):
    with (
        owned(run_of(ROWS["bicubic"], tmp_path).folder, "runs this row"),
        pytest.raises(InputError, match="runs this row in it now"),
    ):
        in_another_thread(lambda: run_row(ROWS["bicubic"], tmp_path))


def in_another_thread(function):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_a_result_that_was_changed_is_an_error_in_the_table(tmp_path):
    folder = run_row(ROWS["bicubic"], tmp_path)
    (folder / "rows.csv").write_text((folder / "rows.csv").read_text() + "\n")
    table = study_processes.run_study("study.csv", [ROWS["bicubic"]], tmp_path)
    assert table["state"].item() == "failed" and "it was changed after its run" in table["error"].item()


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """`ifmsr` and `srun` as commands, and a study of three rows without training."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, words in {"ifmsr": f'exec {sys.executable} -m ifmsr "$@"', "srun": 'exec "$@"'}.items():
        (commands / name).write_text(f"#!/bin/sh\n{words}\n")
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rows = [f"indian-pines,{scale},bicubic,spatial,0,\n" for scale in (4, 8, 2)]
    (tmp_path / "study.csv").write_text(HEAD + "".join(rows))
    return tmp_path


def test_the_slurm_script_runs_the_row_of_its_task(tools):
    here = {"STUDY": str(tools / "study.csv"), "OUT": str(tools / "out")}
    slurm = {"SLURM_ARRAY_TASK_ID": "2", "SLURM_CPUS_PER_TASK": "1"}
    subprocess.run(
        ["bash", ROOT / "workflow" / "study.sbatch"],
        env={**os.environ, **here, **slurm},
        check=True,
        cwd=tools,
    )
    (manifest,) = (tools / "out").glob("*/manifest.json")
    assert manifest.parent.name.startswith("indian-pines-x8-bicubic-spatial-s0-")


@pytest.mark.skipif(shutil.which("snakemake") is None, reason="snakemake is not installed")
def test_snakemake_runs_each_row_once(tools):
    words = ["snakemake", "--snakefile", ROOT / "workflow" / "Snakefile", "--cores", "1"]
    words += ["--config", f"study={tools / 'study.csv'}", f"out={tools / 'out'}"]

    def snakemake(*more):
        done = subprocess.run([*words, *more], cwd=tools, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert re.search(r"row +3\n", snakemake("--dry-run")) and not (tools / "out").exists()
    snakemake()
    before = runs(tools / "out")
    assert len(before) == 3 and (pd.read_csv(tools / "out" / "table.csv")["state"] == "finished").all()
    assert "Nothing to be done" in snakemake()
    with (tools / "study.csv").open("a") as file:
        file.write("indian-pines,4,bicubic,spatial,1,\n")
    snakemake()
    after = runs(tools / "out")
    assert before.items() <= after.items() and len(after) == 4

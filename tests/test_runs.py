import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from ifmsr import runs
from ifmsr.errors import InputError
from ifmsr.files import sha256
from ifmsr.paths import ROOT, in_project
from ifmsr.runs import Run, git_state, read_manifest


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A project in git with one commit, in place of this one."""
    root = (tmp_path / "project").resolve()
    root.mkdir()
    (root / "code.py").write_text("1")
    git(root, "init")
    git(root, "add", "code.py")
    git(root, "commit", "-m", "first")
    monkeypatch.setattr(runs, "ROOT", root)
    return root


def test_manifest_holds_everything_that_made_the_run(tmp_path, repository):
    before = datetime.now(UTC).replace(microsecond=0)
    with Run(tmp_path / "new" / "run", {"scale": 4}, seeds=range(2), data={"face": "ab12"}) as run:
        run.record("rows.csv").write_text("a,b\n")
    manifest = read_manifest(tmp_path / "new" / "run")
    assert manifest["git"] == {"commit": git(repository, "rev-parse", "HEAD"), "dirty": False}
    assert manifest["config"] == {"scale": 4}
    assert manifest["seeds"] == [0, 1]
    assert manifest["data"] == {"face": "ab12"}
    assert manifest["files"] == {"rows.csv": sha256(tmp_path / "new" / "run" / "rows.csv")}
    assert set(manifest["versions"]) == {"python", "ifmsr", "torch", "numpy", "scipy"}
    assert manifest["versions"]["numpy"] == np.__version__
    assert set(manifest["machine"]) == {"system", "processor", "cpus", "gpu", "tf32"}
    started, finished = (datetime.fromisoformat(manifest[key]) for key in ("started", "finished"))
    assert before <= started <= finished <= datetime.now(UTC)
    assert manifest["seconds"] >= 0


def test_a_run_computes_without_tf32_and_says_so_unless_it_was_allowed_inside(tmp_path):
    assert torch.backends.cudnn.allow_tf32
    for allowed in (False, True):
        with Run(tmp_path):
            assert not torch.backends.cudnn.allow_tf32
            torch.backends.cudnn.allow_tf32 = allowed
        assert torch.backends.cudnn.allow_tf32
        assert read_manifest(tmp_path)["machine"]["tf32"] == allowed
    with pytest.raises(ZeroDivisionError), Run(tmp_path):
        raise ZeroDivisionError
    assert torch.backends.cudnn.allow_tf32


def test_what_becomes_known_later_is_added(tmp_path):
    with Run(tmp_path, {"scale": 4}, data={"a": "1"}) as run:
        run.update(config={"methods": ("bicubic",)}, data={"b": "2"})
    manifest = read_manifest(tmp_path)
    assert manifest["config"] == {"scale": 4, "methods": ["bicubic"]}
    assert manifest["data"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_broken_run_has_no_manifest_even_if_an_earlier_one_was_finished(tmp_path, error):
    with Run(tmp_path):
        pass
    read_manifest(tmp_path)
    with pytest.raises(error), Run(tmp_path) as run:
        run.record("rows.csv").write_text("half")
        assert not (tmp_path / "manifest.json").exists()
        raise error
    assert (tmp_path / "rows.csv").read_text() == "half"
    with pytest.raises(InputError, match=r"unfinished.*ifmsr evaluate"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_run_that_fails_before_its_first_result_leaves_the_earlier_one_finished(tmp_path, error):
    with Run(tmp_path, {"scale": 4}) as run:
        run.record("rows.csv").write_text("31.2")
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(error), Run(tmp_path, {"scale": 8}):
        raise error
    assert (tmp_path / "manifest.json").read_bytes() == before
    assert read_manifest(tmp_path)["config"] == {"scale": 4}


def test_a_run_can_be_finished_before_it_is_left(tmp_path):
    with Run(tmp_path) as run:
        run.record("rows.csv").write_text("31.2")
        run.finish()
        before = read_manifest(tmp_path)
        run.update(config={"late": 1})
    assert read_manifest(tmp_path) == before
    with pytest.raises(InputError, match="unfinished"), Run(tmp_path) as run:
        run.unfinish()
        read_manifest(tmp_path)


def test_a_recorded_file_that_was_not_written_breaks_the_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"rows\.csv"), Run(tmp_path) as run:
        run.record("rows.csv")
    assert not (tmp_path / "manifest.json").exists()


def test_only_files_inside_the_run_are_recorded(tmp_path):
    with Run(tmp_path / "run") as run:
        assert run.record(tmp_path / "run" / "inside.txt") == run.record("inside.txt")
        run.record("inside.txt").write_text("x")
        with pytest.raises(InputError, match="outside"):
            run.record("../beside.txt")
    assert list(read_manifest(tmp_path / "run")["files"]) == ["inside.txt"]


def test_a_run_stays_in_its_folder_when_the_current_one_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Run("mine") as run:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        run.record("a.txt").write_text("a")
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["a.txt", "manifest.json"]


def test_no_absolute_paths_but_the_way_back(tmp_path):
    config = {
        "root": tmp_path,
        "text": str(ROOT / "results" / "x"),
        "deep": [{"given": "results/y"}],
        "none": None,
    }
    with Run(tmp_path / "run", config, data={ROOT / "notebooks" / "a.ipynb": "12"}):
        pass
    stored = read_manifest(tmp_path / "run")
    assert f'"{tmp_path}' not in (tmp_path / "run" / "manifest.json").read_text()
    assert in_project(stored["config"]["root"]).resolve() == tmp_path.resolve()
    assert stored["config"]["text"] == "results/x"
    assert stored["config"]["deep"] == [{"given": "results/y"}]
    assert stored["config"]["none"] is None
    assert list(stored["data"]) == ["notebooks/a.ipynb"]


def test_numpy_numbers_and_tuples_are_stored_as_plain_ones(tmp_path):
    with Run(tmp_path, {"a": (np.float32(0.5), np.int64(3)), "b": np.bool_(True)}, seeds=np.arange(2)):
        pass
    manifest = read_manifest(tmp_path)
    assert manifest["config"] == {"a": [0.5, 3], "b": True}
    assert manifest["seeds"] == [0, 1]


def test_what_json_cannot_hold_raises_before_the_work(tmp_path):
    with pytest.raises(InputError, match="config"):
        Run(tmp_path, {"cube": np.zeros(3)})


def test_missing_and_broken_manifests_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.*no such run"):
        read_manifest(tmp_path / "nowhere")
    for content in ("{", "[1]", "{}", '{"files": 3}'):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(InputError, match=r"manifest\.json"):
            read_manifest(tmp_path)


def test_changed_and_missing_results_raise(tmp_path):
    with Run(tmp_path) as run:
        run.record("rows.csv").write_text("31.2")
    (tmp_path / "rows.csv").write_text("45.8")
    with pytest.raises(InputError, match=r"rows\.csv.*changed"):
        read_manifest(tmp_path)
    (tmp_path / "rows.csv").unlink()
    with pytest.raises(InputError, match=r"rows\.csv.*missing"):
        read_manifest(tmp_path)


def test_git_state_counts_code_but_not_results(repository):
    clean = {"commit": git(repository, "rev-parse", "HEAD"), "dirty": False}
    assert git_state() == clean
    (repository / "results").mkdir()
    (repository / "results" / "rows.csv").write_text("1")
    assert git_state() == clean
    (repository / "new.py").write_text("2")
    assert git_state() == {**clean, "dirty": True}


def test_git_state_is_the_commit_at_the_start(repository, tmp_path):
    first = git(repository, "rev-parse", "HEAD")
    with Run(tmp_path / "run"):
        git(repository, "commit", "--allow-empty", "-m", "second")
    assert read_manifest(tmp_path / "run")["git"]["commit"] == first


def test_no_git_is_none_and_another_projects_git_too(repository, tmp_path, monkeypatch):
    inner = repository / "site-packages"
    inner.mkdir()
    monkeypatch.setattr(runs, "ROOT", inner)
    assert git_state() is None
    monkeypatch.setattr(runs, "ROOT", repository)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state() is None


def test_manifest_is_json_that_people_read(tmp_path):
    with Run(tmp_path, {"scale": 4}):
        pass
    text = (tmp_path / "manifest.json").read_text()
    assert text == json.dumps(json.loads(text), indent=2) + "\n"

import json
import os
import shutil
import subprocess
import sys

import pytest

from ifmsr import paths
from ifmsr.errors import InputError
from ifmsr.experiments import cards
from ifmsr.files import sha256
from ifmsr.inference.api import load_method
from ifmsr.paths import PACKAGE, ROOT, WEIGHTS, data_root, find_weights, in_project, weights_folders
from ifmsr.weights import shipped_weights


@pytest.fixture
def two_folders(tmp_path, monkeypatch):
    """Empty folders in place of results/weights and of what the package ships."""
    own, shipped = tmp_path / "results" / "weights", tmp_path / "shipped" / "weights"
    own.mkdir(parents=True)
    shipped.mkdir(parents=True)
    monkeypatch.delenv("IFMSR_WEIGHTS", raising=False)
    monkeypatch.setattr(paths, "WEIGHTS", own)
    monkeypatch.setattr(paths, "SHIPPED", shipped.parent)
    return own, shipped


def test_a_checkout_is_its_own_root_whatever_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IFMSR_DATA", raising=False)
    monkeypatch.delenv("IFMSR_WEIGHTS", raising=False)
    assert PACKAGE.parent == ROOT and data_root() == ROOT / "data"
    assert weights_folders() == [ROOT / "results" / "weights"]
    assert in_project("results/x") == ROOT / "results" / "x" and in_project(tmp_path) == tmp_path


def test_an_installed_package_keeps_to_the_current_folder(tmp_path):
    site, here = tmp_path / "site", tmp_path / "here"
    shutil.copytree(PACKAGE, site / "ifmsr", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "pyproject.toml").write_text("")  # some packages install theirs by mistake
    (site / "ifmsr" / "shipped" / "weights").mkdir(parents=True)
    (site / "ifmsr" / "shipped" / "weights" / "a.safetensors").write_text("")
    (here / "data").mkdir(parents=True)
    subprocess.run(["git", "-C", here, "init", "--quiet"], check=True)
    program = """
import json
from pathlib import Path
from ifmsr import paths
from ifmsr.notebooks.in_place import HERE
from ifmsr.runs import Run, git_state

with Run("results/mine", {"root": Path("data").absolute()}):
    pass
print(json.dumps([
    str(paths.RESULTS.absolute()), str(paths.data_root().absolute()), str(paths.in_project("results/x").absolute()),
    [str(folder.absolute()) for folder in paths.weights_folders()],
    str(paths.in_project("results/weights/a.safetensors").absolute()), git_state(), str(HERE),
]))
"""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("IFMSR_")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=here, env=clean | {"PYTHONPATH": str(site)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    results, data, x, folders, weights, git, place = json.loads(done.stdout)
    assert (
        results == str(here / "results") and data == str(here / "data") and x == str(here / "results" / "x")
    )
    assert folders == [str(here / "results" / "weights"), str(site / "ifmsr" / "shipped" / "weights")]
    assert weights == str(site / "ifmsr" / "shipped" / "weights" / "a.safetensors")
    assert git is None and place == str(here)
    assert json.loads((here / "results" / "mine" / "manifest.json").read_text())["config"] == {"root": "data"}


def test_weights_are_looked_for_in_the_users_folder_then_in_results_then_in_the_package(
    two_folders, tmp_path, monkeypatch
):
    own, shipped = two_folders
    for folder in (shipped, own, tmp_path):
        (folder / "ifmsr-x4.safetensors").write_text("")
    assert find_weights("ifmsr-x4.safetensors") == own / "ifmsr-x4.safetensors"
    monkeypatch.setenv("IFMSR_WEIGHTS", str(tmp_path))
    assert shipped_weights("ifmsr-x4") == tmp_path / "ifmsr-x4.safetensors"
    monkeypatch.delenv("IFMSR_WEIGHTS")
    (own / "ifmsr-x4.safetensors").unlink()
    assert shipped_weights("ifmsr-x4") == shipped / "ifmsr-x4.safetensors"
    assert find_weights("ifmsr-x7.safetensors") is None


def test_a_preset_that_starts_from_shipped_weights_finds_them_in_the_package(two_folders, monkeypatch):
    own, shipped = two_folders
    monkeypatch.setattr(paths, "ROOT", own.parent.parent)
    start = "results/weights/ifmsr-x4.safetensors"
    assert in_project(start) == own / "ifmsr-x4.safetensors"  # named where it is missing everywhere
    (shipped / "ifmsr-x4.safetensors").write_text("")
    assert in_project(start) == shipped / "ifmsr-x4.safetensors"
    assert in_project("results/weights") == own


def test_weights_outside_the_wheel_say_where_they_are(two_folders):
    _, shipped = two_folders
    shutil.copy(WEIGHTS / "mog-dcn-x4.json", shipped)
    with pytest.raises(InputError, match=r"mog-dcn-x4\.safetensors: .*too large") as said:
        load_method("mog-dcn", 4)
    for word in (
        "results/weights of the source repository",
        "git clone --depth 1",
        "IFMSR_WEIGHTS",
        "--weights",
    ):
        assert word in str(said.value)
    with pytest.raises(InputError, match=r"mog-dcn-x8\.safetensors: there are no such weights.*ifmsr train"):
        load_method("mog-dcn", 8)
    assert cards.find(sha256(WEIGHTS / "mog-dcn-x4.safetensors")[:12]) is None


def test_weights_of_the_users_folder_are_found_by_name_and_by_fingerprint(two_folders, monkeypatch):
    monkeypatch.setenv("IFMSR_WEIGHTS", str(WEIGHTS))
    assert load_method("pzres-net", 4).title == "PZRes-Net"
    path = WEIGHTS / "pzres-net-x4.safetensors"
    assert cards.find(sha256(path)[:12]) == path

import subprocess
import sys
from dataclasses import replace

import nbformat
import numpy as np
import pandas as pd
import pytest

from ifmsr.cli import main
from ifmsr.degradation.protocol import degrade
from ifmsr.scenes import Observation, Scene, download, open_dataset
from ifmsr.scenes.indian_pines import IndianPines


@pytest.fixture(scope="module")
def observation():
    part = open_dataset("indian-pines").load("test")
    return degrade(Scene("part", part.cube[::20], rgb_bands=(1, 4, 8)), 4)


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "ifmsr", "doctor"], capture_output=True, text=True)
    assert done.returncode == 0 and "versions: python" in done.stdout and "\nbfloat16: " in done.stdout
    assert subprocess.run([sys.executable, "-m", "ifmsr", "tarin"], capture_output=True).returncode == 2


def test_from_training_to_tables_and_figures(tmp_path, capsys):
    train = (
        "train",
        "--data",
        "indian-pines",
        "--split",
        "spatial",
        "--preset",
        "smoke",
        "--out",
        tmp_path / "t",
    )
    settings = ("epochs=1", "crops_per_scene=2", "batch=2", "bands_per_step=1", "options.features=2")
    assert run(*train, *(word for setting in settings for word in ("--set", setting))) == 0
    weights = capsys.readouterr().out.strip()

    evaluate = ("evaluate", "--data", "indian-pines", "--split", "spatial", "--out", tmp_path / "e")
    assert run(*evaluate, "--method", "bicubic", "--method", "ifmsr", "--weights", weights) == 0
    printed = capsys.readouterr().out
    assert "bicubic" in printed and f"Indian Pines: {IndianPines.caveat}." in printed
    rows = pd.read_csv(tmp_path / "e" / "rows.csv")
    assert list(rows["method"]) == ["bicubic", "ifmsr"] and rows["schedule"][1].startswith(
        "1 epochs x 1 scenes"
    )

    assert run("tables", tmp_path / "e", "--out", tmp_path / "out") == 0
    assert "Indian Pines" in (tmp_path / "out" / "table4.md").read_text()
    assert run("figures", tmp_path / "e", "--out", tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").glob("figure*.png")} == {"figure4.png", "figure5.png"}


def test_weights_to_start_from_take_the_place_of_earlier_stages(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(
        "ifmsr.training.train_in_stages", lambda configs, *_, **__: trained.append(configs) or tmp_path
    )
    train = ("train", "--data", "cave", "--split", "figure4", "--out", tmp_path, "--preset", "ifmsr-wide")
    assert run(*train) == 0 and run(*train, "--set", "start=mine.safetensors") == 0
    (narrow, *_, last), (alone,) = trained
    assert narrow.options == {"features": 16} and alone == replace(last, start="mine.safetensors")


def test_a_competitors_own_degradation_can_be_measured(tmp_path):
    where = ("--data", "indian-pines", "--split", "spatial", "--scale", 8, "--side", 32, "--out", tmp_path)
    assert run("evaluate", *where, "--method", "bicubic", "--degradation", "cms") == 0
    truth = open_dataset("indian-pines").load("test").crop_to_multiple(8, 32).cube
    stored = Observation.load(next((tmp_path / "observations").glob("*.npz")))
    mean = truth.reshape(len(truth), 4, 8, 4, 8).mean(axis=(2, 4))  # CMS's blur
    np.testing.assert_allclose(stored.lr, mean, atol=1e-6)


def test_notebooks_run_with_checked_parameters(tmp_path, capsys):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("scale = 4"), nbformat.v4.new_code_cell("print(scale)")]
    )
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, tmp_path / "01_mine.ipynb")
    assert run("run", tmp_path / "01_mine.ipynb", "-p", "scael", 8, "--out", tmp_path / "out") == 2
    assert "scael" in capsys.readouterr().err
    assert run("run", tmp_path / "01_mine.ipynb", "-p", "scale", 8, "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "01_mine" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("evaluate", "--data", "cave", "--root", "nowhere", "--split", "figure4", "--method", "bicubic"),
            "nowhere",
        ),
        (("evaluate", "--data", "indian-pines", "--split", "figure9", "--method", "bicubic"), "figure9"),
        (
            ("evaluate", "--data", "indian-pines", "--split", "spatial", "--method", "ifmsr", "--scale", 7),
            "x7",
        ),
        (("train", "--data", "indian-pines", "--split", "spatial", "--set", "epoch=3"), "epoch"),
        (("robustness", "--data", "indian-pines", "--split", "spatial", "--method", "ifmsr"), "one scale"),
        (
            ("train", "--data", "indian-pines", "--split", "spatial", "--set", "options.feature=16"),
            "options.features",
        ),
        (
            ("train", "--data", "indian-pines", "--split", "spatial", "--set", "epochs=.nan"),
            "epochs: found nan",
        ),
        (("train", "--data", "indian-pines", "--split", "spatial", "--set", "seed=-1"), "seed: found -1"),
        (("train", "--data", "indian-pines", "--split", "spatial", "--workers", -1), "workers: found -1"),
        (
            (
                "evaluate",
                "--data",
                "indian-pines",
                "--split",
                "spatial",
                "--method",
                "bicubic",
                "--seeds",
                0,
                -1,
            ),
            "seeds: found -1",
        ),
        (
            ("evaluate", "--data", "indian-pines", "--split", "spatial", "--method", "bicubic", "--side", -3),
            "side: found -3",
        ),
        (
            (
                "evaluate",
                "--data",
                "indian-pines",
                "--split",
                "spatial",
                "--method",
                "ifmsr",
                "--device",
                "gpu",
            ),
            "device: 'gpu'",
        ),
        (
            (
                "robustness",
                "--data",
                "indian-pines",
                "--split",
                "spatial",
                "--method",
                "bicubic",
                "--seed",
                -1,
            ),
            "seed: found -1",
        ),
        (("ablations", "--data", "indian-pines", "--split", "spatial", "--side", -1), "side: found -1"),
        (("run", "nowhere.ipynb", "-p", "scale", "["), "value: '['"),
        (("reproduce", "table4", "--scale", 0), "cave-x0"),
        (("tables", "nowhere"), "nowhere"),
        (("figures", "nowhere"), "nowhere"),
        (("super-resolve", "nowhere.mat", "no.png"), "out: unknown file type"),
        (("run", "nowhere.ipynb"), "nowhere.ipynb"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(tmp_path, capsys, arguments, message):
    assert run(*arguments, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("ifmsr: ") and message in error


@pytest.mark.parametrize(
    ("command", "place"),
    [
        (
            ("super-resolve", "lr.npy", "rgb.npy", "--method", "bicubic"),
            "file/sr.npy",
        ),
        (
            ("super-resolve", "lr.npy", "rgb.npy", "--method", "bicubic"),
            "folder.npy",
        ),
        (("train", "--data", "indian-pines", "--split", "spatial"), "file"),
        (("evaluate", "--data", "indian-pines", "--split", "spatial", "--method", "bicubic"), "file/below"),
    ],
)
def test_an_unusable_folder_for_results_is_named(tmp_path, capsys, monkeypatch, observation, command, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder.npy").mkdir()
    np.save("lr.npy", observation.lr)
    np.save("rgb.npy", observation.rgb)
    assert run(*command, "--out", place) == 2
    assert place.partition("/")[0] in capsys.readouterr().err.splitlines()[-1]


def test_a_setting_that_is_no_yaml_ends_with_2(tmp_path, capsys):
    train = ("train", "--data", "indian-pines", "--split", "spatial", "--out", tmp_path)
    assert run(*train, "--set", "epochs=[") == 2
    assert "'[': cannot be read as YAML" in capsys.readouterr().err


def test_a_failing_disk_ends_with_1_and_one_line(tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ifmsr.scenes.download.check", full)
    assert run("data", "check") == 1
    assert capsys.readouterr().err == "ifmsr: [Errno 28] No space left on device\n"


def test_only_what_can_be_fetched_is_fetched(capsys, monkeypatch):
    monkeypatch.setattr(download, "fetch_cave", lambda root: "fetched")
    assert run("data", "fetch", "cave") == run("data", "fetch") == 0
    assert capsys.readouterr().out == "fetched\n" * 2
    assert run("data", "fetch", "harvard") == 2
    assert "data fetch: 'harvard' is unknown" in capsys.readouterr().err


def test_data_check_says_what_to_do(tmp_path, capsys):
    assert run("data", "check", "cave", "harvard", "--root", tmp_path) == 0
    out = capsys.readouterr().out
    assert "cave: 0 of 32" in out and "harvard: 0 of 50" in out and "https://" in out

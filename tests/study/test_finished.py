import shutil

import numpy as np
import pandas as pd
import pytest

import ifmsr
from ifmsr.cli import main
from ifmsr.errors import InputError
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.gsa import GSA
from ifmsr.paths import RESULTS
from ifmsr.study.evaluation import Task, evaluate
from ifmsr.study.finished import COLUMNS, compare_runs, finished_runs


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory):
    """Two evaluations of the same scene: bicubic in both, GSA in the second."""
    top = tmp_path_factory.mktemp("results")
    task = Task("indian-pines", "spatial", 4)
    evaluate(task, {"bicubic": Bicubic()}, top / "first")
    evaluate(task, {"bicubic": Bicubic(), "gsa": GSA()}, top / "deeper" / "second")
    return top


def test_every_finished_run_below_a_folder_has_its_rows(evaluations):
    rows = finished_runs(evaluations)
    assert tuple(rows.columns) == COLUMNS
    assert list(rows["run"]) == ["deeper/second"] * 2 + ["first"]
    assert list(rows["method"]) == ["bicubic", "gsa", "bicubic"]
    assert set(rows["kind"]) == {"evaluation"} and set(rows["scale"]) == {4}
    measured = pd.read_csv(evaluations / "first" / "rows.csv").iloc[0]
    assert rows["PSNR"].iloc[2] == pytest.approx(measured["PSNR"], rel=1e-12)


def test_the_committed_results_are_listed():
    rows = ifmsr.finished_runs(RESULTS)
    assert {"evaluation", "robustness", "training", "other"} == set(rows["kind"])
    own = rows[(rows["run"] == "cave-x4") & (rows["method"] == "subspace-net")].iloc[0]
    measured = pd.read_csv(RESULTS / "cave-x4" / "rows.csv")
    assert own["scenes"] == 6
    assert own["SAM"] == pytest.approx(measured.loc[measured["method"] == "subspace-net", "SAM"].mean())
    trained = rows[rows["run"] == "ifmsr/training-64"].iloc[0]
    log = pd.read_csv(RESULTS / "ifmsr" / "training-64" / "log.csv")
    assert trained["PSNR"] == log["val_psnr"].max()


def test_common_methods_are_compared_scene_by_scene_with_an_interval():
    table = compare_runs(RESULTS / "settings-x4", RESULTS / "settings-x4", "SAM")
    assert (table["difference"] == 0).all()
    table = compare_runs(RESULTS / "cave-x4-classics", RESULTS / "cave-x4-classics")
    assert set(table["method"]) == {"GSA", "MTF-GLP-HS", "CNMF", "HySure"}
    last = table[table["scene"] == "mean"]
    assert len(last) == 4 and last[["low", "high"]].notna().all(axis=None)
    assert np.isnan(table.loc[table["scene"] != "mean", "low"]).all()


def test_two_methods_are_compared_where_each_run_has_one(evaluations, tmp_path):
    evaluate(Task("indian-pines", "spatial", 4), {"gsa": GSA()}, tmp_path)
    table = compare_runs(evaluations / "first", tmp_path)
    assert set(table["method"]) == {"Bicubic -> GSA"}
    psnr = [pd.read_csv(folder / "rows.csv")["PSNR"][0] for folder in (evaluations / "first", tmp_path)]
    assert table["difference"].iloc[0] == pytest.approx(psnr[1] - psnr[0], rel=1e-9)


def test_a_damaged_run_is_named_and_the_others_are_listed(evaluations, tmp_path):
    shutil.copytree(evaluations / "first", tmp_path / "whole")
    for name, text in {"manifest.json": "{", "rows.csv": "scene,method\n"}.items():
        damaged = shutil.copytree(evaluations / "first", tmp_path / f"damaged {name}")
        (damaged / name).write_text(text)
    with pytest.warns(UserWarning, match="is not listed, its files are damaged") as warned:
        rows = finished_runs(tmp_path)
    assert list(rows["run"]) == ["whole"] and len(warned) == 2


def test_what_cannot_be_listed_or_compared_raises(tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        finished_runs(tmp_path / "none")
    with pytest.raises(InputError, match="no finished run"):
        finished_runs(tmp_path)
    with pytest.raises(InputError, match="scenes or seeds are not those of"):
        compare_runs(RESULTS / "cave-x4", RESULTS / "beyond" / "names-20-12-x4")
    with pytest.raises(InputError, match="none of the methods"):
        compare_runs(RESULTS / "cave-x4-cms", RESULTS / "cave-x4-classics")
    with pytest.raises(InputError, match="metric"):
        compare_runs(RESULTS / "cave-x4", RESULTS / "cave-x4", "MSE")


def test_the_commands_print_a_table(evaluations, capsys, tmp_path):
    assert main(["runs", str(evaluations), "--sort", "PSNR"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:6] == ["run", "kind", "data", "split", "scale", "method"]
    assert "gsa" in lines[1]  # the best first
    assert main(["runs", str(evaluations), "--csv", str(tmp_path / "runs.csv")]) == 0
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 3
    assert main(["runs", str(evaluations), "--sort", "loss"]) == 2
    assert "--sort" in capsys.readouterr().err
    folders = [str(evaluations / "first"), str(evaluations / "deeper" / "second")]
    assert main(["compare", *folders, "--metric", "SAM"]) == 0
    assert "mean" in capsys.readouterr().out

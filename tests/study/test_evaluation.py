import json
import shlex
import shutil
import time
from dataclasses import replace

import numpy as np
import oracles
import pandas as pd
import pytest
import torch
from tiny import Counting, files_of

from ifmsr import figures
from ifmsr.cli import main
from ifmsr.degradation.protocol import blur_downsample, degrade
from ifmsr.errors import InputError
from ifmsr.figures import Evaluated
from ifmsr.files import sha256
from ifmsr.methods.bicubic import Bicubic
from ifmsr.paths import RESULTS
from ifmsr.precision import BFLOAT16_NOTE
from ifmsr.runs import read_manifest
from ifmsr.scenes import open_dataset
from ifmsr.scenes.scene import Observation
from ifmsr.study.evaluation import COLUMNS, Task, evaluate, read_task, summary
from ifmsr.study.rows import read_rows

TASK = Task("indian-pines", "spatial", seeds=(0, 1), side=48)


def test_one_row_per_scene_seed_and_method_with_its_origin(tmp_path):
    rows = evaluate(TASK, {"bicubic": Bicubic()}, tmp_path)
    assert tuple(rows.columns) == COLUMNS and len(rows) == 2
    assert rows["PSNR"].nunique() == 2  # two seeds, two observations
    stored = pd.read_csv(tmp_path / "rows.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(stored, rows, check_dtype=False)
    manifest = read_manifest(tmp_path)
    assert manifest["config"]["methods"] == ["bicubic"] and manifest["seeds"] == [0, 1]
    assert set(manifest["data"]) == {"test-s0", "test-s1"}
    observation = Observation.load(tmp_path / "observations" / "test-s1.npz")
    cube = np.load(tmp_path / "cubes" / "bicubic" / "test-s1.npy")
    np.testing.assert_allclose(cube, Bicubic()(observation), atol=1e-3)


def test_methods_can_be_added_and_nothing_is_computed_twice(tmp_path):
    first, second = Counting(), Counting()
    before = evaluate(TASK, {"bicubic": first}, tmp_path)
    after = evaluate(TASK, {"bicubic": first, "second": second}, tmp_path)
    assert (first.calls, second.calls) == (2, 2)
    pd.testing.assert_frame_equal(
        after[after["method"] == "bicubic"].reset_index(drop=True), before, check_dtype=False
    )
    assert list(summary(after).index) == ["bicubic", "second"]


def test_new_weights_replace_the_rows_of_the_old_ones(tmp_path):
    evaluate(TASK, {"bicubic": Counting("old")}, tmp_path)
    new = Counting("new")
    with pytest.warns(
        UserWarning, match="bicubic is measured again: its settings or its weights have changed"
    ):
        rows = evaluate(TASK, {"bicubic": new}, tmp_path)
    assert new.calls == 2 and set(rows["weights"]) == {"new"} and len(rows) == 2


def test_a_fingerprint_that_looks_like_a_number_is_none(tmp_path):
    evaluate(TASK, {"bicubic": Counting("444503e60302")}, tmp_path)
    same = Counting("444503e60302")
    evaluate(TASK, {"bicubic": same}, tmp_path)
    assert same.calls == 0 and set(read_rows(tmp_path)["weights"]) == {"444503e60302"}


def test_an_interrupted_evaluation_is_unfinished_and_resumes(tmp_path):
    with pytest.raises(RuntimeError, match="power"):
        evaluate(TASK, {"bicubic": Counting(breaks_at=1)}, tmp_path)
    with pytest.raises(InputError, match="unfinished"):
        read_manifest(tmp_path)
    assert not (tmp_path / "rows.csv").exists()
    again = Counting()
    assert len(evaluate(TASK, {"bicubic": again}, tmp_path)) == 2
    assert again.calls == 1
    assert not (tmp_path / "partial").exists()


def test_half_finished_methods_are_left_out_of_the_rows_and_not_lost(tmp_path):
    with pytest.raises(RuntimeError, match="power"):
        evaluate(TASK, {"broken": Counting(breaks_at=1)}, tmp_path)
    rows = evaluate(TASK, {"bicubic": Bicubic()}, tmp_path)
    assert set(rows["method"]) == {"bicubic"} == set(read_rows(tmp_path)["method"].str.lower())
    again = Counting()
    assert len(evaluate(TASK, {"broken": again}, tmp_path)) == 4
    assert again.calls == 1


def test_a_failure_leaves_a_finished_evaluation_finished(tmp_path):
    evaluate(TASK, {"bicubic": Counting("old")}, tmp_path)
    before = files_of(tmp_path)
    with pytest.raises(RuntimeError, match="power"):
        evaluate(TASK, {"second": Counting(breaks_at=1)}, tmp_path)
    with pytest.raises(RuntimeError, match="power"), pytest.warns(UserWarning, match="weights have changed"):
        evaluate(TASK, {"bicubic": Counting("new", breaks_at=1)}, tmp_path)
    assert files_of(tmp_path) == before and read_manifest(tmp_path)
    new = Counting("new")
    with pytest.warns(UserWarning, match="weights have changed"):
        rows = evaluate(TASK, {"bicubic": new}, tmp_path)
    assert new.calls == 1 and set(rows["weights"]) == {"new"}


def test_nothing_to_do_changes_nothing(tmp_path):
    evaluate(TASK, {"bicubic": Bicubic()}, tmp_path)
    before = files_of(tmp_path)
    rows = evaluate(TASK, {"bicubic": Bicubic()}, tmp_path)
    assert files_of(tmp_path) == before and len(rows) == 2


@pytest.fixture
def fresh_clone(tmp_path):
    """A finished evaluation without what is not kept in the repository."""
    evaluate(TASK, {"bicubic": Bicubic()}, tmp_path)
    shutil.rmtree(tmp_path / "observations")
    shutil.rmtree(tmp_path / "cubes")
    return tmp_path


def test_a_fresh_clone_gets_its_observations_again(fresh_clone):
    before, rows = read_manifest(fresh_clone)["data"], (fresh_clone / "rows.csv").read_text().splitlines()
    evaluate(TASK, {"second": Counting()}, fresh_clone)
    manifest = read_manifest(fresh_clone)
    assert manifest["data"] == before and set(manifest["config"]["methods"]) == {"bicubic", "second"}
    assert manifest["config"]["measured"] == ["second"]
    assert [
        line for line in (fresh_clone / "rows.csv").read_text().splitlines() if ",second," not in line
    ] == rows


def test_the_command_in_the_error_of_figures_recreates_missing_cubes(fresh_clone, capsys):
    rows = (fresh_clone / "rows.csv").read_text()
    with pytest.raises(InputError, match="the method's result is not there") as error:
        figures.figure4(fresh_clone)
    assert " --side 48 (" in str(error.value)  # nothing sticks to the last word of the command
    command = shlex.split(error.value.fix.removeprefix("Run: ").partition(" (")[0])
    with pytest.warns(UserWarning, match="its cubes are missing"):
        assert command[0] == "ifmsr" and main(command[1:]) == 0
    figures.figure4(fresh_clone)
    kept = [line.rpartition(",")[0] for line in (fresh_clone / "rows.csv").read_text().splitlines()]
    assert kept == [line.rpartition(",")[0] for line in rows.splitlines()]  # but for the seconds


def test_the_command_of_the_figures_names_everything_that_is_not_the_default(tmp_path):
    task = Task("indian-pines", "spatial", 8, "lttr", "centred", (3,), side=48)
    half = Counting("444503e60302")
    half.schedule = f"200 epochs{BFLOAT16_NOTE}"
    evaluate(task, {"ifmsr": half, "own": Bicubic()}, tmp_path)
    evaluated = Evaluated.open(tmp_path)
    command = evaluated.again("ifmsr")
    for words in ("--scale 8", "--degradation lttr", "--alignment centred", "--seeds 3", "--side 48"):
        assert words in command
    assert "--precision bfloat16" in command and "444503e60302" in command and "--scenes" not in command
    assert "ifmsr.study.evaluate" in evaluated.again("own")
    shutil.rmtree(tmp_path / "observations")
    with pytest.raises(InputError, match="the observation is not there"):
        evaluated.observation("test")


def test_another_observation_raises_and_rounding_is_said(tmp_path):
    evaluate(TASK, {"bicubic": Bicubic()}, tmp_path)
    before = files_of(tmp_path)
    path = tmp_path / "observations" / "test-s1.npz"
    genuine = Observation.load(path)
    rng = np.random.default_rng(0)
    other = (genuine.lr + 1e-3 * rng.standard_normal(genuine.lr.shape)).clip(0, 1).astype(np.float32)
    replace(genuine, lr=other).save(path)
    with pytest.raises(InputError, match=r"test-s1\.npz.*SHA-256.*bicubic reaches"):
        evaluate(TASK, {"second": Counting()}, tmp_path)
    assert files_of(tmp_path) | {"observations/test-s1.npz": b""} == before | {
        "observations/test-s1.npz": b""
    }
    rounded = np.nextafter(genuine.lr, np.float32(2), dtype=np.float32).clip(0, 1)
    replace(genuine, lr=rounded).save(path)
    with pytest.warns(UserWarning, match="rounding"):
        evaluate(TASK, {"second": Counting()}, tmp_path)
    data = read_manifest(tmp_path)["data"]
    assert data["test-s1"] == sha256(path)
    assert data["test-s1, of earlier rows"] == json.loads(before["manifest.json"])["data"]["test-s1"]


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="rounds in another way"
)
@pytest.mark.parametrize("folder", ["cave-x4", "cave-x8", "cave-x4-cms"])
def test_committed_observations_are_made_again_bit_for_bit(cave_root, tmp_path, folder):
    task, recorded = read_task(RESULTS / folder), read_manifest(RESULTS / folder)["data"]
    scene = open_dataset("cave", cave_root).load("balloons").crop_to_multiple(task.scale)
    made = degrade(scene, task.scale, task.preset, 0, task.alignment).save(tmp_path / "made.npz")
    assert sha256(made) == recorded["balloons-s0"]


def test_the_mean_of_uneven_seeds_is_over_seeds_first():
    lines = [("a", "x", 10.0), ("a", "x", 20.0), ("a", "x", 60.0), ("a", "y", 5.0), ("b", "y", 7.0)]
    names = ["PSNR", "SSIM", "SAM", "ERGAS", "RMSE", "seconds"]
    rows = pd.DataFrame(
        [{"method": method, "scene": scene} | dict.fromkeys(names, value) for method, scene, value in lines]
    )
    means = summary(rows)
    assert list(means.index) == ["a", "b"] and list(means.columns) == names
    assert (means.loc["a"] == 17.5).all()  # of 30 and 5; the mean of the four rows is 23.75
    assert (means.loc["b"] == 7).all()


def test_a_summary_keeps_the_order_of_its_rows():
    numbers = dict.fromkeys(COLUMNS[-6:], 1.0)
    pairs = [("z", "b"), ("a", "b"), ("z", "a"), ("a", "a")]
    rows = pd.DataFrame([{"method": method, "scene": scene, **numbers} for method, scene in pairs])
    assert list(summary(rows).index) == ["z", "a"]


def test_the_defaults_are_the_papers_test_on_whole_scenes():
    assert Task("cave", "figure4") == Task("cave", "figure4", 4, "test", "released", (0,), (), 0)
    assert Task("cave", "figure4", scale=1, seeds=(0, 7), side=0).scale == 1


def test_a_row_has_the_seconds_that_its_method_took(tmp_path):
    class Slow(Bicubic):
        def __call__(self, observation):
            time.sleep(0.05)
            return super().__call__(observation)

    (seconds,) = evaluate(replace(TASK, seeds=(0,)), {"slow": Slow()}, tmp_path)["seconds"]
    assert 0.05 <= seconds < 30 and seconds == round(seconds, 2)


def test_the_metrics_are_of_the_tasks_scale(tmp_path):
    task = Task("indian-pines", "spatial", 8, side=48)
    row = evaluate(task, {"bicubic": Bicubic()}, tmp_path).iloc[0]
    truth = open_dataset("indian-pines").load("test").crop_to_multiple(8, 48).cube
    sr = Bicubic()(Observation.load(tmp_path / "observations" / "test-s0.npz"))
    assert row["ERGAS"] == pytest.approx(oracles.ergas(truth, sr, 8), rel=1e-9)
    assert row["SAM"] == pytest.approx(oracles.sam(truth, sr), rel=1e-6)
    assert row["PSNR"] == pytest.approx(oracles.psnr(truth, sr), rel=1e-9)


def test_a_folder_holds_one_task(tmp_path):
    evaluate(TASK, {"bicubic": Bicubic()}, tmp_path)
    before = json.loads((tmp_path / "manifest.json").read_text())["config"]
    with pytest.raises(InputError, match="another task"):
        evaluate(Task("indian-pines", "spatial", alignment="centred"), {"bicubic": Bicubic()}, tmp_path)
    assert read_manifest(tmp_path)["config"] == before  # the finished run is still there


def test_unknown_scenes_and_choices_are_named(tmp_path):
    with pytest.raises(InputError, match="trian"):
        evaluate(Task("indian-pines", "spatial", scenes=("trian",)), {}, tmp_path)
    with pytest.raises(InputError, match="alignment"):
        Task("indian-pines", "spatial", alignment="center")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("dataset", [None, 3, ["cave"]]),
        ("split", [None, 3]),
        ("scale", [None, 0, -4, 4.5, np.nan, np.inf, "4", True, [4]]),
        ("preset", [None, 3, "tset", ["test"]]),
        ("alignment", [None, "center"]),
        ("seeds", [None, 3, (-1,), (0, -1), (1.5,), ("0",), (None,), (), "01", np.zeros(2)]),
        ("scenes", [None, "face", (3,), (None,), 3]),
        ("side", [None, -1, 2.5, np.nan, "48", True]),
    ],
)
def test_a_task_that_cannot_be_measured_is_named_before_anything_is_done(field, values):
    for value in values:
        with pytest.raises(InputError, match=field):
            Task(**{"dataset": "indian-pines", "split": "spatial", field: value})


def test_a_task_holds_plain_numbers_whatever_it_was_given(tmp_path):
    task = Task("indian-pines", "spatial", np.int64(4), seeds=range(2), scenes=["test"], side=40.0)
    assert task == Task("indian-pines", "spatial", 4, seeds=(0, 1), scenes=("test",), side=40)
    evaluate(task, {"bicubic": Bicubic()}, tmp_path)
    assert read_task(tmp_path) == task
    for content in ("[]", "{}", '{"dataset": "cave"}', '{"dataset": "cave", "split": "figure4", "sides": 3}'):
        (tmp_path / "task.json").write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=r"task\.json: (not|cannot be read as) an evaluation's task"):
            read_task(tmp_path)


@pytest.mark.parametrize("alignment", ["released", "centred"])
def test_an_oracle_is_given_the_true_kernel_of_each_observation(tmp_path, alignment):
    given = {}

    class Sharp:
        title, schedule = "Sharp (true kernel)", ""

        def with_kernel(self, kernel):
            given[len(given)] = kernel
            return Bicubic()

        def __call__(self, observation):
            raise AssertionError("the kernel was not given")

    task = Task("indian-pines", "spatial", alignment=alignment, seeds=(0, 1))
    evaluate(task, {"sharp": Sharp()}, tmp_path)
    scene = open_dataset("indian-pines").load("test")
    assert len(given) == 2
    for seed, kernel in given.items():
        seen = np.load(tmp_path / "observations" / f"test-s{seed}.npz")["lr"]
        again = blur_downsample(scene.crop_to_multiple(4).cube, kernel, 4, "block")
        inside = np.s_[:, 3:-3, 3:-3]
        assert (again.clip(0, 1) - seen)[inside].std() == pytest.approx(3 / 255, rel=0.05)
        along = np.arange(len(kernel)) - (len(kernel) - 1) / 2
        shift = [(kernel.sum(axis) * along).sum() for axis in (0, 1)]
        if alignment == "centred":
            np.testing.assert_allclose(shift, 0, atol=1e-9)
        else:
            assert min(shift) > 1  # the released kernels lie 1.33 px off the middle at x4


def test_only_the_middle_of_scenes_on_request(tmp_path):
    task = Task("indian-pines", "spatial", side=41)
    rows = evaluate(task, {"bicubic": Bicubic()}, tmp_path)
    truth = open_dataset("indian-pines").load("test").cube[:, 52:92, 4:44]
    assert np.load(tmp_path / "cubes" / "bicubic" / "test-s0.npy").shape == truth.shape
    expected = Bicubic()(Observation.load(tmp_path / "observations" / "test-s0.npz"))
    assert rows["PSNR"].item() == pytest.approx(-10 * np.log10(np.mean((truth - expected) ** 2)), abs=1e-4)
    with pytest.raises(InputError, match="another task"):
        evaluate(Task("indian-pines", "spatial"), {"bicubic": Bicubic()}, tmp_path)

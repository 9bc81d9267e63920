import json

import numpy as np
import pandas as pd
import pytest

from ifmsr.degradation.protocol import blur_downsample
from ifmsr.errors import InputError
from ifmsr.methods.bicubic import Bicubic
from ifmsr.runs import read_manifest
from ifmsr.scenes import open_dataset
from ifmsr.scenes.scene import Observation
from ifmsr.study.evaluation import COLUMNS, Task, evaluate, read_task, summary
from ifmsr.study.rows import read_rows

TASK = Task("indian-pines", "spatial", seeds=(0, 1))


class Counting(Bicubic):
    """Bicubic that counts its calls and can break."""

    def __init__(self, fingerprint="a", breaks_at=None):
        self.calls, self.fingerprint, self.breaks_at = 0, fingerprint, breaks_at

    def __call__(self, observation):
        if self.calls == self.breaks_at:
            raise RuntimeError("the power went")
        self.calls += 1
        return super().__call__(observation)


def test_one_row_a_scene_seed_and_method_with_everything_it_came_from(tmp_path):
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
    rows = evaluate(TASK, {"bicubic": new}, tmp_path)
    assert new.calls == 2 and set(rows["weights"]) == {"new"} and len(rows) == 2


def test_a_fingerprint_that_looks_like_a_number_is_none(tmp_path):
    evaluate(TASK, {"bicubic": Counting("444503e60302")}, tmp_path)
    same = Counting("444503e60302")
    evaluate(TASK, {"bicubic": same}, tmp_path)
    assert same.calls == 0 and set(read_rows(tmp_path)["weights"]) == {"444503e60302"}


def test_an_interrupted_evaluation_counts_for_nothing_and_goes_on(tmp_path):
    with pytest.raises(RuntimeError, match="power"):
        evaluate(TASK, {"bicubic": Counting(breaks_at=1)}, tmp_path)
    with pytest.raises(InputError, match="unfinished"):
        read_manifest(tmp_path)
    again = Counting()
    assert len(evaluate(TASK, {"bicubic": again}, tmp_path)) == 2
    assert again.calls == 1


def test_half_finished_methods_are_left_out_of_the_rows(tmp_path):
    with pytest.raises(RuntimeError, match="power"):
        evaluate(TASK, {"broken": Counting(breaks_at=1)}, tmp_path)
    rows = evaluate(TASK, {"bicubic": Bicubic()}, tmp_path)
    assert set(rows["method"]) == {"bicubic"}


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
        with pytest.raises(InputError, match=r"task\.json: no evaluation's task"):
            read_task(tmp_path)


def test_an_oracle_is_told_the_true_kernel_of_each_observation(tmp_path):
    told = {}

    class Sharp:
        title, schedule = "Sharp (true kernel)", ""

        def with_kernel(self, kernel):
            told[len(told)] = kernel
            return Bicubic()

        def __call__(self, observation):
            raise AssertionError("it was not told the kernel")

    task = Task("indian-pines", "spatial", seeds=(0, 1))
    evaluate(task, {"sharp": Sharp()}, tmp_path)
    scene = open_dataset("indian-pines").load("test")
    for seed, kernel in told.items():
        seen = np.load(tmp_path / "observations" / f"test-s{seed}.npz")["lr"]
        again = blur_downsample(scene.crop_to_multiple(4).cube, kernel, 4, "block")
        inside = np.s_[:, 3:-3, 3:-3]
        assert (again.clip(0, 1) - seen)[inside].std() == pytest.approx(3 / 255, rel=0.05)


def test_only_the_middle_of_scenes_on_request(tmp_path):
    task = Task("indian-pines", "spatial", side=41)
    rows = evaluate(task, {"bicubic": Bicubic()}, tmp_path)
    truth = open_dataset("indian-pines").load("test").cube[:, 52:92, 4:44]
    assert np.load(tmp_path / "cubes" / "bicubic" / "test-s0.npy").shape == truth.shape
    expected = Bicubic()(Observation.load(tmp_path / "observations" / "test-s0.npz"))
    assert rows["PSNR"].item() == pytest.approx(-10 * np.log10(np.mean((truth - expected) ** 2)), abs=1e-4)
    with pytest.raises(InputError, match="another task"):
        evaluate(Task("indian-pines", "spatial"), {"bicubic": Bicubic()}, tmp_path)

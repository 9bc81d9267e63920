import json

import numpy as np
import oracles
import pandas as pd
import pytest
from tiny import Counting

from ifmsr import metrics
from ifmsr.cli import main
from ifmsr.degradation.blurs import airy_disc, motion_blur
from ifmsr.degradation.protocol import degrade
from ifmsr.errors import InputError
from ifmsr.files import sha256
from ifmsr.inference import load_method
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.closed_form.chain import ClosedForm
from ifmsr.runs import read_manifest
from ifmsr.scenes import Scene, nikon_d700, open_dataset
from ifmsr.study.robustness import GRID, Condition, measure, measure_split, observe, shifted_response


@pytest.fixture(scope="module")
def scene():
    """Real spectra under a real camera's response: 31 bands of Indian Pines."""
    cube = open_dataset("indian-pines").load("test").cube[5:98:3, :64, :64]
    return Scene("fields", np.ascontiguousarray(cube), np.arange(400.0, 701, 10), nikon_d700())


def test_the_default_condition_is_the_papers_test(scene):
    ours, theirs = observe(scene, Condition("test")), degrade(scene, 4)
    np.testing.assert_array_equal(ours.lr, theirs.lr)
    np.testing.assert_array_equal(ours.rgb, theirs.rgb)
    np.testing.assert_array_equal(ours.srf, theirs.srf)


def test_every_condition_changes_what_it_says_and_nothing_else(scene):
    usual = observe(scene, Condition("test"))
    for changed, same in (
        (Condition("", lr_noise=0), ("rgb", "srf")),
        (Condition("", blur="motion"), ("rgb", "srf")),
        (Condition("", blur="airy"), ("rgb", "srf")),
        (Condition("", alignment="centred"), ("rgb", "srf")),
        (Condition("", rgb_noise=2), ("lr", "srf")),
        (Condition("", response="shifted"), ("lr", "rgb")),
    ):
        seen = observe(scene, changed)
        for name in ("lr", "rgb", "srf"):
            assert np.array_equal(getattr(seen, name), getattr(usual, name)) == (name in same), (
                changed,
                name,
            )
    assert observe(scene, Condition("", response="unknown")).srf is None


def test_rgb_noise_has_the_strength_that_it_is_given(scene):
    noise = observe(scene, Condition("", rgb_noise=2)).rgb - scene.rgb()
    assert noise.std() == pytest.approx(2 / 255, rel=0.05)


def test_a_shifted_response_has_its_centroids_eight_nanometres_higher(scene):
    moved = shifted_response(scene, 8)
    red, green, _ = (
        moved - scene.srf
    ) @ scene.wavelengths  # blue is cut off at the short end, red at the long one
    assert 6 < green < 9 and red > 3
    np.testing.assert_allclose(moved.sum(1), 1, rtol=1e-5)
    with pytest.raises(InputError, match="no SRF or no wavelengths"):
        shifted_response(Scene("bare", scene.cube, rgb_bands=(20, 10, 2)), 8)


def test_kernels_of_the_grid():
    across, down = motion_blur(9, 0.0), motion_blur(9, np.pi / 2)
    assert across[4].sum() == pytest.approx(1) and np.allclose(across.T, down)
    assert (across[4, 1:-1] > 0.1).all()
    slanted = motion_blur(9, 0.5)
    assert slanted[6, 8] > slanted[2, 8]  # to the right and down
    disc = airy_disc(4)
    middle = len(disc) // 2
    assert disc.sum() == pytest.approx(1) and disc.argmax() == disc.size // 2
    assert disc[middle, middle + 4] < 1e-5 * disc.max()  # the dark ring
    np.testing.assert_allclose(disc, disc.T)


def test_the_grid_is_measured_on_every_scale_and_written_as_a_run(scene, tmp_path):
    conditions = [Condition("x2", scale=2), Condition("x4")]
    rows = measure([scene], {"bicubic": Bicubic(), "closed-form": ClosedForm()}, conditions)
    assert list(rows["condition"]) == ["x2", "x2", "x4", "x4"]
    assert rows[["PSNR", "SSIM", "SAM", "ERGAS", "RMSE"]].notna().all(axis=None)
    assert len({condition.name for condition in GRID}) == len(GRID)


def test_the_command_runs_one_condition_and_raises_for_unknown_ones(tmp_path, capsys):
    command = ["robustness", "--data", "indian-pines", "--split", "spatial", "--method", "bicubic"]
    assert main([*command, "--condition", "centred", "--out", str(tmp_path)]) == 0
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert set(rows["method"]) == {"bicubic"} and "PSNR" in rows
    assert read_manifest(tmp_path)["config"]["conditions"][0]["alignment"] == "centred"
    assert main([*command, "--condition", "fog", "--out", str(tmp_path)]) == 2
    assert "there is no fog" in capsys.readouterr().err


def test_the_middle_of_scenes_by_a_network_of_one_scale(tmp_path):
    command = ["robustness", "--data", "indian-pines", "--split", "spatial", "--condition", "centred"]
    command += ["--method", "ifmsr", "--side", "16"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    (row,) = pd.read_csv(tmp_path / "rows.csv").to_dict("records")
    middle = open_dataset("indian-pines").load("test").crop_to_multiple(4, 16)
    observation = observe(middle, next(entry for entry in GRID if entry.name == "centred"))
    assert row["PSNR"] == pytest.approx(
        metrics.psnr(middle.cube, load_method("ifmsr", 4)(observation)), abs=1e-3
    )
    assert read_manifest(tmp_path)["config"]["side"] == 16


def test_a_row_has_the_metrics_of_its_scale(scene):
    (row,) = measure([scene], {"bicubic": Bicubic()}, [Condition("x8", scale=8)]).to_dict("records")
    sr = Bicubic()(observe(scene, Condition("x8", scale=8)))
    assert row["ERGAS"] == pytest.approx(oracles.ergas(scene.cube, sr, 8), rel=1e-9)


CONDITIONS = [Condition("test"), Condition("centred", alignment="centred")]


def grid(out, conditions=CONDITIONS, **methods):
    return measure_split("indian-pines", "spatial", methods, conditions, out)


def test_an_interrupted_grid_goes_on_and_leaves_the_finished_one(tmp_path):
    grid(tmp_path, first=Counting())
    before = (tmp_path / "rows.csv").read_bytes()
    with pytest.raises(RuntimeError, match="power"):
        grid(tmp_path, second=Counting(breaks_at=1))
    assert (tmp_path / "rows.csv").read_bytes() == before and read_manifest(tmp_path)
    third = Counting()
    grid(tmp_path, third=third)
    second = Counting()
    rows = grid(tmp_path, second=second)
    assert (third.calls, second.calls) == (2, 1) and list(rows["condition"]) == ["test", "centred"]
    assert (
        sorted(pd.read_csv(tmp_path / "rows.csv")["method"]) == ["first"] * 2 + ["second"] * 2 + ["third"] * 2
    )
    assert not (tmp_path / "partial").exists()


def test_an_unfinished_grid_belongs_to_its_conditions(tmp_path):
    with pytest.raises(RuntimeError, match="power"):
        grid(tmp_path, first=Counting(breaks_at=1))
    with pytest.raises(InputError, match="another split, conditions or seed"):
        grid(tmp_path, CONDITIONS[:1], first=Counting())


def test_rows_of_a_grid_are_measured_again_when_the_method_has_changed_or_on_request(tmp_path):
    grid(tmp_path, first=Counting("old"))
    same = Counting("old")
    grid(tmp_path, first=same)
    new = Counting("new")
    with pytest.warns(UserWarning, match="first is measured again: its settings or its weights"):
        grid(tmp_path, first=new)
    assert (same.calls, new.calls) == (0, 2)
    assert read_manifest(tmp_path)["config"]["weights"] == {"first": "new"}
    measure_split("indian-pines", "spatial", {"first": new}, CONDITIONS, tmp_path, again=True)
    assert new.calls == 4 and len(pd.read_csv(tmp_path / "rows.csv")) == 2


def test_a_grid_from_before_rows_said_what_made_them_is_kept_with_a_warning(tmp_path):
    grid(tmp_path, first=Counting("w"), second=Counting("v"))
    pd.read_csv(tmp_path / "rows.csv").drop(columns="made_by").to_csv(tmp_path / "rows.csv", index=False)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["files"]["rows.csv"] = sha256(tmp_path / "rows.csv")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "task.json").unlink()
    same, other = Counting("w"), Counting("x")
    with pytest.warns(
        UserWarning, match="rows of first do not record the settings and code that made them; they are kept"
    ):
        grid(tmp_path, first=same)
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["manifest.json", "rows.csv"]
    with pytest.warns(UserWarning, match="second is measured again: its weights have changed"):
        grid(tmp_path, second=other)
    assert (same.calls, other.calls) == (0, 2)
    with pytest.raises(InputError, match="another split, conditions or seed"):
        grid(tmp_path, CONDITIONS[:1], first=Counting())


def test_a_condition_is_added_to_a_finished_grid_whose_other_rows_stay(tmp_path):
    further = Condition("x8", scale=8)

    def added(conditions, **methods):
        return measure_split("indian-pines", "spatial", methods, conditions, tmp_path, add=True)

    with pytest.raises(InputError, match="holds no finished grid to add to"):
        added([further], first=Counting("old"))
    grid(tmp_path, first=Counting("old"), second=Counting())
    before = pd.read_csv(tmp_path / "rows.csv")
    with pytest.raises(InputError, match="has rows of first, second"):
        added([further], first=Counting("new"))
    with pytest.raises(InputError, match="other conditions of these names"):
        added([Condition("centred", scale=8)], first=Counting("new"))
    with pytest.raises(RuntimeError, match="power"):
        added([further], first=Counting("new"), second=Counting(breaks_at=0))
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "rows.csv"), before)

    known = Counting("new")
    rows = added([further], first=known, second=Counting())
    assert list(rows["condition"]) == ["x8"] * 2 and known.calls == 0
    after = pd.read_csv(tmp_path / "rows.csv")
    assert list(after["condition"]) == ["test"] * 2 + ["centred"] * 2 + ["x8"] * 2
    pd.testing.assert_frame_equal(after[:4], before)
    names = [condition["name"] for condition in read_manifest(tmp_path)["config"]["conditions"]]
    assert names == ["test", "centred", "x8"]

    again = Counting("newer")
    added([CONDITIONS[1]], first=again)
    once_more = pd.read_csv(tmp_path / "rows.csv")
    changed = (once_more["condition"] == "centred") & (once_more["method"] == "first")
    assert again.calls == changed.sum() == 1 and len(once_more) == 6
    pd.testing.assert_frame_equal(once_more[~changed], after[~changed])
    assert (once_more["made_by"] != after["made_by"]).tolist() == changed.tolist()
    grid(tmp_path, [*CONDITIONS, further], third=Counting())


def test_another_method_joins_a_finished_grid_and_another_grid_does_not(tmp_path, capsys):
    command = ["robustness", "--data", "indian-pines", "--split", "spatial", "--out", str(tmp_path)]
    conditions = ["--condition", "centred", "--condition", "test, x8"]
    assert main([*command, *conditions, "--method", "bicubic"]) == 0
    alone = pd.read_csv(tmp_path / "rows.csv")
    assert main([*command, *conditions, "--method", "gsa"]) == 0
    both = pd.read_csv(tmp_path / "rows.csv")
    assert list(both["method"]) == ["bicubic", "gsa"] * 2
    assert list(both["condition"]) == ["test, x8"] * 2 + ["centred"] * 2  # as the grid has them
    pd.testing.assert_frame_equal(both[both["method"] == "bicubic"].reset_index(drop=True), alone)
    assert read_manifest(tmp_path)["config"]["weights"] == {"bicubic": "", "gsa": ""}
    assert main([*command, *conditions, "--method", "bicubic"]) == 0
    assert len(pd.read_csv(tmp_path / "rows.csv")) == 4  # not twice

    capsys.readouterr()
    assert main([*command, "--condition", "centred", "--method", "bicubic"]) == 2
    assert "another split, conditions or seed" in capsys.readouterr().err
    assert main([*command, *conditions, "--method", "bicubic", "--seed", "1"]) == 2
    assert len(pd.read_csv(tmp_path / "rows.csv")) == 4

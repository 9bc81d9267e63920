from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ifmsr.cli import main
from ifmsr.errors import InputError
from ifmsr.experiments import costs
from ifmsr.experiments.calibration import BANDS, MORE_BANDS, Subject, image, measure, subjects
from ifmsr.experiments.costs import COLUMNS, MEASURED, Costs, Law, add_costs, read_costs
from ifmsr.experiments.measuring import machine
from ifmsr.experiments.plan import plan
from ifmsr.experiments.study_rows import StudyRow, read_study
from ifmsr.experiments.study_runs import run_row
from ifmsr.paths import ROOT

CPU = {"device": "CPU", "threads": "1", "torch": "2", "ifmsr": "0"}


def points(part, seconds, peak_mb=lambda pixels, bands: 100.0, **subject):
    """Three rows of the table of costs, from laws."""
    key = {"method": "", "preset": "", "stage": 0, "scale": 0, **subject}
    sizes = [(4096, 31), (4096, 124), (16384, 31)]
    return [
        {
            "part": part,
            **key,
            "pixels": p,
            "bands": b,
            "seconds": seconds(p, b),
            "peak_mb": peak_mb(p, b),
            **CPU,
        }
        for p, b in sizes
    ]


def table(*groups):
    return Costs(pd.DataFrame([row for group in groups for row in group], columns=COLUMNS), "costs.csv")


def test_a_law_is_found_again_and_never_falls():
    rows = pd.DataFrame(points("method", lambda p, b: 0.3 + 2e-6 * p + 4e-7 * p * b))
    law = Law.fit(rows, "seconds")
    assert law.coefficients == pytest.approx((0.3, 2e-6, 4e-7))
    assert law(512 * 512, 31) == pytest.approx(0.3 + 2e-6 * 512**2 + 4e-7 * 512**2 * 31)
    falling = rows.assign(seconds=[3.0, 2.0, 1.0])
    assert min(Law.fit(falling, "seconds").coefficients) >= 0


def test_a_law_follows_the_nearest_measurement():
    """The cost of a pixel doubles on the largest image: beyond it, too."""
    rows = pd.DataFrame(points("method", lambda p, b: 1e-6 * p * b * (1 + (p > 5000))))
    law = Law.fit(rows, "seconds")
    assert law(16384, 31) == pytest.approx(2e-6 * 16384 * 31) and law(4096, 31) == pytest.approx(
        1e-6 * 4096 * 31
    )
    assert law(512 * 512, 31) == pytest.approx(2e-6 * 512**2 * 31, rel=0.3)


@pytest.fixture
def known():
    """Costs of simple numbers: one second per scene, per sample and per step, whatever their size."""
    steady = {part: points(part, lambda p, b: 1.0, preset="paper", scale=4) for part in ("epoch", "samples")}
    return table(
        points("run", lambda p, b: 5.0),
        points("scene", lambda p, b: 1.0, scale=4),
        points("method", lambda p, b: 1e-6 * p * b, method="ifmsr", scale=4),
        points("method", lambda p, b: 1e-5 * p, lambda p, b: 1e-3 * p * b, method="bicubic", scale=4),
        *steady.values(),
        points("step", lambda p, b: 1e-4 * p * b, lambda p, b: 0.05 * p, preset="paper", scale=4),
        points("validation", lambda p, b: 2.0, preset="paper", scale=4),
    )


def test_the_papers_training_has_its_steps(known):
    """200 epochs of 24 scenes x 64 patches of 48 x 48 in batches of 16, one step per band."""
    (line,) = plan([StudyRow("cave", 4, "ifmsr", "figure4", preset="paper")], known).to_dict("records")
    batches = 24 * 64 / 16
    step = 1e-4 * 16 * 48**2
    train = 200 * (24 + batches * (1 + 31 * step) + 2 * 2)
    test = 5 + 6 * (1 + 1e-6 * 512**2 * 31)
    assert line["train_hours"] == pytest.approx(train / 3600)
    assert line["hours"] == pytest.approx((train + test) / 3600)
    scenes = 26 * 512**2 * 31 * 4
    assert line["memory_gb"] == pytest.approx((scenes + 0.05 * 16 * 48**2 * 1e6) / 1e9)


def test_a_scene_costs_what_its_size_says(known):
    rows = [StudyRow("cave", 4, "bicubic", "figure4"), StudyRow("harvard", 4, "bicubic", "seed-0")]
    cave, harvard = plan(rows, known).to_dict("records")
    assert cave["hours"] * 3600 == pytest.approx(5 + 6 * (1 + 1e-5 * 512**2))
    assert harvard["hours"] * 3600 == pytest.approx(5 + 10 * (1 + 1e-5 * 1040 * 1392))
    assert harvard["memory_gb"] == pytest.approx(1e-3 * 1040 * 1392 * 31 / 1e3)
    assert cave["train_hours"] == 0


def test_the_disk_is_that_of_a_real_run(known, tmp_path):
    row = StudyRow("indian-pines", 4, "bicubic", "spatial")
    folder = run_row(row, tmp_path)
    real = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert plan([row], known)["disk_gb"].item() * 1e9 == pytest.approx(real, rel=0.15)


def test_what_was_not_measured_is_named(known, tmp_path):
    with pytest.raises(InputError, match=r"costs\.csv: it has no costs of gsa x4\. .*--measure"):
        plan([StudyRow("cave", 4, "gsa", "figure4")], known)
    with pytest.raises(InputError, match=r"none\.csv: there is no such file\. .*--measure"):
        read_costs(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.drop(columns="seconds"),
        lambda frame: frame.iloc[:0],
        lambda frame: frame.assign(seconds="fast"),
        lambda frame: frame.assign(pixels=np.nan),
        lambda frame: frame.assign(peak_mb=-1),
    ],
)
def test_a_table_that_is_none_is_refused(known, tmp_path, change):
    change(known.table).to_csv(tmp_path / "costs.csv", index=False)
    with pytest.raises(InputError, match=r"costs\.csv: cannot be read as a table of measured costs"):
        read_costs(tmp_path / "costs.csv")


def test_only_what_is_missing_is_measured_and_only_on_one_machine(tmp_path, monkeypatch):
    asked = []

    def fake(subject):
        asked.append(subject)
        key = {name: getattr(subject, name) for name in costs.KEY}
        part = "epoch" if subject.part == "training" else subject.part
        return [{"part": part, **key, "pixels": 1, "bands": 1, "seconds": 1.0, "peak_mb": 1, **machine()}]

    monkeypatch.setattr(costs, "measure", fake)
    first = subjects(StudyRow("cave", 4, "gsa", "figure4"))
    second = subjects(StudyRow("cave", 4, "ifmsr", "figure4", preset="paper"))
    path = tmp_path / "costs.csv"
    add_costs(path, [*first, *first])
    assert asked == first == [Subject("run"), Subject("scene", scale=4), Subject("method", "gsa", scale=4)]
    add_costs(path, [*first, *second])
    assert asked[3:] == [Subject("method", "ifmsr", "", 0, 4), Subject("training", "", "paper", 0, 4)]
    assert all(read_costs(path).has(subject) for subject in asked) and len(read_costs(path).table) == 5
    other = pd.read_csv(path).assign(device="another CPU")
    other.to_csv(path, index=False)
    with pytest.raises(InputError, match=r"it was measured on another CPU, .*Name a new file"):
        add_costs(path, second)


def test_images_of_any_size_are_mirrored_ones():
    scene = image(300, MORE_BANDS)
    assert scene.cube.shape == (MORE_BANDS, 300, 300) and scene.srf.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(scene.cube[:, :, 144:288], scene.cube[:, :, 143::-1])
    assert np.array_equal(image(96, BANDS).cube, scene.cube[:BANDS, :96, :96])


def test_methods_and_trainings_are_really_measured(monkeypatch):
    rows = pd.DataFrame(measure(Subject("method", "ifmsr", "smoke", 0, 4)))
    assert list(rows["bands"][:3]) == [31, 62, 31] and list(rows["pixels"][:3]) == [4096, 4096, 6400]
    assert rows["seconds"][1] > 1.3 * rows["seconds"][0] and (rows["peak_mb"] > 50).all()
    rows = pd.DataFrame(measure(Subject("training", "", "smoke", 0, 8)))
    assert set(rows["part"]) == {"epoch", "samples", "step", "validation"}
    steps = rows[rows["part"] == "step"]
    assert list(steps["pixels"]) == [48**2, 96**2, 96**2] and list(steps["bands"]) == [1, 4, 1]
    assert set(rows["device"]) == {machine()["device"]} and set(rows["stage"]) == {0}


def test_table_iv_is_planned_from_the_committed_costs(capsys):
    rows = read_study(ROOT / "workflow" / "table4.csv")
    assert len(rows) == 2 * (7 + 7 + 5)  # LTTR and CMS need the response, which Chikusei does not have
    assert main(["plan", str(ROOT / "workflow" / "table4.csv")]) == 0
    said = capsys.readouterr().out
    assert all(row.name in said for row in rows) and "days" in said and read_costs(MEASURED).machine in said


def test_a_longer_training_and_a_larger_image_cost_more():
    known = read_costs(MEASURED)
    paper = StudyRow("cave", 4, "ifmsr", "figure4", preset="paper")
    cave, harvard = plan([paper, replace(paper, data="harvard", split="seed-0")], known)["hours"]
    assert harvard > cave > 24


def test_every_part_of_a_training_has_its_stage():
    parts = subjects(StudyRow("cave", 4, "ifmsr-test-family", "figure4", preset="ifmsr-test-family"))
    assert [part.stage for part in parts if part.part == "training"] == [0, 1, 2]

from itertools import product

import numpy as np
import pandas as pd
import pytest

from ifmsr.inference.api import load_method
from ifmsr.study.comparison import paired_differences, write_differences
from ifmsr.study.evaluation import Task, evaluate
from ifmsr.study.names import DIGITS
from ifmsr.study.rows import read_rows
from ifmsr.study.table4 import table4


def rows(psnr):
    """Made-up rows: psnr[method][scene] holds one value a seed."""
    lines = [
        {"dataset": "CAVE", "scale": 4, "scene": scene, "seed": seed, "method": method}
        | dict.fromkeys(DIGITS, value)
        for method, scenes in psnr.items()
        for scene, values in scenes.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(lines)


def line(table, method, reference, metric="PSNR"):
    chosen = (table["method"] == method) & (table["reference"] == reference) & (table["metric"] == metric)
    (found,) = table[chosen].to_dict("records")
    return found


def test_the_difference_is_the_mean_over_scenes_of_the_mean_over_seeds():
    given = {"A": {"x": [30, 32], "y": [40, 40]}, "B": {"x": [31, 35], "y": [39, 40]}}
    found = line(paired_differences(rows(given)), "B", "A")
    assert found["difference"] == pytest.approx((2 - 0.5) / 2)
    assert (found["better"], found["scenes"], found["seeds"]) == (1, 2, 2)


def test_the_other_way_round_is_the_mirror_image_and_sam_is_better_when_lower():
    given = {"A": {"x": [1], "y": [2], "z": [3]}, "B": {"x": [2], "y": [2.5], "z": [1]}}
    table = paired_differences(rows(given))
    there, back = line(table, "B", "A"), line(table, "A", "B")
    assert (there["low"], there["high"]) == pytest.approx((-back["high"], -back["low"]))
    assert there["better"] == 2 and line(table, "B", "A", "SAM")["better"] == 1


def test_the_interval_is_the_percentiles_of_all_possible_resamples():
    values = dict(zip("vwxyz", (0.0, 1.0, 5.0, 2.0, 3.5), strict=True))
    given = {"A": {name: [0.0] for name in values}, "B": {name: [value] for name, value in values.items()}}
    every = [np.mean(draw) for draw in product(values.values(), repeat=5)]
    found = line(paired_differences(rows(given)), "B", "A")
    assert found["low"] == pytest.approx(np.percentile(every, 2.5), abs=0.15)
    assert found["high"] == pytest.approx(np.percentile(every, 97.5), abs=0.15)


def test_pairing_shrinks_the_interval_that_scenes_alone_would_give():
    scenes = {name: 30.0 + 5 * i for i, name in enumerate("uvwxyz")}
    given = {"A": {n: [v] for n, v in scenes.items()}, "B": {n: [v + 1] for n, v in scenes.items()}}
    found = line(paired_differences(rows(given)), "B", "A")
    assert found["low"] == pytest.approx(1) and found["high"] == pytest.approx(1)


def test_one_scene_has_no_interval():
    found = line(paired_differences(rows({"A": {"x": [1]}, "B": {"x": [2]}})), "B", "A")
    assert found["difference"] == 1 and np.isnan(found["low"]) and np.isnan(found["high"])


def test_a_real_evaluation_with_two_seeds(tmp_path):
    methods = {name: load_method(name, 4) for name in ("bicubic", "gsa")}
    evaluate(Task("indian-pines", "spatial", seeds=(0, 1)), methods, tmp_path)
    table = pd.read_csv(write_differences(tmp_path, tmp_path))
    found = line(table, "GSA", "Bicubic")
    means = pd.read_csv(tmp_path / "rows.csv").groupby("method")["PSNR"].mean()
    assert found["difference"] == pytest.approx(means["gsa"] - means["bicubic"], rel=1e-4)
    assert found["seeds"] == 2
    spread = table4(read_rows(tmp_path)).set_index(["metric", "method"]).loc[("PSNR", "GSA"), "seed_spread"]
    by_seed = pd.read_csv(tmp_path / "rows.csv").query("method == 'gsa'")["PSNR"]
    assert spread == pytest.approx(by_seed.std()) and spread > 0

"""Table IV: values computed by hand, and rows that must not be mixed."""

import numpy as np
import pandas as pd
import pytest

from ifmsr.errors import InputError
from ifmsr.runs import Run
from ifmsr.scenes.indian_pines import IndianPines
from ifmsr.study.names import DIGITS
from ifmsr.study.rendering import LATEX, wide, write_table4
from ifmsr.study.rows import read_rows
from ifmsr.study.table4 import PUBLISHED, table4

CONFIG = {"preset": "test"}


def rows_of(method, values, dataset="cave", scale=4, schedule="", **changes):
    """One row a (scene, seed): `values` maps it to the PSNR; the other metrics follow from it."""
    rows = [
        {
            "dataset": dataset, "split": "figure4", "scene": scene, "scale": scale, "alignment": "released",
            "seed": seed, "method": method, "schedule": schedule, "PSNR": psnr, "SSIM": psnr / 100,
            "SAM": 100 / psnr, "ERGAS": 50 / psnr, "RMSE": 10 ** (-psnr / 20), "seconds": 0.5,
        }
        for (scene, seed), psnr in values.items()
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**changes)


def evaluation(folder, *methods, config=CONFIG):
    with Run(folder, config=config, seeds=[0]) as run:
        pd.concat(methods).to_csv(run.record("rows.csv"), index=False)
    return folder


def cell(table, metric, method):
    line = table[(table["metric"] == metric) & (table["method"] == method)]
    assert len(line) == 1
    return line.iloc[0]


TWO = {("face", 0): 30.0, ("face", 1): 32.0, ("balloons", 0): 40.0, ("balloons", 1): 42.0}
BETTER = {key: psnr + 5 for key, psnr in TWO.items()}


@pytest.fixture
def cave(tmp_path):
    bicubic = rows_of("bicubic", TWO)
    return evaluation(tmp_path / "cave", bicubic, rows_of("IFMSR", BETTER, schedule="200 epochs, 26 images"))


def test_the_published_table_is_whole():
    published = pd.read_csv(PUBLISHED)
    assert list(published.groupby(["dataset", "scale"], sort=False).size()) == [5] * 6
    assert published.isna().sum().sum() == 20  # LTTR and CMS on Chikusei
    theirs = published.set_index(["dataset", "scale", "metric"])["IFMSR"]
    assert (theirs["CAVE", 4, "PSNR"], theirs["Chikusei", 8, "RMSE"]) == (44.64, 0.012)


def test_the_mean_is_over_scenes_after_seeds(tmp_path):
    uneven = {("face", 0): 30.0, ("face", 1): 32.0, ("balloons", 0): 41.0}
    table = table4(read_rows(evaluation(tmp_path / "x", rows_of("bicubic", uneven))))
    line = cell(table, "PSNR", "Bicubic")
    assert line["ours"] == pytest.approx((31 + 41) / 2)  # not (30 + 32 + 41) / 3
    assert line["spread"] == pytest.approx(np.sqrt(50))  # of 31 and 41
    assert (line["scenes"], line["seeds"]) == (2, 2)


def test_published_ours_and_their_difference(cave):
    table = table4(read_rows(cave))
    line = cell(table, "PSNR", "IFMSR")
    assert line["published"] == 44.64
    assert line["ours"] == pytest.approx(41.0)
    assert line["difference"] == pytest.approx(41.0 - 44.64)
    assert line["schedule"] == "200 epochs, 26 images"
    assert (line["split"], line["alignment"], line["preset"]) == ("figure4", "released", "test")


def test_what_does_not_exist_is_empty(cave):
    table = table4(read_rows(cave))
    assert table["method"].unique().tolist() == [
        "Bicubic", "LTTR", "CMS", "PZRes-Net", "MHF-net", "MoG-DCN", "UAL", "IFMSR",
    ]  # fmt: skip
    bicubic, ual = cell(table, "SAM", "Bicubic"), cell(table, "SAM", "UAL")
    assert np.isnan(bicubic["published"]) and np.isnan(bicubic["difference"]) and bicubic["ours"] > 0
    assert np.isnan(ual["ours"]) and np.isnan(ual["difference"]) and ual["published"] == 5.68
    assert pd.isna(ual["scenes"])


def test_the_misprint_is_kept_and_marked(cave):
    table = table4(read_rows(cave))
    line = cell(table, "RMSE", "PZRes-Net")
    assert line["published"] == 0.084
    assert "contradicts its own PSNR" in line["note"]
    assert (table["note"] != "").sum() == 1


def test_dashes_say_why(tmp_path):
    table = table4(read_rows(evaluation(tmp_path / "x", rows_of("bicubic", TWO, dataset="chikusei"))))
    marked = table[table["note"] != ""]
    assert set(marked["method"]) == {"LTTR", "CMS"} and len(marked) == 10
    assert marked["published"].isna().all()
    assert marked["note"].str.contains("spectral response function").all()
    published = wide(table).set_index("").loc["published"]
    assert (published["LTTR"] == "— †").all()


def test_our_best_is_bold_and_our_second_underlined_in_each_direction(tmp_path):
    third = {key: psnr - 5 for key, psnr in TWO.items()}
    methods = rows_of("bicubic", TWO), rows_of("closed-form", third), rows_of("IFMSR", BETTER)
    cells = wide(table4(read_rows(evaluation(tmp_path / "x", *methods))))
    ours = cells[cells[""] == "ours"]
    assert len(ours) == len(DIGITS)
    assert ours["IFMSR"].str.startswith("**").all()
    assert ours["Bicubic"].str.startswith("<u>").all()
    assert not ours["Closed-form"].str.contains(r"\*|<u>").any()
    assert ours["IFMSR"].iloc[0] == "**41.00** ± 7.07"
    theirs = cells[cells[""] != "ours"]
    assert not theirs.apply(lambda column: column.str.contains(r"\*\*|<u>")).any(axis=None)


def test_equal_figures_share_a_mark_and_a_lone_method_has_none(tmp_path):
    same = rows_of("closed-form", TWO)
    tied = wide(table4(read_rows(evaluation(tmp_path / "a", rows_of("bicubic", TWO), same))))
    assert tied.loc[1, "Bicubic"] == tied.loc[1, "Closed-form"] == "**36.00** ± 7.07"
    alone = wide(table4(read_rows(evaluation(tmp_path / "b", same))))
    assert alone.loc[1, "Closed-form"] == "36.00 ± 7.07"


def test_a_data_set_that_is_not_in_the_paper_has_no_published_lines(tmp_path):
    rows = rows_of("bicubic", {("test", 0): 30.0}, dataset="indian-pines")
    table = table4(read_rows(evaluation(tmp_path / "x", rows)))
    assert table["dataset"].unique().tolist() == ["Indian Pines"]
    assert table["published"].isna().all()
    cells = wide(table)
    assert list(cells.columns) == ["metric", "", "Bicubic"]
    assert (cells[""] == "ours").all()
    assert cells.loc[0, "Bicubic"] == "30.00"  # one scene has no spread


def test_a_table_of_indian_pines_says_that_the_file_is_damaged(cave, tmp_path):
    pines = evaluation(tmp_path / "pines", rows_of("bicubic", {("test", 0): 30.0}, dataset="indian-pines"))
    _, md, tex = write_table4([cave, pines], tmp_path / "out")
    theirs, ours = md.read_text().split("**Indian Pines x4**")
    assert f"\nIndian Pines: {IndianPines.caveat}." in ours and "damaged" not in theirs
    assert r"Indian Pines: 3 \% of the values" in tex.read_text()


def test_the_written_files(cave, tmp_path):
    other = evaluation(tmp_path / "x8", rows_of("bicubic", TWO, scale=8))
    csv, md, tex = write_table4([cave, other], tmp_path / "out")
    table = pd.read_csv(csv)
    assert len(table) == 5 * (8 + 8)
    assert cell(table[table["scale"] == 4], "PSNR", "IFMSR")["ours"] == pytest.approx(41.0)
    text = md.read_text()
    assert "**CAVE x4**" in text and "**CAVE x8**" in text
    assert "2 scenes of split figure4, 2 seeds; degradation preset test, alignment released." in text
    assert "Ours, IFMSR: 200 epochs, 26 images." in text
    assert "| 0.084 † |" in text and "† PZRes-Net's RMSE" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {11}  # the same eight methods in both blocks
    assert tex.read_text().count(r"\begin{tabular}") == tex.read_text().count(r"\bottomrule") == 2


def test_latex_needs_no_unicode_and_no_unescaped_sign(tmp_path):
    rows = rows_of("IFMSR", TWO, schedule="50 % of 200_epochs")
    _, _, tex = write_table4(evaluation(tmp_path / "x", rows), tmp_path)
    assert tex.read_text().isascii()
    assert r"50 \% of 200\_epochs" in tex.read_text()
    assert wide(table4(read_rows(tmp_path / "x")), LATEX).loc[1, "IFMSR"] == r"36.00 $\pm$ 7.07"


def test_an_unfinished_run_raises(cave):
    (cave / "manifest.json").unlink()
    with pytest.raises(InputError, match="unfinished"):
        read_rows(cave)


@pytest.mark.parametrize(
    ("changes", "config", "problem"),
    [
        ({"alignment": "centred"}, CONFIG, "mixes the alignments 'centred', 'released'"),
        ({}, {"preset": "train"}, "mixes the presets 'test', 'train'"),
        ({}, {**CONFIG, "side": 192}, "mixes the sides 0, 192"),
        ({"split": "names-20-12"}, CONFIG, "CAVE: mixes the splits 'figure4', 'names-20-12'"),
    ],
)
def test_protocols_are_never_mixed(cave, tmp_path, changes, config, problem):
    other = evaluation(tmp_path / "other", rows_of("bicubic", TWO, scale=8, **changes), config=config)
    with pytest.raises(InputError, match=problem):
        read_rows([cave, other])


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (rows_of("bicubic", TWO), "Bicubic has several rows"),
        (rows_of("closed-form", {("face", 0): 30.0}), "Closed-form.* were not run on the same scenes"),
        (rows_of("bicubic", {("hairs", 0): 30.0}, schedule="another"), "mixes the schedules '', 'another'"),
    ],
)
def test_methods_are_compared_on_equal_terms(cave, tmp_path, other, problem):
    with pytest.raises(InputError, match=problem):
        read_rows([cave, evaluation(tmp_path / "other", other)])


def test_unusable_rows_raise_by_name(tmp_path):
    whole = rows_of("bicubic", TWO)
    broken = {
        "columns": (whole.drop(columns="SAM"), "columns .'SAM'. are missing"),
        "empty": (whole.iloc[:0], "no rows"),
        "nan": (whole.assign(SSIM=np.nan), "a metric is NaN"),
        "nameless": (whole.assign(method=""), "a row has no method"),
        "nowhere": (whole.assign(dataset=[None, *whole["dataset"][1:]]), "a row has no dataset"),
    }
    for name, (rows, problem) in broken.items():
        with pytest.raises(InputError, match=f"{name}.*rows.csv: .*{problem}"):
            read_rows(evaluation(tmp_path / name, rows))
    with Run(tmp_path / "training", config=CONFIG):
        pass
    with pytest.raises(InputError, match="there is no such file"):
        read_rows(tmp_path / "training")
    with pytest.raises(InputError, match="no evaluation folder"):
        read_rows([])

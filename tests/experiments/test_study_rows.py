import pytest

from ifmsr.cli import main
from ifmsr.errors import InputError
from ifmsr.experiments.study_rows import COLUMNS, StudyRow, read_study
from ifmsr.paths import ROOT
from ifmsr.training import PRESETS

HEAD = "data,scale,method,split,seed,preset\n"
GOOD = "indian-pines,4,bicubic,spatial,0,\n"


@pytest.fixture
def study(tmp_path):
    """A function that writes a study's file."""

    def write(text):
        path = tmp_path / "study.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_rows_are_read_whatever_the_order_of_the_columns_and_the_spaces(study):
    path = study("\ufeffmethod, data,preset,scale,seed,split\r\n\r\nifmsr, cave ,paper,8,3,figure4\r\n")
    (row,) = read_study(path)
    assert row == StudyRow("cave", 8, "ifmsr", "figure4", 3, "paper")
    assert row.name == "cave-x8-ifmsr-figure4-s3-paper"
    (config,) = row.stages()
    assert config == with_scale_and_seed("paper", 8, 3)
    assert row.task().seeds == (3,) and row.task().scale == 8


def with_scale_and_seed(name, scale, seed):
    return type(PRESETS[name])(
        **{**PRESETS[name].identity(), "scale": scale, "seed": seed, "checkpoint_every": 300}
    )


def test_training_in_stages_ends_with_the_preset():
    stages = StudyRow("cave", 4, "ifmsr-test-family", "figure4", 0, "ifmsr-test-family").stages()
    assert len(stages) == 3 and stages[-1] == PRESETS["ifmsr-test-family"]
    assert StudyRow("cave", 4, "ifmsr-test-family", "figure4").stages() == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"study\.csv: it has no rows"),
        (HEAD, r"study\.csv: it has no rows"),
        (
            "data,scale,methd,split,seed,preset\n" + GOOD,
            r"line 1: there is no column 'methd'\. Did you mean method\?",
        ),
        ("data,scale,method,split,seed\n" + GOOD[:-2], r"line 1: the column preset is missing"),
        ("data,data,scale,method,split,seed,preset\nx," + GOOD, r"line 1: the column data is there twice"),
        (HEAD + "cave,4,bicubic\n", r"line 2: it has 3 values\. Give 6"),
        (HEAD + GOOD + GOOD.replace("bicubic", "bicubci"), r"line 3, method: .*Did you mean bicubic\?"),
        (HEAD + GOOD + "\n" + GOOD, r"line 4: the row of line 2 again"),
        (HEAD + GOOD.replace(",4,", ",four,"), r"line 2, scale: found 'four'"),
        (HEAD + GOOD.replace(",4,", ",4.5,"), r"line 2, scale: found '4\.5'"),
        (HEAD + GOOD.replace(",4,", ",0,"), r"line 2, scale: found 0"),
        (HEAD + GOOD.replace(",0,", ",-1,"), r"line 2, seed: found '-1'"),
        (HEAD + GOOD.replace(",0,", ",,"), r"line 2, seed: found ''"),
        (
            HEAD + GOOD.replace("indian-pines", "indian-pine"),
            r"line 2, data set.*Did you mean indian-pines\?",
        ),
        (HEAD + GOOD.replace("spatial", "../up"), r"line 2, split: '\.\./up' is no name"),
        (
            HEAD + "cave,4,ifmsr,figure4,0,papre\n",
            r"line 2, preset: 'papre' is unknown\. Did you mean paper\?",
        ),
        (HEAD + "cave,4,gsa,figure4,0,paper\n", r"line 2, preset: gsa needs no training"),
        (HEAD + "cave,4,ual,figure4,0,paper\n", r"line 2, preset: paper does not train ual\..*common-ual"),
        (HEAD + "cave,5,ual,figure4,0,ual\n", r"line 2, patch_side: 128 is no multiple of scale 5"),
        (HEAD + 'cave,4,"ual,figure4,0,\n', r"study\.csv: cannot be read as the table of a study"),
    ],
)
def test_what_is_refused_names_file_and_line(study, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_study(study(text))
    assert "study.csv" in str(caught.value)


def test_a_missing_file_and_an_unknown_row_are_one_line_each(study, tmp_path, capsys):
    assert main(["study", str(tmp_path / "none.csv"), "--out", str(tmp_path / "out")]) == 2
    assert "none.csv: there is no such file" in capsys.readouterr().err
    words = ["study", str(study(HEAD + GOOD)), "--out", str(tmp_path / "out"), "--row"]
    assert main([*words, "indian-pines-x4-bicubic-spatial-s1"]) == 2
    assert "Did you mean indian-pines-x4-bicubic-spatial-s0?" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((ROOT / "workflow").glob("*.csv")), ids=lambda path: path.name)
def test_committed_studies_can_be_read(path):
    rows = read_study(path)
    assert len({row.name for row in rows}) == len(rows) > 1
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)

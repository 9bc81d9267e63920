import os
import shutil
import subprocess
import sys
import tomllib
from typing import get_args

import pytest

import ifmsr
from ifmsr.assessment import Guide
from ifmsr.cli import main, parser
from ifmsr.cli.arguments import ALIGNMENTS, DEGRADATIONS, GRIDS, GUIDES, METRICS, PRECISIONS, read_settings
from ifmsr.degradation.protocol import Alignment, Preset
from ifmsr.errors import InputError, RunFailed
from ifmsr.inference.api import super_resolve
from ifmsr.methods import method_names
from ifmsr.paths import PACKAGE, ROOT
from ifmsr.precision import Precision
from ifmsr.study import robustness
from ifmsr.study.names import DIGITS

COMMANDS = next(action for action in parser()._actions if action.dest == "command").choices
HEAVY = ("numpy", "torch", "scipy", "pandas", "matplotlib", "yaml", "papermill")


def python(*arguments, folder=ROOT):
    """Run this interpreter with the package in `folder`."""
    paths = {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=folder, env={**os.environ, **paths}
    )


def test_help_and_wrong_arguments_import_nothing_heavy():
    program = f"""
import sys
from ifmsr.cli import main
for words in [["--help"], ["--version"], ["tarin"], ["train"], *([name, "--help"] for name in {list(COMMANDS)!r})]:
    try:
        main(words)
    except SystemExit:
        pass
print("heavy:", *sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    done = python("-c", program)
    assert done.stdout.splitlines()[-1] == "heavy:", done.stderr
    assert done.stdout.count("usage: ifmsr") == 1 + len(COMMANDS)


@pytest.mark.parametrize(
    ("line", "expected"),
    [("ifmsr super", "super-resolve"), ("ifmsr assess --gui", "--guide"), ("ifmsr assess --guide s", "srgb")],
)
def test_a_shell_can_complete_a_line(tmp_path, monkeypatch, line, expected):
    """As `eval "$(register-python-argcomplete ifmsr)"` makes the shell ask."""
    answer = tmp_path / "answer"
    for name, value in {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }.items():
        monkeypatch.setenv(name, value)
    assert python("-m", "ifmsr").returncode == 0
    assert expected in answer.read_text().split("\x0b")[0].split()


@pytest.mark.parametrize("given", [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}])
def test_idle_threads_leave_their_cores_to_other_programs(monkeypatch, given):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main(["--version"])
    expected = given or {"GOMP_SPINCOUNT": "1000"}
    assert {name: os.environ[name] for name in os.environ if name.startswith(("GOMP_S", "OMP_W"))} == expected


def test_the_package_is_imported_at_once_and_its_names_at_first_use():
    program = f"""
import sys
import ifmsr
assert "super_resolve" in dir(ifmsr)
print(*sorted(set({HEAVY!r}) & set(sys.modules)), "-")
from ifmsr import super_resolve
print(*sorted({{"scipy", "pandas", "h5py", "matplotlib"}} & set(sys.modules)), "-")
"""
    done = python("-c", program)
    assert done.stdout.splitlines() == ["-", "-"], done.stderr


def test_the_lazy_names_are_the_real_ones():
    assert ifmsr.super_resolve is super_resolve
    with pytest.raises(AttributeError, match="super_resovle"):
        _ = ifmsr.super_resovle


def test_the_version_is_the_installed_one_and_all_files_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = next(line for line in changelog.splitlines() if line.startswith("## "))
    assert newest.split()[1] == project["version"]
    assert f"\nversion: {project['version']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert python("-m", "ifmsr", "--version").stdout.strip() == f"ifmsr {ifmsr.__version__}"


def test_a_package_on_the_path_that_is_not_installed_has_no_version(tmp_path):
    (tmp_path / "ifmsr").mkdir()
    shutil.copy(PACKAGE / "__init__.py", tmp_path / "ifmsr")
    done = python("-S", "-c", "import ifmsr; print(ifmsr.__version__)", folder=tmp_path)
    assert done.stdout == "unknown\n", done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_it_understands(name):
    start, _, words = COMMANDS[name].epilog.partition("ifmsr ")
    assert start == "example: " and parser().parse_args(words.split()).command == name


def test_every_option_has_its_help():
    silent = [
        f"{name} {action.option_strings or action.dest}"
        for name, command in COMMANDS.items()
        for action in command._actions
        if not action.help
    ]
    assert silent == []


def test_the_parsers_choices_are_the_librarys():
    assert set(DEGRADATIONS) == set(get_args(Preset))
    assert set(ALIGNMENTS) == set(get_args(Alignment))
    assert set(PRECISIONS) == set(get_args(Precision))
    assert set(GUIDES) == set(get_args(Guide))
    assert set(GRIDS) == set(robustness.GRIDS)
    assert tuple(DIGITS) == METRICS


@pytest.mark.parametrize(
    ("words", "listed"),
    [
        (("evaluate", "--data", "indian-pines", "--split", "spatial", "--method", "ifmrs"), "'ifmsr'"),
        (("evaluate", "--data", "indian-pnies", "--split", "spatial", "--method", "bicubic"), "indian-pines"),
        (
            ("robustness", "--data", "indian-pines", "--split", "spatial", "--method", "ifmsr"),
            "subspace-net",
        ),
        (("train", "--data", "indian-pines", "--split", "spatial", "--preset", "quik"), "'quick'"),
        (("ablations", "--data", "indian-pines", "--split", "spatial", "--preset", "quik"), "'ablation'"),
        (("ablations", "--data", "indian-pines", "--split", "spatial", "--variant", "5 stages"), "4 stages"),
        (("data", "check", "cvae"), "cave"),
        (("train", "--data", "indian-pines", "--split", "spatial", "--set", "epochs"), "NAME=VALUE"),
        (("tables", "somewhere"), "--out"),
        (("reproduce", "table4", "--data", "cvae"), "cvae-x4"),
    ],
)
def test_the_library_checks_names_and_lists_them(tmp_path, capsys, words, listed):
    out = () if words[0] in ("data", "tables", "reproduce") else ("--out", str(tmp_path / "out"))
    assert main([*words, *out]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ifmsr: ") and listed in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_a_run_that_fails_ends_with_1(monkeypatch, capsys):
    def fail():
        raise RunFailed("the loss was NaN")

    monkeypatch.setattr("ifmsr.doctor.report", fail)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == "ifmsr: the loss was NaN\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGPIPE")
def test_a_command_ends_quietly_when_the_reader_of_its_pipe_stops():
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "ifmsr", "methods"]
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_warning_is_one_line_without_the_code_that_raised_it():
    program = """
import warnings
import ifmsr.doctor
from ifmsr.cli import main
ifmsr.doctor.report = lambda: warnings.warn("no GPU", stacklevel=2)
usual = warnings.formatwarning
main(["doctor"])
assert warnings.formatwarning is usual
"""
    done = python("-c", program)
    assert done.stderr == "ifmsr: warning: no GPU\n"


def test_every_method_is_listed_with_its_weights(capsys):
    assert main(["methods"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert set(lines) == set(method_names())
    assert lines["closed-form"].startswith("training-free and blind: ")
    assert lines["closed-form"].endswith("(no training)")
    assert lines["subspace-net"].endswith("(weights: subspace-net)")
    assert lines["ual-fusion"] == "UAL without the adaptation (weights: ual-x4, ual-x8)"


def test_the_papers_table_can_be_read_without_results(capsys):
    assert main(["tables"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("dataset   scale  metric  LTTR   CMS    PZRes-Net")
    assert lines[1] == "CAVE      4      PSNR    32.34  34.17  41.78      41.06    43.14    45.83  44.64"
    assert [line.split()[3:5] for line in lines if line.startswith("Chikusei")] == [["-", "-"]] * 10
    assert sum("*" in line for line in lines) == 2 and lines[-1].startswith("* PZRes-Net's RMSE")


def test_the_doctor_says_what_is_installed_and_where_weights_are(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "spectral", None)
    monkeypatch.setenv("IFMSR_WEIGHTS", str(tmp_path))
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "extra study: installed" in lines and f"weights in {tmp_path}: none" in lines
    assert any(
        line.startswith("extra geo: without ") and 'pip install "ifmsr[geo]"' in line for line in lines
    )
    assert any("ifmsr-x4" in line for line in lines if line.startswith("weights in "))


def test_settings_are_read_as_numbers_where_they_are():
    texts = ("1e-4", "5", "0.5", "true", "released", "[1, 2]", "-2.5E3")
    values = [read_settings([f"name={text}"])["name"] for text in texts]
    assert values == [1e-4, 5, 0.5, True, "released", [1, 2], -2500.0]
    assert [type(value) for value in values[:3]] == [float, int, float]
    assert read_settings(["a=1", "b=x=y"]) == {"a": 1, "b": "x=y"}
    with pytest.raises(InputError, match="NAME=VALUE"):
        read_settings(["a"])

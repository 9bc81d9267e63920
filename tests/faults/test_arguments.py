"""Commands with arguments of every wrong kind: one line that says what is wrong, never a traceback."""

import argparse
import os
import signal
import traceback
import webbrowser
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from ifmsr.cli import main, parser
from ifmsr.experiments.costs import COLUMNS
from ifmsr.notebooks import in_place, runner
from ifmsr.training import loop

CASES = int(os.environ.get("IFMSR_ARGUMENT_CASES", "180"))
SEED = int(os.environ.get("IFMSR_FUZZ_SEED", "0"))
SECONDS = 5  # what runs longer has accepted its arguments and works
COMMANDS = next(action for action in parser()._actions if action.dest == "command").choices
WRONG = (
    "nan", "-inf", "1e999", "-1", "0", "0.5", "99999999999999999999", "1e-400", "", " ", "x" * 5000,
    "\udcff", "a\0b", "[]", "{a: b}", "null", "/dev/null", ".", "missing/a.npy", "lr.npy", "rgb.png", "e",
    "é", "=", "a=b", "epochs=nan", "epochs=-1", "scale=x", "options.features=1e9", "options.x=1",
    "learning_rate=inf", "batch=[1]", "network=ifsmr", "seed=1e30", "decay_every=0.5", "patch_side=7",
    "precision=half", "start=lr.npy", "bicubci", "cave", "figure4", "seed--1", "seed-99999999999999999999",
    "cuda:99", "!!python/object:os.system", "&a [*a]", "1,2,3", "1,2", "0,0,0", "table4", "3",
)  # fmt: skip
PAIR = ["lr.npy", "rgb.png"]
SPLIT = ["--data", "indian-pines", "--split", "spatial", "--out", "out"]
GOOD = {
    "super-resolve": [*PAIR, "-o", "out.npy", "--method", "bicubic"],
    "assess": PAIR,
    "methods": [],
    "cameras": [],
    "view": ["lr.npy", "-o", "page.html"],
    "data": ["check", "indian-pines"],
    "doctor": [],
    "train": [*SPLIT, "--set", "options.features=4", "--set", "start=''"],
    "ship": ["e", "e"],
    "evaluate": [*SPLIT, "--method", "bicubic", "--side", "16"],
    "robustness": [*SPLIT[:4], "--out", "grid", "--method", "bicubic", "--side", "16"],
    "tables": ["e", "--out", "tables"],
    "figures": ["e", "--out", "figures"],
    "runs": ["."],
    "compare": ["e", "e"],
    "study": ["study.csv", "--out", "study", "--row", "indian-pines-x4-bicubic-spatial-s0"],
    "plan": ["study.csv", "--machine", "costs.csv"],
    "ablations": [*SPLIT, "--variant", "full"],
    "reproduce": ["e", "--out", "again"],
    "run": ["n.ipynb", "--out", "runs"],
    "new-experiment": ["mine"],
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with one of everything; nothing is trained or executed, no browser opened, nothing fetched."""
    random = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IFMSR_DATA", str(tmp_path / "data"))
    np.save("lr.npy", random.random((4, 8, 8), np.float32))
    Image.fromarray(random.integers(0, 255, (16, 16, 3), np.uint8)).save("rgb.png")
    Path("study.csv").write_text("data,scale,method,split,seed,preset\nindian-pines,4,bicubic,spatial,0,\n")
    lines = ["run,,,0,0,0,0,3,200", "scene,,,0,4,4096,31,0.1,300", "method,bicubic,,0,4,4096,31,0.1,300"]
    Path("costs.csv").write_text(",".join(COLUMNS) + "\n" + "".join(f"{line},CPU,1,2,0\n" for line in lines))
    cell = nbformat.v4.new_code_cell("scale = 4", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), "n.ipynb")
    assert main(["evaluate", *SPLIT[:4], "--out", "e", "--method", "bicubic", "--side", "16"]) == 0
    for part, answer in (("learn", None), ("save_weights", Path("weights.safetensors"))):
        monkeypatch.setattr(loop, part, lambda *_, given=answer: given)
    for room in (runner, in_place):
        monkeypatch.setattr(
            room, "execute", lambda notebook, _, copy, __: copy.write_bytes(notebook.read_bytes())
        )
    monkeypatch.setattr(webbrowser, "open", lambda _: True)
    return tmp_path


class StillWorking(BaseException):
    """The command has accepted its arguments."""


def outcome(words: list[str]) -> str:
    """How a command ended; "error" and the traceback if by an exception that a user would see."""

    def late(*_):
        raise StillWorking

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return {0: "done", 1: "failed", 2: "refused", 130: "interrupted"}[main(words)]
    except SystemExit as end:
        return "refused" if end.code == 2 else "done"
    except StillWorking:
        return "working"
    except Exception:
        return f"error: {words} {traceback.format_exc(limit=-4)}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def changed(words: list[str], command: argparse.ArgumentParser, random: np.random.Generator) -> list[str]:
    """A good command line with one to three wrong arguments."""
    words = list(words)
    options = [action for action in command._actions if action.option_strings and action.dest != "help"]
    for _ in range(random.integers(1, 4)):
        wrong = WRONG[random.integers(len(WRONG))]
        kind = random.integers(4)
        if kind == 0 and words:
            words[random.integers(len(words))] = wrong
        elif kind == 1 and words:
            del words[random.integers(len(words))]
        elif options:
            option = options[random.integers(len(options))]
            words.append(option.option_strings[-1])
            count = option.nargs if isinstance(option.nargs, int) else 1
            words += [WRONG[random.integers(len(WRONG))] for _ in range(count)]
    return words


def test_every_command_has_a_good_example():
    assert set(GOOD) == set(COMMANDS)


def test_no_argument_ends_in_a_traceback(place, capsys):
    outcomes, errors = Counter(), []
    for number in range(CASES):
        random = np.random.default_rng((SEED, number))
        name = list(GOOD)[number % len(GOOD)]
        found = outcome([name, *changed(GOOD[name], COMMANDS[name], random)])
        outcomes[found.partition(":")[0]] += 1
        if found.startswith("error"):
            errors.append(found)
        said = capsys.readouterr().err
        if found in ("refused", "failed") and "usage:" not in said:
            lines = [
                line for line in said.splitlines() if line.startswith("ifmsr: ") and "warning" not in line
            ]
            assert len(lines) == 1 or name == "super-resolve", (name, said)  # one line per pair
    with capsys.disabled():
        print(
            f"\n{CASES} command lines: {', '.join(f'{count} {kind}' for kind, count in sorted(outcomes.items()))}"
        )
    assert not errors, "\n".join(errors[:8])


def test_a_misspelt_name_is_answered_with_the_right_one(place, capsys):
    for words, meant in (
        (["train", *SPLIT, "--set", "epohcs=3"], "epochs"),
        (["train", *SPLIT, "--set", "network=ifsmr"], "ifmsr"),
        (["train", *SPLIT, "--preset", "quikc"], "quick"),
        (["evaluate", *SPLIT, "--method", "bicubci"], "bicubic"),
        (["evaluate", "--data", "indian-pine", *SPLIT[2:], "--method", "bicubic"], "indian-pines"),
        (["run", "n.ipynb", "-p", "scael", "4"], "scale"),
        (["super-resolve", *PAIR, "-o", "out.npz", "--method", "gas"], "gsa"),
        (["super-resolve", *PAIR, "-o", "out.nyp"], ".npz or .npy"),
        (["super-resolve", *PAIR, "-o", "out.npy", "--srf", "nikn-d700"], "nikon-d700"),
    ):
        assert main(words) == 2
        assert f"Did you mean {meant}" in (said := capsys.readouterr().err), said


def test_braces_in_a_files_name_are_its_name(place, capsys):
    assert main(["assess", "{a}---.npy", "rgb.png"]) == 2
    assert capsys.readouterr().err.startswith("ifmsr: {a}---.npy: there is no such file")

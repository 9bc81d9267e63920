import errno
import os
import stat
import subprocess
import sys

import pytest

from ifmsr.errors import InputError
from ifmsr.files import WriteError, make_folder, write_atomically, write_text
from ifmsr.paths import ROOT


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = write_text(tmp_path / "new" / "a.txt", "old")

    def half(file):
        file.write(b"new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, half)
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == ["a.txt"]


def test_only_ordinary_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("pipe", "folder", "link"):
        with pytest.raises(InputError, match=f"{name}: it is no ordinary file"):
            write_text(tmp_path / name, "text")
    assert sorted(os.listdir(tmp_path)) == ["folder", "link", "pipe"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("a" * 300), f"{tmp_path}/a\0b"):
        with pytest.raises(InputError, match="it cannot be made a folder"):
            make_folder(place)
    assert make_folder(tmp_path / "a" / "b") == make_folder(tmp_path / "a" / "b")


PROGRAM = r"""
import json, locale, os, sys
from pathlib import Path

import numpy as np

from ifmsr.cli import main
from ifmsr.methods.bicubic import Bicubic
from ifmsr.notebooks.parameters import read_profile
from ifmsr.runs import Run, read_manifest
from ifmsr.study.comparison import write_differences
from ifmsr.study.evaluation import Task, evaluate, read_task
from ifmsr.study.rendering import write_table4
from ifmsr.study.rows import read_rows

assert locale.getpreferredencoding(False).lower() not in ("utf-8", "utf8")
out = Path(sys.argv[1])
SCHEDULE = "32 patches of 48\u00b2, \u03b2 0.99"


class Trained(Bicubic):
    title = "Gr\u00f6\u00dfer"
    schedule = SCHEDULE


task = Task("indian-pines", "spatial", side=48)
for _ in range(2):  # the second time from the files
    rows = evaluate(task, {"bicubic": Trained(), "plain": Bicubic()}, out / "e")
    assert rows["schedule"].tolist() == [SCHEDULE, ""]
assert read_task(out / "e").side == 48
assert read_rows(out / "e")["schedule"].tolist() == [SCHEDULE, ""]
assert main(["tables", str(out / "e"), "--out", str(out / "tables")]) == 0
assert "\u00b2" in Path(write_table4(out / "e", out / "tables")[1]).read_text(encoding="utf-8")
assert "plain" in write_differences(out / "e", out).read_text(encoding="utf-8")
with Run(out / "run", {"\u00fc": SCHEDULE}):
    pass
assert read_manifest(out / "run")["config"] == {"\u00fc": SCHEDULE}
(out / "run" / "manifest.json").write_text(
    json.dumps(read_manifest(out / "run"), ensure_ascii=False), encoding="utf-8"
)
assert read_manifest(out / "run")["config"] == {"\u00fc": SCHEDULE}
(out / "profile.yaml").write_text("a:\n  name: \u00fc", encoding="utf-8")
assert read_profile(out / "profile.yaml", ["a.ipynb"]) == {"a": {"name": "\u00fc"}}
np.save(out / "lr.npy", np.full((2, 4, 4), 0.5, np.float32))
np.save(out / "rgb.npy", np.full((3, 8, 8), 0.5, np.float32))
images = [str(out / "lr.npy"), str(out / "rgb.npy")]
path = str(out / os.fsdecode("\u00fc.npy".encode()))  # as the shell would hand it over
assert main(["super-resolve", *images, "--method", "bicubic", "-o", path]) == 0
"""


def test_results_are_written_and_read_in_a_locale_without_utf_8(tmp_path):
    ascii_only = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii:strict",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path],
        cwd=ROOT,
        env={**os.environ, **ascii_only},
        capture_output=True,
        encoding="ascii",
        errors="replace",
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_no_text_file_is_read_in_the_encoding_of_the_locale():
    sources = [*ROOT.glob("ifmsr/**/*.py"), *ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("notebooks/*.ipynb")]
    assert len(sources) > 100
    for source in sources:
        text = source.read_text(encoding="utf-8")
        assert ".read_text()" not in text and "text=True" not in text, source


def test_whatever_the_disk_reports_is_one_sentence(tmp_path, monkeypatch):
    path = write_text(tmp_path / "a.txt", "old")
    for number, reason in ((errno.ENOSPC, "the disk is full"), (errno.EIO, "the device reports an error")):
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", lambda _, number=number: (_ for _ in ()).throw(OSError(number, "x")))
            with pytest.raises(
                WriteError, match=f"a.txt: it cannot be written: {reason}. What was .* unchanged"
            ) as caught:
                write_text(path, "new")
        assert caught.value.errno == number
    with pytest.raises(WriteError, match="the name is too long"):
        write_text(tmp_path / ("a" * 300), "new")
    with pytest.raises(InputError, match="no ordinary file"):
        write_text(f"{tmp_path}/a\0b", "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_names_of_the_longest_kind_are_written(tmp_path):
    assert write_text(tmp_path / ("ü" * 127), "x").read_text() == "x"


def test_temporary_files_of_dead_processes_alone_are_removed(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead, alive = (tmp_path / f".a.txt.{pid}-abcd_123.tmp" for pid in (child.pid, os.getppid()))
    others = [
        tmp_path / name
        for name in (f".b.txt.{child.pid}-abcd_123.tmp", ".a.txt.swp", f"a.{child.pid}-abcd_123.tmp")
    ]
    for path in (dead, alive, *others):
        path.touch()
    write_text(tmp_path / "a.txt", "new")
    assert sorted(tmp_path.iterdir()) == sorted([alive, *others, tmp_path / "a.txt"])


def test_the_folder_is_flushed_after_the_file(tmp_path, monkeypatch):
    flushed, move = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(stat.S_ISDIR(os.fstat(number).st_mode)))
    monkeypatch.setattr(os, "replace", lambda *names: (flushed.append("moved"), move(*names)))
    write_text(tmp_path / "a.txt", "new")
    assert flushed == [False, "moved", True]

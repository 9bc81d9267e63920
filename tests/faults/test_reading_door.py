"""Damaged files of every format: read, or refused by an InputError, in seconds and in bounded memory."""

import json
import os
import string
from contextlib import suppress
from pathlib import Path

import pytest
from faults import fuzz
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ifmsr.errors import InputError
from ifmsr.io import read_cube
from ifmsr.notebooks.parameters import read_profile
from ifmsr.runs import MANIFEST, manifest_of
from ifmsr.scenes.response import read_srf
from ifmsr.study.evaluation import read_task

CASES = int(os.environ.get("IFMSR_FUZZ_CASES", "2000"))
SEED = int(os.environ.get("IFMSR_FUZZ_SEED", "0"))
MANY = settings(
    max_examples=max(CASES // 20, 50),
    deadline=None,
    derandomize=SEED == 0,
    suppress_health_check=list(HealthCheck),
)


def test_mutated_files_are_read_or_refused(capsys):
    outcomes, faults = fuzz.run(SEED, CASES)
    with capsys.disabled():
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        print(f"\n{sum(outcomes.values())} mutated files: {counts}")
    assert not faults, json.dumps(faults[:5], indent=2)
    assert sum(outcomes.values()) == CASES and outcomes["read"] > CASES / 20 < outcomes["refused"]


def refused_or_read(read, *arguments):
    with suppress(InputError):
        read(*arguments)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("door")


MANIFEST_ENTRIES = {
    "git": None, "config": {"dataset": "cave"}, "seeds": [0], "data": {"a": "b"}, "versions": {}, "machine": {},
    "started": "2026-01-01T00:00:00", "finished": "2026-01-01T00:00:00", "seconds": 1.0, "files": {},
}  # fmt: skip
TASK_ENTRIES = {"dataset": "cave", "split": "figure4", "scale": 4, "preset": "test", "seeds": [0], "side": 0}


@MANY
@given(
    changed=st.dictionaries(st.sampled_from([*MANIFEST_ENTRIES]), JSON),
    left_out=st.sets(st.sampled_from([*MANIFEST_ENTRIES])),
)
def test_manifests_of_any_entries(place, changed, left_out):
    content = {name: value for name, value in (MANIFEST_ENTRIES | changed).items() if name not in left_out}
    (place / MANIFEST).write_text(json.dumps(content))
    refused_or_read(manifest_of, place)


@MANY
@given(changed=st.dictionaries(st.sampled_from([*TASK_ENTRIES, "unknown"]), JSON) | JSON)
def test_tasks_of_any_entries(place, changed):
    content = TASK_ENTRIES | changed if isinstance(changed, dict) else changed
    (place / "task.json").write_text(json.dumps(content))
    refused_or_read(read_task, place)


LINES = st.lists(
    st.sampled_from(["a:", "  b: 1", "- x", "&a [1, *a]", "*a", "<<: *b", "? [1]", "!!int x", "2026-99-99",
         "{", "}", "'", "\t", "...", "---"])
    | st.text(string.printable, max_size=12),
    max_size=8,
)  # fmt: skip


@MANY
@given(lines=LINES)
def test_profiles_of_any_lines(place, lines):
    (place / "p.yaml").write_text("\n".join(lines), encoding="utf-8")
    refused_or_read(read_profile, place / "p.yaml", ["a.ipynb"])


NUMBERS = st.integers().map(str) | st.floats().map(str) | st.text(max_size=4)


@MANY
@given(rows=st.lists(st.lists(NUMBERS, min_size=3, max_size=5), max_size=4))
def test_response_tables_of_any_cells(place, rows):
    text = "\n".join(["wavelength_nm,R,G,B", *(",".join(row) for row in rows)])
    (place / "srf.csv").write_text(text, encoding="utf-8")
    refused_or_read(read_srf, place / "srf.csv")


HEADER = {
    "samples": "3", "lines": "4", "bands": "2", "header offset": "0", "data type": "2", "interleave": "bsq",
    "byte order": "0",
    "wavelength": "{400, 500}", "wavelength units": "Nanometers", "fwhm": "{5, 5}", "bbl": "{1, 0}",
    "data ignore value": "-9999",
    "map info": "{UTM, 1, 1, 257000, 4112000, 1, 1, 11, North, WGS-84}", "band names": "{a, b}",
    "reflectance scale factor": "1e4",
    "coordinate system string": "{}", "data gain values": "{1, 2}",
}  # fmt: skip
ENTRY = (
    NUMBERS
    | st.lists(NUMBERS, max_size=12).map(lambda numbers: "{" + ", ".join(numbers) + "}")
    | st.sampled_from(["bil", "bip", "{", "}", "-1", "9" * 400, "1e400", "nan"])
)


@MANY
@given(changed=st.dictionaries(st.sampled_from([*HEADER]), ENTRY, max_size=3))
def test_envi_headers_of_any_entries(place, changed):
    header = "ENVI\n" + "\n".join(f"{name} = {value}" for name, value in (HEADER | changed).items())
    Path(place / "a.hdr").write_text(header, encoding="utf-8")
    (place / "a.img").write_bytes(bytes(range(48)))
    refused_or_read(read_cube, place / "a.hdr")

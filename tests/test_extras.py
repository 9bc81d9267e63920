import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath

import h5py
import numpy as np
import pytest
import spectral
import tifffile
from scipy.io import savemat

from ifmsr.cli import main
from ifmsr.errors import InputError
from ifmsr.extras import EXTRAS, MissingExtra, missing, require
from ifmsr.io import read_cube
from ifmsr.paths import PACKAGE, ROOT
from ifmsr.scenes import open_dataset
from ifmsr.scenes.download import check, fetch_archive

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMPORTED_AS = {"pillow": "PIL", "pyyaml": "yaml"}
CUBE = np.random.default_rng(0).integers(0, 65536, (12, 16, 5)).astype(np.uint16)  # (H, W, B)


@pytest.fixture
def without(monkeypatch):
    """A function that makes a package look as if it were not installed."""
    return lambda package: monkeypatch.setitem(sys.modules, package, None)


def sentence(package, extra):
    return re.escape(f'{package}: this package is not installed. Install it: pip install "ifmsr[{extra}]".')


def write(path):
    match path.suffix:
        case ".tif":
            tifffile.imwrite(path, CUBE, photometric="minisblack")
        case ".hdr":
            spectral.envi.save_image(str(path), CUBE, interleave="bil")
        case ".mat":
            with h5py.File(path, "w", userblock_size=512) as file:  # as MATLAB lays v7.3 out
                file["cube"] = CUBE.T
                file["cube"].attrs["MATLAB_class"] = np.bytes_("uint16")
    return path


@pytest.mark.parametrize(("kind", "package"), [("tif", "rasterio"), ("hdr", "spectral"), ("mat", "h5py")])
def test_a_file_type_whose_reader_is_missing_names_the_extra(tmp_path, without, kind, package):
    path = write(tmp_path / f"mine.{kind}")
    np.testing.assert_allclose(read_cube(path).values, CUBE.transpose(2, 0, 1) / 65535, rtol=1e-6)
    without(package)
    with pytest.raises(InputError, match=f"^{sentence(package, 'geo')}$"):
        read_cube(path)


def test_older_mat_files_need_no_extra(tmp_path, without):
    savemat(tmp_path / "old.mat", {"cube": CUBE})
    without("h5py")
    assert read_cube(tmp_path / "old.mat").values.shape == (5, 12, 16)


def test_indian_pines_without_tensorly_is_not_at_hand(without):
    assert check("indian-pines").complete
    without("tensorly")
    with pytest.raises(InputError, match=sentence("tensorly", "study")):
        open_dataset("indian-pines")
    report = check("indian-pines")
    assert not report.present and 'pip install "ifmsr[study]"' in str(report)


def test_a_download_without_requests_names_the_extra(tmp_path, without, monkeypatch):
    monkeypatch.delitem(sys.modules, "ifmsr.scenes.http", raising=False)
    without("requests")
    with pytest.raises(InputError, match=sentence("requests", "study")):
        fetch_archive("https://example.org/a.zip", tmp_path, {PurePosixPath("a/b.png"): (1, "00")})


def test_the_command_line_ends_with_2_and_the_sentence(without, capsys, tmp_path):
    without("yaml")
    assert main(["train", "--data", "x", "--split", "y", "--out", str(tmp_path), "--set", "epochs=1"]) == 2
    assert re.search(sentence("yaml", "study"), capsys.readouterr().err)


def test_a_room_whose_extra_is_missing_says_so_when_it_is_imported():
    rooms = {
        "study": "pandas",
        "training": "pandas",
        "experiments": "pandas",
        "figures": "matplotlib",
        "viewer": "matplotlib",
        "viewer.widget": "anywidget",
        "notebooks": "papermill",
    }
    program = f"""
import importlib, sys
for room, package in {rooms!r}.items():
    sys.modules[package] = None
    try:
        importlib.import_module(f"ifmsr.{{room}}")
    except ImportError as error:
        print(error)
    del sys.modules[package]
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    extra = {"papermill": "notebooks", "anywidget": "viewer"}
    assert len(lines) == len(rooms)
    for line, package in zip(lines, rooms.values(), strict=True):
        assert re.fullmatch(sentence(package, extra.get(package, "study")), line)


def test_what_is_missing_of_an_extra_is_listed(without):
    without("h5py")
    without("spectral")
    assert {"h5py", "spectral"} <= set(missing("geo"))
    with pytest.raises(MissingExtra, match=r"^spectral"):
        require("rasterio", "spectral", "h5py")


def distributions(requirements):
    """The import names of a list of requirements, extras of ifmsr itself left out."""
    names = [re.match(r"[A-Za-z0-9-]+", text).group().lower() for text in requirements]
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names} - {"ifmsr"}


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports, but for those it can do without."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    optional = {
        node
        for attempt in ast.walk(tree)
        if isinstance(attempt, ast.Try) and any("ImportError" in ast.dump(h) for h in attempt.handlers)
        for statement in attempt.body
        for node in ast.walk(statement)
    }
    found = set()
    for node in set(ast.walk(tree)) - optional:
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"ifmsr"}


def required(path: Path) -> set[str]:
    """The packages that `require` checks in a file or in its room."""
    text = path.read_text(encoding="utf-8")
    room = path.parent / "__init__.py"
    text += room.read_text(encoding="utf-8") if path.parent != PACKAGE else ""
    return {name for call in re.findall(r"require\(([^)]*)\)", text) for name in re.findall(r'"(\w+)"', call)}


def test_every_package_that_is_imported_is_declared_and_every_optional_one_checked():
    core = distributions(PROJECT["dependencies"])
    assert "torch" in core and "pandas" not in core
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 100
    unchecked = {str(path.relative_to(PACKAGE)): imported(path) - core - required(path) for path in files}
    assert {path: names for path, names in unchecked.items() if names} == {}


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_extras_bring_what_their_sentence_promises(extra):
    assert set(EXTRAS[extra]) <= distributions(PROJECT["optional-dependencies"][extra])


def test_all_is_every_extra():
    (everything,) = PROJECT["optional-dependencies"]["all"]
    named = set(re.search(r"\[(.*)\]", everything).group(1).split(","))
    assert named == set(PROJECT["optional-dependencies"]) - {"all"}

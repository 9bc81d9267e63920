"""The wheel, installed without extras into a fresh environment and tried from an empty folder.

Run by ``make wheel-test``, not by default: PyTorch is installed anew, which takes a minute or more.
"""

import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ifmsr import super_resolve
from ifmsr.degradation import degrade
from ifmsr.paths import ROOT, WEIGHTS
from ifmsr.scenes import Scene, open_dataset

pytestmark = pytest.mark.wheel

SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
BARE = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("IFMSR_", "PYTHON")) and name != "VIRTUAL_ENV"
}
RESOLVE = """
import sys
import numpy as np
from ifmsr import super_resolve
for path in sys.argv[2:]:
    images = np.load(path)
    sr = super_resolve(images["lr"], images["rgb"], int(images["scale"]), method=sys.argv[1])
    np.save(f"{sys.argv[1]}-x{images['scale']}.npy", sr)
"""


def run(*command, folder, **environment):
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env={**BARE, **environment}, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def succeed(*command, folder, **environment):
    code, out, error = run(*command, folder=folder, **environment)
    assert code == 0, f"{' '.join(map(str, command))}\n{out}\n{error}"
    return out


def content(folder: Path) -> dict[str, str]:
    """Every file but compiled ones, by its SHA-256."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy without what earlier builds left behind."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copy(ROOT / name, source)
    for folder in ("ifmsr", "results/paper", "results/weights"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    succeed(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", out, source, folder=out)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A fresh environment with the wheel and what it depends on, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    succeed(sys.executable, "-m", "venv", folder, folder=folder)
    python, lock = folder / "bin" / "python", ROOT / "requirements.lock"
    succeed(python, "-m", "pip", "install", "--quiet", "-c", lock, wheel, folder=folder)
    return folder


@pytest.fixture(scope="module")
def package(environment) -> Path:
    (found,) = environment.glob("lib/python*/site-packages/ifmsr")
    return found


@pytest.fixture
def here(package, tmp_path):
    """An empty folder to work in; afterwards the installed package is as it was."""
    before = content(package)
    assert len(before) > 100
    folder = tmp_path / "empty"
    folder.mkdir()
    yield folder
    assert content(package) == before
    assert not (package.parent / "results").exists() and not (package.parent / "data").exists()


@pytest.fixture
def ifmsr(environment, here):
    """Run the installed command in the empty folder."""
    return lambda *arguments, **variables: run(
        environment / "bin" / "ifmsr", *arguments, folder=here, **variables
    )


@pytest.fixture(scope="module")
def observations():
    """Pairs of real images at x4 and x8: 31 bands of Indian Pines."""
    cube = open_dataset("indian-pines").load("test").cube[10:41, :48, :48]
    scene = Scene("part", np.ascontiguousarray(cube), rgb_bands=(24, 14, 4))
    return {scale: degrade(scene, scale) for scale in (4, 8)}


@pytest.fixture
def pairs(observations, here):
    """The pairs as files, in order of their scales."""
    for scale, pair in observations.items():
        np.savez(here / f"pair-x{scale}.npz", lr=pair.lr, rgb=pair.rgb, scale=scale)
    return [here / f"pair-x{scale}.npz" for scale in observations]


def test_the_environment_has_what_the_core_needs_and_no_extra(environment, here):
    python = environment / "bin" / "python"
    succeed(python, "-m", "pip", "check", folder=here)
    names = {
        line.partition("=")[0].lower() for line in succeed(python, "-m", "pip", "freeze", folder=here).split()
    }
    assert {"torch", "numpy", "scipy", "safetensors"} <= names
    assert not {"pandas", "matplotlib", "tensorly", "tifffile", "papermill", "pytest"} & names


@pytest.mark.parametrize("method", ["closed-form", "subspace-net", "ifmsr"])
def test_methods_give_what_they_give_in_the_checkout(environment, here, pairs, observations, method):
    succeed(environment / "bin" / "python", "-c", RESOLVE, method, *pairs, folder=here)
    for scale, pair in observations.items():
        expected = super_resolve(pair.lr, pair.rgb, scale, method=method)
        np.testing.assert_allclose(np.load(here / f"{method}-x{scale}.npy"), expected, atol=1e-4)


def test_the_readmes_first_lines_run(environment, here, pairs):
    lines = re.search(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    ).group(1)
    assert "super_resolve" in lines
    program = f"""
import numpy as np
images = np.load("pair-x4.npz")
lr, rgb = images["lr"], images["rgb"]
{lines}
assert sr.shape == (31, 48, 48) and error.shape == (48, 48)
"""
    succeed(environment / "bin" / "python", "-c", program, folder=here)


def test_the_command_line_answers_at_once(ifmsr):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code, out, _ = ifmsr("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert code == 0 and "super-resolve" in out
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
    assert ifmsr("--version")[:2] == (0, f"ifmsr {VERSION}\n")


def test_files_are_super_resolved(ifmsr, here, observations):
    pair = observations[4]
    np.save(here / "lr.npy", pair.lr)
    Image.fromarray((255 * pair.rgb.transpose(1, 2, 0)).round().astype(np.uint8)).save(here / "rgb.png")
    words = ("super-resolve", "lr.npy", "rgb.png", "-o", "sr.npy")
    code, out, error = ifmsr(*words, "--method", "subspace-net", "--error", "error.npy")
    assert code == 0 and out.endswith("sr.npy\nerror.npy\n"), error
    assert out.index("\nblur: ") < out.index("\nsr.npy"), "the assessment comes first"
    assert np.load(here / "sr.npy").shape == (31, 48, 48) and np.load(here / "error.npy").shape == (48, 48)

    code, _, error = ifmsr(*words, "--method", "mog-dcn")
    assert code == 2 and "mog-dcn-x4.safetensors" in error and "git clone --depth 1" in error
    code, _, error = ifmsr(*words, "--method", "mog-dcn", IFMSR_WEIGHTS=str(WEIGHTS))
    assert code == 0, error


def test_doctor_methods_and_the_published_table(ifmsr, package, here):
    code, out, error = ifmsr("doctor")
    assert code == 0, error
    assert f"ifmsr {VERSION}" in out and "an installed package" in out
    assert f"weights in {package / 'shipped' / 'weights'}: ifmsr-test-family-x4, ifmsr-x4, ifmsr-x8," in out
    for extra in ("study", "geo", "notebooks"):
        assert f'pip install "ifmsr[{extra}]"' in out
    assert "weights: ifmsr-x4, ifmsr-x8" in ifmsr("methods")[1]
    assert "44.64" in ifmsr("tables")[1].splitlines()[1]
    assert f" images in {Path('data', 'cave')}" in ifmsr("data", "check", "cave")[1]


@pytest.mark.parametrize(
    ("words", "missing", "extra"),
    [
        (
            ("super-resolve", "a.tif", "a.tif", "-o", "b.npy"),
            "rasterio",
            "geo",
        ),
        (
            ("evaluate", "--data", "cave", "--split", "figure4", "--method", "gsa", "--out", "b"),
            "pandas",
            "study",
        ),
        (("tables", "results", "--out", "b"), "pandas", "study"),
        (("train", "--data", "cave", "--split", "figure4", "--out", "b"), "pandas", "study"),
        (("reproduce", "table4", "--set", "epochs=1", "--train"), "pandas", "study"),
        (("figures", "results", "--out", "b"), "pandas", "study"),
        (("run", "a.ipynb"), "ipykernel", "notebooks"),
    ],
)
def test_a_command_that_needs_an_extra_says_which(ifmsr, words, missing, extra):
    code, out, error = ifmsr(*words)
    sentence = f'{missing}: this package is not installed. Install it: pip install "ifmsr[{extra}]".'
    assert (code, out, error) == (2, "", f"ifmsr: {sentence}\n")


def test_types_travel_with_the_package(package):
    assert (package / "py.typed").is_file()


def test_with_extras_data_and_results_are_in_the_current_folder(wheel, tmp_path):
    """The wheel's files with this environment's packages: from a training to tables."""
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    succeed(sys.executable, "-m", "zipfile", "-e", wheel, site, folder=here)
    before = content(site)

    where = ["--data", "indian-pines", "--split", "spatial"]
    settings = ("epochs=1", "crops_per_scene=2", "batch=2", "bands_per_step=1")
    train = ["train", *where, "--preset", "quick", *(word for text in settings for word in ("--set", text))]
    evaluate = ["evaluate", *where, "--side", "32", "--method", "ifmsr"]
    weights = "results/training/weights.safetensors"
    commands = [
        [*train, "--out", "results/training"],
        [*evaluate, "--weights", weights, "--out", "results/mine"],
        ["tables", "results/mine", "--out", "results/tables"],
        ["ship", "results/training", "results/mine", "--name", "mine-x4"],
    ]
    program = f"from ifmsr.cli import main\nassert [main(words) for words in {commands!r}] == [0, 0, 0, 0]"
    succeed(sys.executable, "-c", program, folder=here, PYTHONPATH=str(site))
    assert "fine-tuned from ifmsr-x4" in (here / "results/mine/rows.csv").read_text(encoding="utf-8")
    made = {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()}
    assert {"results/mine/manifest.json", "results/tables/table4.md", "results/weights/mine-x4.json"} <= made
    assert all(name.startswith("results/") for name in made)
    assert content(site) == before

"""The lock files agree with each other and with pyproject.toml, and pip refuses a file that they do not know."""

import itertools
import re
import subprocess
import sys
import tomllib
import zipfile

from packaging.requirements import Requirement

from ifmsr.paths import ROOT

HASHED = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "requirements").glob("*.txt")}
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def locked(text):
    """The requirements of a lock file, each with its hashes."""
    lines = re.sub(r"#.*\n", "", text).replace("\\\n", "").splitlines()
    return {HASH.sub("", line).strip(): HASH.findall(line) for line in lines}


def spelt(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_versions_with_and_without_hashes_are_the_same():
    assert set(HASHED) == {"packages", "torch", "cuda"}
    hashed = locked(HASHED["packages"]) | locked(HASHED["torch"])
    assert sorted(hashed) == sorted(locked(LOCK)) and len(hashed) > 150
    for line, hashes in (hashed | locked(HASHED["cuda"])).items():
        assert hashes and len(set(hashes)) == len(hashes), line
        assert re.fullmatch(r"\S+==[^\s;]+( ; .+)?", line), line


def test_everything_that_pyproject_names_is_locked_within_its_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = {spelt(line.name): str(line.specifier)[2:] for line in map(Requirement, locked(LOCK))}
    named = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    asked = [Requirement(text) for text in named if not text.startswith("ifmsr")]
    assert len(asked) > 40
    for requirement in asked:
        assert requirement.specifier.contains(versions[spelt(requirement.name)]), requirement


def test_a_licence_is_listed_for_every_locked_version():
    rows = re.findall(
        r"^\| (\S+) \| (\S+) \| (.+) \|$", (ROOT / "requirements/licences.md").read_text(), re.MULTILINE
    )
    listed = {(name, version) for name, version, _ in rows[1:]}
    lines = locked("".join(HASHED.values()))
    assert listed == {(spelt(line.name), str(line.specifier)[2:]) for line in map(Requirement, lines)}
    assert {name for name, _, licence in rows if licence == "not stated"} <= {"cuda-toolkit"}


def test_pip_refuses_a_file_of_another_hash(tmp_path):
    """A wheel of the right name and version, with other content, which its finder knows no hash of."""
    line, hashes = next(item for item in locked(HASHED["packages"]).items() if item[0].startswith("six=="))
    package, version = line.split("==")
    wheel = tmp_path / f"{package}-{version}-py3-none-any.whl"
    about = f"{package}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")
    command = [sys.executable, "-m", "pip", "--isolated", "install", "--no-index", "--no-deps"]
    command += ["--target", str(tmp_path / "site"), "--find-links", str(tmp_path)]
    (tmp_path / "lock.txt").write_text(" \\\n    ".join([line, *hashes]) + "\n")
    done = subprocess.run([*command, "-r", str(tmp_path / "lock.txt")], capture_output=True, text=True)
    assert done.returncode == 1 and "DO NOT MATCH THE HASHES" in done.stderr and "Got" in done.stderr
    assert not (tmp_path / "site").exists()
    assert (
        subprocess.run([*command, line], capture_output=True).returncode == 0
    )  # it is a wheel, without hashes

"""The lock files and the list of licences: ``make lock`` and ``make licences``.

requirements.lock          every package with its version and the systems that need it
requirements/packages.txt  the same but PyTorch, with the SHA-256 of all files that the registry has of that version
requirements/torch.txt     PyTorch: the registry's files, and the one that pip finds where this is run, which may be
                           the smaller build without CUDA
requirements/cuda.txt      the CUDA libraries that the registry's build for Linux needs
requirements/licences.md   what each package is licensed under, by its own metadata

Needs uv and pip 25 or later beside this interpreter (``.venv-tools``).
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES, TORCH, CUDA = HERE / "packages.txt", HERE / "torch.txt", HERE / "cuda.txt"
VERSIONS, LICENCES = HERE.parent / "requirements.lock", HERE / "licences.md"
MADE = "# Made by: make lock\n"
LOWEST_PYTHON = "3.11.5"  # a package that builds the site needs it
OF_CUDA = re.compile(r"nvidia-|cuda-|triton\b")
OTHER_SYSTEM = ("--platform", "win_amd64", "--python-version", "3.12", "--only-binary", ":all:")
"""Has all packages that this system and this Python do not need."""


def lock() -> None:
    """Write the lock files: the newest versions that pyproject.toml allows, for every system."""
    command = [
        *(
            str(Path(sys.executable).parent / "uv"),
            "pip",
            "compile",
            "--quiet",
            "--system-certs",
            "--universal",
        ),
        *(
            "--no-header",
            "--no-annotate",
            "--python-version",
            LOWEST_PYTHON,
            "--generate-hashes",
            "--all-extras",
        ),
        str(HERE.parent / "pyproject.toml"),
    ]
    done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
    found = packages(done.stdout)
    torch = next(line for line in found if line.startswith("torch=="))
    (here,) = report(["--no-deps", torch])
    found[torch] = sorted({*found[torch], here["download_info"]["archive_info"]["hashes"]["sha256"]})
    cuda = {line: hashes for line, hashes in found.items() if OF_CUDA.match(line)}
    rest = {line: hashes for line, hashes in found.items() if line not in (torch, *cuda)}
    for path, part in {PACKAGES: rest, TORCH: {torch: found[torch]}, CUDA: cuda}.items():
        path.write_text(MADE + with_hashes(part), encoding="utf-8")
    about = "# Exact versions that make, the tests and the committed results use. Made by: make lock\n"
    VERSIONS.write_text(about + "".join(f"{line}\n" for line in found if line not in cuda), encoding="utf-8")


def packages(text: str) -> dict[str, list[str]]:
    """Requirement with its version and marker -> SHA-256 of its files, of a lock file with hashes."""
    joined = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "")
    lines = [line.split("--hash=sha256:") for line in joined.splitlines()]
    return {line[0].strip(): [digest.strip() for digest in line[1:]] for line in lines}


def with_hashes(found: dict[str, list[str]]) -> str:
    """A lock file as pip reads it."""
    return "".join(
        " \\\n    ".join([line, *(f"--hash=sha256:{digest}" for digest in hashes)]) + "\n"
        for line, hashes in found.items()
    )


def report(arguments: list[str]) -> list[dict]:
    """What pip would install, with the metadata of each package."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/report.json"
        target = ("--target", folder)  # which --platform asks for
        subprocess.run([*command, *target, "--report", out, *arguments], check=True)
        return json.loads(Path(out).read_text(encoding="utf-8"))["install"]


def licences() -> None:
    """Write the list of licences of all locked packages."""
    locked = [line for path in (PACKAGES, TORCH, CUDA) for line in packages(path.read_text())]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "listed.txt")
        listed.write_text("\n".join(locked))
        found |= named(report(["--no-deps", "-r", str(listed)]))
        elsewhere = [line.partition(" ;")[0] for line in locked if spelt(line) not in found]
        found |= named(report(["--no-deps", *OTHER_SYSTEM, *elsewhere]))
    rows = [f"| {name} | {version} | {licence} |" for name, (version, licence) in sorted(found.items())]
    LICENCES.write_text(
        "# Licences of the locked packages\n\n"
        "As each package's own metadata state them. Made by: make licences\n\n"
        "| package | version | licence |\n|---|---|---|\n" + "\n".join(rows) + "\n",
        encoding="utf-8",
    )


def named(installed: list[dict]) -> dict[str, tuple[str, str]]:
    """Package -> version and licence; a build of one's own, after a plus, is the same version."""
    every = [package["metadata"] for package in installed]
    return {spelt(about["name"]): (about["version"].partition("+")[0], licence(about)) for about in every}


def spelt(requirement: str) -> str:
    """The name of a requirement in its one spelling."""
    return re.sub(r"[-_.]+", "-", re.split(r"[=; ]", requirement)[0]).lower()


def licence(about: dict) -> str:
    """The licence expression of a package's metadata, else its classifiers, else its licence if that is a name."""
    classifiers = [text.rpartition(" :: ")[2] for text in about.get("classifier", []) if "License ::" in text]
    text = about.get("license", "").strip()
    name = "" if "\n" in text or text == "UNKNOWN" else text
    return about.get("license_expression") or ", ".join(classifiers) or name or "not stated"


if __name__ == "__main__":
    {"lock": lock, "licences": licences}[sys.argv[1]]()

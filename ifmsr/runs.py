"""Runs: folders of results with a `manifest.json`, which is written last and marks the run as finished."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch

from ifmsr.errors import InputError, shown
from ifmsr.files import make_folder, remove, sha256, sweep, write_text
from ifmsr.paths import CHECKOUT, RESULTS, ROOT
from ifmsr.precision import tf32_allowed, tf32_off
from ifmsr.untrusted import check_types, read_json

MANIFEST = "manifest.json"
PACKAGES = ("ifmsr", "torch", "numpy", "scipy")
RERUN = "Run the command that fills it again (ifmsr evaluate, ifmsr train, ifmsr run or make reproduce)"
ENTRIES = {
    "git": dict | None,
    "config": dict,
    "seeds": list,
    "data": dict,
    "started": str,
    "finished": str,
    "seconds": int | float,
    "files": dict,
}
"""Entry of a manifest -> its type."""
RESTORE = "Restore it (git checkout), or delete it and run the command that fills it again"


class Run:
    """Context manager of a run: writes a manifest with the origin of the results into a folder.

    Entering creates the folder. The manifest of an earlier run remains until the first result changes (`record`,
    `unfinish`), so a run that fails before that leaves the earlier one finished. Leaving without an exception writes
    a new manifest with the git commit, config, seeds, data hashes, versions, machine and times. If an exception or an
    interrupt occurs, or the process is killed, after the first change, the folder has no manifest. Inside, GPUs compute
    float32 without TF32; the manifest records the setting.

    Parameters
    ----------
    folder : the run's folder; created if missing.
    config : everything that determines the result: numbers, strings, lists, dicts, paths.
    seeds : the seeds that were used.
    data : SHA-256 of each input file, by a name that is valid on other machines.

    Absolute paths become relative to the project's root, or, where the package is installed, to the current folder
    (`ifmsr.paths.in_project` finds them again).

    Raises
    ------
    InputError : `config`, `seeds` or `data` contain a value that JSON cannot represent.

    Examples
    --------
    >>> with Run("results/mine", config={"scale": 4}, seeds=[0]) as run:      # doctest: +SKIP
    ...     table.to_csv(run.record("rows.csv"))
    """

    def __init__(
        self,
        folder: str | Path,
        config: Mapping[str, Any] | None = None,
        seeds: Iterable[int] = (),
        data: Mapping[Any, str] | None = None,
    ):
        self.folder = Path(folder).absolute()
        self._about = {
            "config": _portable("config", config or {}),
            "seeds": _portable("seeds", list(seeds)),
            "data": _portable("data", data or {}),
        }
        self._recorded: list[Path] = []

    def record(self, name: str | Path) -> Path:
        """Register the result file `name`, whose SHA-256 the manifest will contain; returns its path.

        Call it before writing the file: it removes the manifest of an earlier run. The file must exist when the run
        ends. `read_manifest` raises InputError if it is changed later.
        """
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise InputError(path, f"it is outside the run's folder {self.folder}", "Record files inside it")
        self.unfinish()
        self._recorded.append(path)
        return path

    def unfinish(self) -> None:
        """Remove the manifest of an earlier run, before results in the folder change."""
        remove(self.folder / MANIFEST)

    def update(self, config: Mapping[str, Any] | None = None, data: Mapping[Any, str] | None = None) -> None:
        """Add entries to the manifest's `config` and `data` that are known only during the run."""
        self._about["config"].update(_portable("config", config or {}))
        self._about["data"].update(_portable("data", data or {}))

    def __enter__(self) -> Self:
        make_folder(self.folder)
        sweep(self.folder)
        self._git = git_state()  # the code at the start of the run
        self._started = datetime.now(UTC)
        self._clock = time.perf_counter()
        self._finished = False
        self._settings = ExitStack()
        self._settings.enter_context(tf32_off())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._settings:  # restores the earlier settings
            if kind is None and not self._finished:
                self.finish()

    def finish(self) -> None:
        """Write the manifest now instead of on leaving, for example while a lock on the folder is held."""
        seconds = time.perf_counter() - self._clock
        manifest = {
            "git": self._git,
            **self._about,
            "versions": versions(),
            "machine": machine(),
            "started": self._started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "files": {path.relative_to(self.folder).as_posix(): sha256(path) for path in self._recorded},
        }
        write_text(self.folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")
        self._finished = True


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Read the manifest of a finished run.

    Raises
    ------
    InputError : there is no such run, it is unfinished, its manifest cannot be read, or one of its recorded files is
        missing or was changed since.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not folder.is_dir():
        raise InputError(folder, "there is no such run", RERUN)
    if not path.exists():
        raise InputError(folder, f"the run is unfinished: it has no {MANIFEST}", RERUN)
    manifest = manifest_of(folder)
    for name, digest in manifest["files"].items():
        if not (folder / name).is_file():
            raise InputError(folder / name, "this result of a finished run is missing", RERUN)
        if sha256(folder / name) != digest:
            raise InputError(folder / name, "it was changed after its run had finished", RESTORE)
    return manifest


def manifest_of(folder: str | Path) -> dict[str, Any]:
    """What a manifest says, without a look at the files that it records.

    Raises InputError if it cannot be read, or an entry is missing or of another type than `Run` writes.
    """
    path = Path(folder) / MANIFEST
    manifest = read_json(path, "a run's manifest", RERUN)
    check_types(path, manifest, ENTRIES, RERUN)
    for name, digest in manifest["files"].items():
        inside = PurePosixPath(name)
        if not isinstance(digest, str) or inside.is_absolute() or ".." in inside.parts or "\0" in name:
            raise InputError(path, f"its 'files' has {name!r}: {shown(digest)}", RERUN)
    return manifest


def git_state() -> dict[str, Any] | None:
    """The commit of the project, and whether files outside results/ differ from it; None outside a git checkout."""
    if not CHECKOUT:
        return None
    top = _git("rev-parse", "--show-toplevel")
    commit = _git("rev-parse", "--verify", "HEAD")
    if top is None or commit is None or Path(top).resolve() != ROOT:
        return None
    changes = _git("status", "--porcelain", "--", ".", f":(exclude){RESULTS.name}")
    return {"commit": commit, "dirty": changes != ""}


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that results depend on; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def machine() -> dict[str, Any]:
    """The machine: system, processor, number of CPUs, name of the GPU or None, and whether TF32 is allowed."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "gpu": gpu,
        "tf32": tf32_allowed(),
    }


def _git(*arguments: str) -> str | None:
    """The output of a git command, or None if git is missing or fails."""
    try:
        done = subprocess.run(
            ["git", "-C", ROOT, *arguments], capture_output=True, encoding="utf-8", check=True
        )
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _portable(where: str, value: Any) -> Any:
    """Convert `value` to JSON types; absolute paths become relative to the project's root."""
    match value:
        case None | bool() | int() | float():
            return value
        case np.generic():
            return value.item()
        case str() | Path():
            return Path(os.path.relpath(value, ROOT)).as_posix() if os.path.isabs(value) else str(value)
        case Mapping():
            return {_portable(where, key): _portable(where, entry) for key, entry in value.items()}
        case list() | tuple():
            return [_portable(where, entry) for entry in value]
    raise InputError(where, f"a manifest cannot hold {value!r}", "Give numbers, strings, lists or dicts")

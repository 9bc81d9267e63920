"""A run is a folder whose `manifest.json` is written last; without it nothing in the folder counts."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch

from ifmsr.errors import InputError
from ifmsr.files import make_folder, sha256, write_text
from ifmsr.paths import CHECKOUT, RESULTS, ROOT
from ifmsr.precision import tf32_allowed, tf32_off

MANIFEST = "manifest.json"
PACKAGES = ("ifmsr", "torch", "numpy", "scipy")
RERUN = "Run the command that fills it again (ifmsr evaluate, ifmsr train, ifmsr run or make reproduce)"
RESTORE = "Restore it (git checkout), or delete it and run the command that fills it again"


class Run:
    """Fill a folder so that everybody can tell whether it was finished, and from what it was made.

    Entering makes the folder. The manifest of an earlier run stays until the first result changes (`record`,
    `unfinish`), so a run that fails before that leaves the earlier one finished. Leaving without an exception writes
    a new manifest with the git commit, config, seeds, data hashes, versions, machine and times. After an exception,
    an interrupt or a killed process that came later than the first change there is none. Inside, GPUs compute float32
    without TF32; the manifest says so if that is changed.

    Parameters
    ----------
    folder : the run's folder; made if missing.
    config : everything that decides the result: numbers, strings, lists, dicts, paths.
    seeds : the seeds that were used.
    data : SHA-256 of every file that was read, by a name that means something on other machines.

    Absolute paths become relative to the project's root, or, where the package is installed, to the current folder
    (`ifmsr.paths.in_project` finds them again).

    Raises
    ------
    InputError : `config`, `seeds` or `data` hold something that JSON cannot.

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
        """The path of the result file `name` inside the folder, whose SHA-256 goes into the manifest.

        Call it before writing the file: from then on an earlier run in the folder no longer counts. The file need
        not exist before the run ends. `read_manifest` refuses the run if it is changed later.
        """
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise InputError(path, f"it is outside the run's folder {self.folder}", "Record files inside it")
        self.unfinish()
        self._recorded.append(path)
        return path

    def unfinish(self) -> None:
        """Remove the manifest of an earlier run, because results of the folder are about to change."""
        (self.folder / MANIFEST).unlink(missing_ok=True)

    def tell(self, config: Mapping[str, Any] | None = None, data: Mapping[Any, str] | None = None) -> None:
        """Add to `config` and `data` what is known only after the work."""
        self._about["config"].update(_portable("config", config or {}))
        self._about["data"].update(_portable("data", data or {}))

    def __enter__(self) -> Self:
        make_folder(self.folder)
        self._git = git_state()  # the code as it is now, not as it is when a long run ends
        self._started = datetime.now(UTC)
        self._clock = time.perf_counter()
        self._finished = False
        self._settings = ExitStack()
        self._settings.enter_context(tf32_off())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._settings:  # and back to those from before
            if kind is None and not self._finished:
                self.finish()

    def finish(self) -> None:
        """Write the manifest now, not on leaving: for a folder whose lock is held only here."""
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
    """The manifest of a finished run.

    Raises
    ------
    InputError : there is no such run, it was never finished, its manifest cannot be read, or one of its
        recorded files is missing or was changed since.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not folder.is_dir():
        raise InputError(folder, "there is no such run", RERUN)
    if not path.exists():
        raise InputError(folder, f"the run is unfinished: it has no {MANIFEST}", RERUN)
    try:
        manifest = dict(json.loads(path.read_text(encoding="utf-8")))
        files = dict(manifest["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"not a run's manifest ({error!r})", RERUN) from error
    for name, digest in files.items():
        if not (folder / name).is_file():
            raise InputError(folder / name, "this result of a finished run is missing", RERUN)
        if sha256(folder / name) != digest:
            raise InputError(folder / name, "it was changed after its run had finished", RESTORE)
    return manifest


def git_state() -> dict[str, Any] | None:
    """Commit of the project, and whether anything outside results/ differs from it; None outside a git checkout."""
    if not CHECKOUT:
        return None
    top = _git("rev-parse", "--show-toplevel")
    commit = _git("rev-parse", "--verify", "HEAD")
    if top is None or commit is None or Path(top).resolve() != ROOT:
        return None
    changes = _git("status", "--porcelain", "--", ".", f":(exclude){RESULTS.name}")
    return {"commit": commit, "dirty": changes != ""}


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that the numbers depend on; None for one not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def machine() -> dict[str, Any]:
    """What the run ran on: system, processor, number of CPUs, the GPU's name or None, and whether it may take TF32."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "gpu": gpu,
        "tf32": tf32_allowed(),
    }


def _git(*arguments: str) -> str | None:
    """What git prints, or None if there is no git or it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", ROOT, *arguments], capture_output=True, encoding="utf-8", check=True
        )
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _portable(where: str, value: Any) -> Any:
    """`value` as JSON holds it, with absolute paths turned into paths from the project's root."""
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

"""Download of CAVE (resumable, verified, safely unpacked), and a check of which data are available."""

import hashlib
import stat
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm.auto import tqdm

from ifmsr.errors import InputError
from ifmsr.files import sha256, write_atomically
from ifmsr.scenes import dataset_root, dataset_type
from ifmsr.scenes.cave import URL, Cave, published_files, published_scenes, scene_folder
from ifmsr.untrusted import decoding

BLOCK = 1 << 16  # bytes
Files = dict[PurePosixPath, tuple[int, str]]
"""Published files: path inside the data set -> (bytes, SHA-256)."""


@dataclass(frozen=True)
class Report:
    """The result of `check`.

    Attributes
    ----------
    dataset, root : name and folder of the data set.
    published : number of images of the complete data set.
    present : available, complete images.
    missing : images that are not available, if their names are known.
    problems : damaged or missing files and other faults, one line each.
    obtain : where to get the data and where to put them.
    caveat : a reservation about all results on this data set; "" if there is none.
    """

    dataset: str
    root: Path
    published: int
    present: tuple[str, ...]
    missing: tuple[str, ...]
    problems: tuple[str, ...]
    obtain: str
    caveat: str = ""

    @property
    def complete(self) -> bool:
        """Whether all images are available and without faults."""
        return len(self.present) == self.published and not self.problems

    def __str__(self) -> str:
        lines = [f"{self.dataset}: {len(self.present)} of {self.published} images in {self.root}"]
        if self.present and not self.complete:
            lines.append(f"  here: {', '.join(self.present)}")
        if self.missing:
            lines.append(f"  missing: {', '.join(self.missing)}")
        lines += [f"  problem: {problem}" for problem in self.problems]
        if not self.complete:
            lines.append(f"  to do: {self.obtain}")
        if self.caveat:
            lines.append(f"  note: {self.caveat}")
        return "\n".join(lines)


def check(name: str, root: str | Path | None = None, verify: bool = False) -> Report:
    """Check which images of the data set `name` are in `root` (default: `<data root>/<name>`) and which are missing.

    The sizes of CAVE's 1,024 files are compared with the published ones, with `verify` also their SHA-256. For other
    data sets the layout is checked; with `verify` each image is also opened.

    Raises
    ------
    InputError : no data set of that name. A missing or damaged data set is reported in the result.
    """
    kind = dataset_type(name)
    folder = dataset_root(name, root)
    if kind is Cave:
        return _check_cave(folder, verify)
    try:
        dataset = kind(folder)
    except InputError as error:
        return Report(name, folder, kind.published, (), (), (f"{error.where}: {error.problem}",), kind.obtain)
    present, problems = [], []
    for image in dataset.views or dataset.names:
        try:
            if verify:
                dataset.load(image, window=(0, 0, 8, 8))
            present.append(image)
        except InputError as error:
            problems.append(str(error))
    return Report(name, folder, kind.published, tuple(present), (), tuple(problems), kind.obtain, kind.caveat)


def fetch_cave(root: str | Path | None = None, url: str = URL) -> Report:
    """Download CAVE (395 MB) from the authors' address into `root`, unpack it, and check all 1,024 files.

    Existing valid files are kept; if all files are valid, nothing is downloaded. The next call resumes an interrupted
    download. A `complete_ms_data.zip` that was put into `root` by hand is used instead.

    Raises
    ------
    InputError : no network (the message says what to download by hand and where to put it), or the archive is
        damaged or unsafe.
    """
    folder = dataset_root("cave", root)
    if folder.name == "complete_ms_data":
        folder = folder.parent
    fetch_archive(url, folder, published_files())
    return check("cave", folder)


def fetch_archive(url: str, root: Path, files: Files) -> None:
    """Download the zip archive at `url` and unpack those of `files` that are not yet in `root`.

    Raises
    ------
    InputError : as `fetch_cave`.
    """
    wanted = {path: fact for path, fact in files.items() if not is_good(root / path, *fact)}
    if not wanted:
        return
    archive = root / PurePosixPath(url).name
    by_hand = archive.exists()
    if not by_hand:
        from ifmsr.scenes.http import download

        download(url, archive)
    try:
        unpack(archive, root, wanted)
    except InputError:
        if not by_hand:
            archive.unlink()  # a damaged download: the next call starts again
        raise
    if not by_hand:
        archive.unlink()


def unpack(archive: Path, root: Path, files: Files) -> None:
    """Unpack `files` from a zip archive into `root`; size and SHA-256 are checked before a file is put in place.

    Other members of the archive are ignored. Paths in the archive may omit the first folder.

    Raises
    ------
    InputError : not a zip archive, or damaged; a member with an absolute path, `..`, a symbolic link or without a
        name (then nothing is written); a listed file is missing or differs from the published one.
    """
    fix = f"Delete {archive.name} and fetch it again from the authors' address"
    with ExitStack() as stack:
        with decoding(archive, "a zip archive", fix):
            content = stack.enter_context(zipfile.ZipFile(archive))
        for member in content.infolist():
            _refuse_unsafe(archive, member)
        members = _find_members(content, files)
        missing = [str(path) for path in files if path not in members]
        if missing:
            raise InputError(archive, f"{len(missing)} files are not in it, such as {missing[0]}", fix)
        for path, member in tqdm(members.items(), desc="unpacking", unit="file"):
            _write_checked(root / path, _blocks(archive, content, member, fix), *files[path], archive)


def is_good(path: Path, size: int, digest: str | None) -> bool:
    """Whether the file exists with this size in bytes and, unless `digest` is None, this SHA-256."""
    return path.is_file() and path.stat().st_size == size and (digest is None or sha256(path) == digest)


def _refuse_unsafe(archive: Path, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename)
    outside = path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename
    if outside or not member.filename or stat.S_ISLNK(member.external_attr >> 16):
        fix = "Do not use this archive; fetch it from the authors' address"
        raise InputError(archive, f"an unsafe member {member.filename!r}: nothing was unpacked", fix)


def _find_members(content: zipfile.ZipFile, files: Files) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Published path -> member of the archive, whose path may omit the first folder."""
    members = {PurePosixPath(member.filename): member for member in content.infolist() if not member.is_dir()}
    found = {}
    for path in files:
        member = members.get(path) or members.get(PurePosixPath(*path.parts[1:]))
        if member is not None:
            found[path] = member
    return found


def _blocks(archive: Path, content: zipfile.ZipFile, member: zipfile.ZipInfo, fix: str) -> Iterator[bytes]:
    """The content of a member, block by block. Raises InputError if it is damaged."""
    with decoding(archive, "a zip archive", fix), content.open(member) as source:
        while block := source.read(BLOCK):
            yield block


def _write_checked(target: Path, blocks: Iterable[bytes], size: int, digest: str, archive: Path) -> None:
    """Write `blocks` to `target` if their size and SHA-256 are right; raises InputError otherwise."""

    def write_and_compare(file: IO[bytes]) -> None:
        written, running = 0, hashlib.sha256()
        for block in blocks:
            written += len(block)
            if written > size:
                break
            running.update(block)
            file.write(block)
        if written != size or running.hexdigest() != digest:
            raise InputError(
                archive, f"{target.name} in it is not the published file", "Fetch the archive again"
            )

    write_atomically(target, write_and_compare)


def _check_cave(root: Path, verify: bool) -> Report:
    present, missing, problems = [], [], []
    files = published_files()
    for scene in published_scenes():
        folder = scene_folder(root, scene)
        if folder is None:
            missing.append(scene)
            continue
        expected = {
            folder / path.name: fact for path, fact in files.items() if path.parts[1] == f"{scene}_ms"
        }
        bad = [
            file
            for file, (size, digest) in expected.items()
            if not is_good(file, size, digest if verify else None)
        ]
        problems += [f"{file}: {'not the published file' if file.exists() else 'missing'}" for file in bad]
        if not bad:
            present.append(scene)
    return Report("cave", root, Cave.published, tuple(present), tuple(missing), tuple(problems), Cave.obtain)

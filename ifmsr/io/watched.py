"""Replacing files by libraries that do not report a full disk (GDAL at the end of a file), or crash on it (HDF5)."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from ifmsr.files import replacing


class Watched(FileIO):
    """A file that adds what prevents its writing to the list `faults`, and then says that all was written."""

    def __init__(self, path: str | Path, mode: str = "rb", *, faults: list[OSError]):
        super().__init__(path, mode.replace("b", ""))
        self.faults = faults

    def write(self, content: Any, /) -> int:
        """Write all of the content, or after a fault nothing."""
        left = memoryview(content)
        try:
            while left and not self.faults:
                left = left[super().write(left) :]
        except OSError as error:
            self.faults.append(error)
        return len(content)


@contextmanager
def replacing_watched(path: Path) -> Iterator[tuple[Path, list[OSError]]]:
    """As `ifmsr.files.replacing`, and the list of faults for `Watched`, of which the first is raised at the end."""
    faults: list[OSError] = []
    with replacing(path) as temporary:
        try:
            yield temporary, faults
        except Exception:
            if not faults:
                raise
        if faults:
            raise faults[0]

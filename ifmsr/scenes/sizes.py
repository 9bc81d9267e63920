"""The sizes of data sets as published, for plans of computations on data that are not here."""

import csv
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod

from ifmsr.scenes.datasets import open_dataset
from ifmsr.scenes.response import PUBLISHED


@dataclass(frozen=True)
class Sizes:
    """How large the scenes of a split are.

    Attributes
    ----------
    train, validation, test : height and width of each scene in pixels.
    bands : number of bands of all scenes.
    """

    train: tuple[tuple[int, int], ...]
    validation: tuple[tuple[int, int], ...]
    test: tuple[tuple[int, int], ...]
    bands: int

    @property
    def training_bytes(self) -> int:
        """Bytes of all training and validation scenes, which a training keeps in memory as float32."""
        return 4 * self.bands * sum(prod(side) for side in (*self.train, *self.validation))


def split_sizes(data: str, split: str) -> Sizes:
    """The sizes of a split's scenes: from the published table, or from the data if it does not have them.

    Raises
    ------
    InputError : the table does not have the split, and the data are not here or have no such split.
    """
    with (PUBLISHED / "sizes.csv").open(newline="", encoding="utf-8") as file:
        rows = [
            row for row in csv.DictReader(file) if row["data"] == data and fnmatchcase(split, row["split"])
        ]
    if rows:
        sides = {row["part"]: ((int(row["height"]), int(row["width"])),) * int(row["scenes"]) for row in rows}
        return Sizes(sides["train"], sides["validation"], sides["test"], int(rows[0]["bands"]))
    opened = open_dataset(data)
    chosen = opened.split(split)

    def measured(names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
        return tuple(opened.load(name).cube.shape[1:] for name in names)

    return Sizes(measured(chosen.train), measured(chosen.validation), measured(chosen.test), opened.bands)

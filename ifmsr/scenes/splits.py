"""Splits into training, validation and test scenes: published lists, and seeded ones, equal on all machines."""

import hashlib
import json
from collections.abc import Sequence

from ifmsr.errors import InputError, did_you_mean
from ifmsr.scenes.base import Split
from ifmsr.scenes.response import PUBLISHED


def cave_split(name: str) -> Split:
    """A split of the 32 CAVE scenes.

    `figure4` (26 training and 6 test scenes) has the two scenes of the paper's figure 4, `face` and `balloons`, in the
    test set; the paper's own split is not published. `names-20-12` trains on the first 20 scenes by name, as is common.
    `random-0` to `random-4` are random splits of 26 and 6 scenes. `seed-<n>` is `seeded_split`. Two of the training
    scenes are held out for validation.

    Raises InputError for another name.
    """
    lists = json.loads((PUBLISHED / "cave_splits.json").read_text(encoding="utf-8"))
    if name not in lists:
        everything = lists["figure4"]["train"] + lists["figure4"]["test"]
        return split_by_seed("cave", name, everything, validation=2, others=tuple(lists))
    train, validation = hold_out(lists[name]["train"], count=2)
    return Split(train, validation, tuple(lists[name]["test"]))


def split_by_seed(
    dataset: str, name: str, names: Sequence[str], validation: int, others: Sequence[str] = ()
) -> Split:
    """The split `seed-<n>` of `names`: `seeded_split`, with `validation` training scenes held out.

    Raises InputError, which also lists the `others`, for another name.
    """
    kind, _, seed = name.partition("-")
    if kind != "seed" or not seed.isdecimal():
        choices = ", ".join([*others, "seed-0, seed-1, ..."])
        raise InputError(
            f"{dataset} split {name!r}",
            "there is no such split",
            f"{did_you_mean(name, others)}Choose one of {choices}",
        )
    return seeded_split(names, int(seed), validation=validation)


def seeded_split(names: Sequence[str], seed: int, train_fraction: float = 0.8, validation: int = 2) -> Split:
    """A random split (paper, section IV: 80 % train) that depends on the names and the seed alone.

    Scenes are ranked by a hash of seed and name, so the split is the same on all machines and library versions.
    """
    ranked = _shuffled(names, f"split-{seed}")
    count = round(train_fraction * len(ranked))
    train, held_out = hold_out(ranked[:count], validation, seed)
    return Split(train, held_out, tuple(sorted(ranked[count:])))


def hold_out(train: Sequence[str], count: int, seed: int = 0) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split the training names at random into (training names, `count` validation names).

    Raises InputError if no training scene remains.
    """
    if not 0 <= count < len(train):
        raise InputError("validation", f"{count} of {len(train)} training scenes", "Hold out fewer scenes")
    ranked = _shuffled(train, f"validation-{seed}")
    return tuple(sorted(ranked[count:])), tuple(sorted(ranked[:count]))


def _shuffled(names: Sequence[str], salt: str) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256(f"{salt}/{name}".encode()).digest())

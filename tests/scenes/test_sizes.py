import csv
from fnmatch import fnmatchcase

import pytest

from ifmsr.errors import InputError
from ifmsr.scenes import open_dataset
from ifmsr.scenes.cave import SIDE, Cave
from ifmsr.scenes.chikusei import Chikusei, _windows
from ifmsr.scenes.response import PUBLISHED
from ifmsr.scenes.sizes import Sizes, split_sizes
from ifmsr.scenes.splits import cave_split, hold_out, split_by_seed
from ifmsr.scenes.worldview2 import _window


def count(split):
    return len(split.train), len(split.validation), len(split.test)


def counted(sizes):
    return len(sizes.train), len(sizes.validation), len(sizes.test)


@pytest.mark.parametrize("split", ["figure4", "names-20-12", "random-0", "random-4", "seed-0", "seed-17"])
def test_cave_has_as_many_scenes_as_its_split(split):
    sizes = split_sizes("cave", split)
    assert counted(sizes) == count(cave_split(split))
    assert set(sizes.test) == {(SIDE, SIDE)} and sizes.bands == Cave.bands


def test_harvard_and_chikusei_are_planned_without_data():
    harvard = split_sizes("harvard", "seed-3")
    names = [f"img{number}" for number in range(50)]
    assert counted(harvard) == count(split_by_seed("harvard", "seed-3", names, validation=2))
    assert set(harvard.train) == {(1040, 1392)} and harvard.training_bytes == 40 * 1040 * 1392 * 31 * 4
    chikusei = split_sizes("chikusei", "spatial")
    windows = _windows()
    train, validation = hold_out([name for name in windows if name.startswith("train")], count=6)
    test = [name for name in windows if name.startswith("test")]
    assert counted(chikusei) == (len(train), len(validation), len(test))
    assert chikusei.train[0] == windows[train[0]][2:] and chikusei.test[0] == windows[test[0]][2:]
    assert chikusei.bands == Chikusei.bands


def test_indian_pines_is_as_the_table_says():
    data, sizes = open_dataset("indian-pines"), split_sizes("indian-pines", "spatial")
    for part in ("train", "validation", "test"):
        assert [data.load(part).cube.shape[1:]] == list(getattr(sizes, part))
    assert sizes.bands == data.bands


def test_worldview2_is_as_the_table_says():
    sizes = split_sizes("worldview2", "imgWV2")
    for part in ("train", "validation", "test"):
        assert [_window("imgWV2", part, (320, 320, 8))[2:]] == list(getattr(sizes, part))


def test_a_split_without_published_sizes_is_measured_or_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("ifmsr.scenes.sizes.PUBLISHED", tmp_path)
    (tmp_path / "sizes.csv").write_text("data,split,part,scenes,height,width,bands\n")
    shapes = ((144, 72),), ((144, 24),), ((144, 48),)
    assert split_sizes("indian-pines", "spatial") == Sizes(*shapes, bands=200)
    with pytest.raises(InputError, match="there is no such split"):
        split_sizes("indian-pines", "figure4")


def test_each_split_of_the_table_has_its_three_parts_once():
    with (PUBLISHED / "sizes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    keys = {(row["data"], row["split"]) for row in rows}
    assert len(rows) == 3 * len(keys)
    for data, split in keys:
        matching = [other for name, other in keys if name == data and fnmatchcase(split, other)]
        assert matching == [split]

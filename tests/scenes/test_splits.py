import pytest

from ifmsr.errors import InputError
from ifmsr.scenes import Split
from ifmsr.scenes.cave import published_scenes
from ifmsr.scenes.splits import cave_split, hold_out, seeded_split

PUBLISHED = ["figure4", "names-20-12", "random-0", "random-1", "random-2", "random-3", "random-4"]


@pytest.mark.parametrize("name", [*PUBLISHED, "seed-0", "seed-17"])
def test_cave_splits_use_every_scene_once(name):
    split = cave_split(name)
    assert sorted(split.train + split.validation + split.test) == published_scenes()
    assert len(split.validation) == 2
    assert len(split.test) == (12 if name == "names-20-12" else 6)


def test_figure4_shows_the_papers_two_scenes():
    assert {"face", "balloons"} <= set(cave_split("figure4").test)


def test_names_20_12_is_by_name():
    split = cave_split("names-20-12")
    assert sorted(split.train + split.validation) == published_scenes()[:20]


def test_seeded_split_depends_on_names_and_seed_alone():
    names = [f"scene{i}" for i in range(50)]
    split = seeded_split(names, seed=3)
    assert split == seeded_split(names[::-1], seed=3)
    assert split.test != seeded_split(names, seed=4).test
    assert (len(split.train), len(split.validation), len(split.test)) == (38, 2, 10)


def test_seeded_split_is_the_same_in_all_releases():
    expected = Split(train=("a", "d", "e"), validation=("b",), test=("c",))
    assert seeded_split(["a", "b", "c", "d", "e"], seed=0, validation=1) == expected


def test_hold_out_takes_from_the_training_names_only():
    train, validation = hold_out(["a", "b", "c"], 1)
    assert sorted(train + validation) == ["a", "b", "c"] and len(validation) == 1
    with pytest.raises(InputError, match="3 of 3 training scenes"):
        hold_out(["a", "b", "c"], 3)


def test_a_split_with_an_overlap_raises():
    with pytest.raises(InputError, match="b listed more than once"):
        Split(("a", "b"), (), ("b",))
    with pytest.raises(InputError, match="a listed more than once"):
        Split(("a", "a"), (), ("b",))


@pytest.mark.parametrize("name", ["figure5", "seed-", "seed--1", "seed-x", ""])
def test_unknown_split_lists_the_known(name):
    with pytest.raises(InputError, match=r"figure4.*seed-0"):
        cave_split(name)

import numpy as np
import pytest
import torch

from ifmsr.methods.patch_based.patch_groups import PatchGroups, first_centres, grid, k_means


@pytest.fixture
def rgb():
    torch.manual_seed(0)
    return torch.rand(3, 19, 14)


def corners(groups, width):
    """Each group's patches by their first pixel (row, column)."""
    return [[divmod(int(patch[0]), width) for patch in members] for members in groups.members]


@pytest.mark.parametrize("length", range(4, 24))
def test_the_grid_is_regular_and_reaches_the_border(length):
    starts = grid(length, patch=4, stride=3).tolist()
    covered = sorted({pixel for start in starts for pixel in range(start, start + 4)})
    assert covered == list(range(length))
    assert starts[:-1] == list(range(0, 3 * len(starts) - 3, 3)) and starts[-1] == length - 4


def test_every_patch_is_in_exactly_one_group(rgb):
    groups = PatchGroups(rgb, 4, 3, count=5, seed=0)
    found = sorted(corner for group in corners(groups, 14) for corner in group)
    assert found == [(r, c) for r in (0, 3, 6, 9, 12, 15) for c in (0, 3, 6, 9, 10)]
    top, left = corners(groups, 14)[0][0]
    pixels = [14 * (top + i) + left + j for i in range(4) for j in range(4)]
    assert groups.members[0][0].tolist() == pixels


def test_patches_are_changed_and_averaged_like_one_by_one(rgb):
    torch.manual_seed(1)
    groups, cube, change = PatchGroups(rgb, 4, 3, count=5, seed=0), torch.rand(6, 19, 14), torch.rand(16, 6)
    changed = groups.apply(lambda group, patches: (group + 1) * patches * change, cube)
    total, count = np.zeros((6, 19, 14)), np.zeros((19, 14))
    for group, members in enumerate(corners(groups, 14)):
        for top, left in members:
            for i in range(4):
                for j in range(4):
                    spectrum = cube[:, top + i, left + j].numpy()
                    total[:, top + i, left + j] += (group + 1) * spectrum * change[4 * i + j].numpy()
                    count[top + i, left + j] += 1
    np.testing.assert_allclose(changed.numpy(), total / count, rtol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (9, 30), (3, 11), (2, 2)])
def test_any_size_comes_back_unchanged_from_unchanged_patches(size):
    torch.manual_seed(0)
    rgb, cube = torch.rand(3, *size), torch.rand(5, *size)
    groups = PatchGroups(rgb, 8, 4, count=3, seed=0)
    torch.testing.assert_close(groups.apply(lambda _, patches: patches, cube), cube)
    assert (groups.height, groups.width) == tuple(min(8, side) for side in size)
    for members, vectors in zip(groups.members, groups.vectors(rgb), strict=True):
        assert torch.equal(vectors, rgb.flatten(1).T[members])


def test_large_groups_are_cut_into_nearly_equal_parts_in_order(rgb):
    whole = corners(PatchGroups(rgb, 4, 1, count=2, seed=0), 14)
    cut = corners(PatchGroups(rgb, 4, 1, count=2, seed=0, largest=30), 14)
    assert [corner for group in cut for corner in group] == [corner for group in whole for corner in group]
    assert sum(-(-len(group) // 30) for group in whole) == len(cut) > 2
    assert max(map(len, cut)) <= 30 and min(map(len, cut)) >= 29 - len(cut)


def test_k_means_ends_where_every_point_is_nearest_to_its_own_mean():
    torch.manual_seed(0)
    points = torch.rand(300, 4)
    labels = k_means(points, 7, seed=0)
    means = torch.stack([points[labels == label].mean(0) for label in range(7)])
    assert torch.equal(torch.cdist(points, means).argmin(1), labels)


def test_separate_clusters_are_found_and_the_seed_decides():
    torch.manual_seed(0)
    truth = torch.arange(6).repeat(20)
    labels = k_means(10 * truth[:, None] + torch.rand(120, 3), 6, seed=0)
    assert len(labels.unique()) == 6 and all(len(labels[truth == i].unique()) == 1 for i in range(6))
    points = torch.rand(200, 3)
    assert torch.equal(k_means(points, 9, seed=1), k_means(points, 9, seed=1))
    assert not torch.equal(k_means(points, 9, seed=1), k_means(points, 9, seed=2))


@pytest.mark.parametrize("different", [1, 3])
def test_fewer_different_points_than_clusters_give_fewer_clusters(different):
    points = torch.arange(float(different)).repeat(4)[:, None]
    labels = k_means(points, 5, seed=0)
    assert len(labels.unique()) == different
    assert all(len(labels[points[:, 0] == value].unique()) == 1 for value in range(different))


@pytest.mark.parametrize(("exponent", "chance"), [(2, 9 / 10), (1, 3 / 4)])
def test_first_centres_are_chosen_by_the_power_of_their_distance(exponent, chance):
    points = torch.tensor([[0.0], [1.0], [3.0]])
    pairs = [first_centres(points, 2, seed, exponent)[:, 0].tolist() for seed in range(1500)]
    seconds = [second for first, second in pairs if first == 0]
    assert len(seconds) == pytest.approx(500, abs=80)
    assert seconds.count(3) / len(seconds) == pytest.approx(chance, abs=0.06)

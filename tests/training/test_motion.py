import numpy as np
import pytest

from ifmsr.training.motion import DRIFT, JITTER, moving

BANDS, HEIGHT, WIDTH = 24, 40, 60


def displacements(seed):
    """Pixels (2, B, H, W), down and across, by which every pixel of every band moves: read off two ramps."""
    down, across = np.meshgrid(np.linspace(0.2, 0.8, HEIGHT), np.linspace(0.2, 0.8, WIDTH), indexing="ij")
    found = []
    for ramp, axis in ((down, 0), (across, 1)):
        cube = np.repeat(ramp[None].astype(np.float32), BANDS, axis=0)
        found.append((moving(cube, np.random.default_rng(seed)) - cube) / np.diff(ramp, axis=axis).mean())
    return np.stack(found)[:, :, 8:-8, 8:-8]  # at the borders there is nothing to move in


@pytest.mark.parametrize("seed", range(6))
def test_one_part_moves_as_a_whole_and_the_rest_stays(seed):
    found = displacements(seed)
    paths = found.reshape(2 * BANDS, -1)
    _, sizes, right = np.linalg.svd(paths, full_matrices=False)
    assert sizes[1] < 0.08 * sizes[0]  # one map of what moves, times one path over the bands
    share = right[0] / right[0][np.abs(right[0]).argmax()]
    assert share.min() > -0.05 and (share > 0.8).any() and (share < 0.2).any()


def test_paths_drift_and_jump_within_their_limits():
    steps = []
    for seed in range(40):
        found = displacements(seed)
        where = np.unravel_index(np.abs(found).sum((0, 1)).argmax(), found.shape[2:])
        steps.append(np.diff(found[:, :, where[0], where[1]], axis=1).std())
    most = np.hypot(DRIFT, np.sqrt(2) * JITTER)
    assert max(steps) < 1.3 * most and max(steps) > 0.6 * most and min(steps) < 0.3 * most


def test_the_same_draw_moves_alike_and_values_stay_in_range():
    cube = np.random.default_rng(0).random((5, 32, 48), dtype=np.float32).round()
    first, second = (moving(cube, np.random.default_rng(3)) for _ in range(2))
    assert first.shape == cube.shape and first.dtype == np.float32
    assert np.array_equal(first, second) and not np.array_equal(first, cube)
    assert first.min() == 0 and first.max() == 1
    assert not np.array_equal(first, moving(cube, np.random.default_rng(4)))

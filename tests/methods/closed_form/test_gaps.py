from dataclasses import replace

import numpy as np
import pytest

from ifmsr import metrics
from ifmsr.degradation import degrade
from ifmsr.methods.closed_form import ClosedForm
from ifmsr.methods.closed_form.chain import solve
from ifmsr.scenes import open_dataset


@pytest.fixture(scope="module")
def cloth(cave_root):
    truth = open_dataset("cave", cave_root).load("cloth").crop_to_multiple(4, 256)
    return truth, degrade(truth, 4, seed=2)


def with_gaps(observation, lr_gap=None, rgb_gap=None):
    """Both images with junk in the gaps, which are said to be invalid."""
    masks = {}
    for name, gap in (("lr", lr_gap), ("rgb", rgb_gap)):
        if gap is not None:
            image, valid = (
                getattr(observation, name).copy(),
                np.ones(getattr(observation, name).shape[1:], bool),
            )
            image[(slice(None), *gap)], valid[gap] = 0.9, False
            masks |= {name: image, f"{name}_valid": valid}
    return replace(observation, **masks)


def test_a_gap_of_the_cube_costs_nothing_elsewhere_and_is_filled_from_the_guide(cloth):
    truth, observation = cloth
    gap = slice(20, 30), slice(40, 50)
    inside = (slice(None), slice(80, 120), slice(160, 200))
    whole, found = ClosedForm()(observation), ClosedForm()(with_gaps(observation, lr_gap=gap))
    elsewhere = np.ones(truth.cube.shape[1:], bool)
    elsewhere[76:124, 156:204] = False
    loss = [np.square(sr - truth.cube)[:, elsewhere].mean() for sr in (whole, found)]
    assert loss[1] < 1.02 * loss[0]
    assert metrics.psnr(truth.cube[inside], found[inside]) > 30


def test_where_the_guide_is_invalid_the_cube_is_upsampled_alone(cloth):
    truth, observation = cloth
    gap = slice(100, 160), slice(60, 140)
    solution = solve(with_gaps(observation, rgb_gap=gap))
    assert solution.guided[110:150, 70:130].max() < 1e-5 and solution.guided[:90].min() > 1 - 1e-5
    whole, found = ClosedForm()(observation), ClosedForm()(with_gaps(observation, rgb_gap=gap))
    far = (slice(None), slice(0, 80))
    assert metrics.psnr(truth.cube[far], found[far]) > metrics.psnr(truth.cube[far], whole[far]) - 0.1
    within = (slice(None), slice(104, 156), slice(64, 136))
    alone = ClosedForm()(replace(observation, rgb=np.full_like(observation.rgb, 0.5)))
    gain = metrics.psnr(truth.cube[within], found[within]) - metrics.psnr(truth.cube[within], alone[within])
    assert gain > -0.5

import numpy as np
import pytest
import torch

from ifmsr.degradation import degrade
from ifmsr.degradation.estimation import estimate_pair
from ifmsr.degradation.pair import as_pair
from ifmsr.methods.closed_form.trust import guide_trust, without_displacement
from ifmsr.scenes import Observation, Scene, nikon_d700, open_dataset


@pytest.fixture(scope="module")
def pines():
    cube = open_dataset("indian-pines").load("train").cube[10:41, :, :72]
    return Scene("pines", np.ascontiguousarray(cube), srf=nikon_d700())


def trust(scene, change=lambda lr, rgb: (lr, rgb)):
    observation = degrade(scene, 4)
    lr, rgb = change(observation.lr, observation.rgb)
    pair = as_pair(Observation(lr, rgb, 4, observation.srf))
    estimate = estimate_pair(pair)
    truth = torch.from_numpy(scene.cube) / pair.lr_unit
    blurred = torch.nn.functional.avg_pool2d(truth[None], 5, 1, 2)[0]
    return guide_trust(blurred, pair.rgb, pair.lr, estimate, 4, pair.usable(estimate.kernel)).numpy()


def test_a_guide_that_the_cube_explains_is_followed_all_the_way(pines):
    found = trust(pines)
    np.testing.assert_allclose(found, np.eye(3), atol=0.1)


def test_a_channel_that_the_cube_contradicts_is_not_followed(pines):
    """Blue is a picture of something else."""

    def other_blue(lr, rgb):
        rgb = rgb.copy()
        rgb[2] = rgb[2, ::-1]
        return lr, rgb

    found = trust(pines, other_blue)
    assert found[2, 2] < 0.3
    assert found[0, 0] > 0.7 and found[1, 1] > 0.7


def test_what_a_smooth_displacement_explains_is_no_misfit():
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(60.0), indexing="ij")

    def image(y, x):
        return torch.stack([torch.sin(y / 4) * torch.cos(x / 5), torch.sin((x + y) / 6), torch.cos(x / 4)])

    moved = image(y, x) - image(y + 0.1 + y / 600, x - 0.2)
    left = without_displacement(moved, image(y, x), 1e-8)[:, 4:-4, 4:-4]
    assert left.square().mean() < 0.02 * moved.square().mean()
    noise = 0.01 * torch.randn(3, 60, 60, generator=torch.Generator().manual_seed(0))
    assert without_displacement(noise, image(y, x), 1e-4).square().mean() > 0.9 * noise.square().mean()

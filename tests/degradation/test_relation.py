from dataclasses import replace

import numpy as np
import pytest
import torch

from ifmsr.degradation import degrade
from ifmsr.degradation.estimation import CERTAIN, estimate_degradation, signal_basis
from ifmsr.degradation.kernels import block_mean
from ifmsr.degradation.pair import as_pair
from ifmsr.degradation.relation import Edges, Relation, best_gaussian
from ifmsr.scenes import Scene, nikon_d700, open_dataset
from ifmsr.study.real_guides import encoded


@pytest.fixture(scope="module")
def pines():
    cube = open_dataset("indian-pines").load("train").cube[10:41, :, :72]
    return Scene("pines", np.ascontiguousarray(cube), srf=nikon_d700())


@pytest.fixture(scope="module")
def cloth(cave_root):
    return open_dataset("cave", cave_root).load("cloth").crop_to_multiple(4, 256)


RELATED = {
    "sRGB": lambda lr, rgb: (lr, encoded(rgb).astype(np.float32)),
    "negative": lambda lr, rgb: (lr, 1 - rgb),
    "last bands": lambda lr, rgb: (lr[24:], rgb),
    "first bands": lambda lr, rgb: (lr[:8], rgb),
    "channels exchanged": lambda lr, rgb: (lr, rgb[::-1].copy()),
}
UNRELATED = {
    "mirrored": lambda lr, rgb: (lr, rgb[:, :, ::-1].copy()),
    "upside down": lambda lr, rgb: (lr, rgb[:, ::-1].copy()),
    "far away": lambda lr, rgb: (lr, np.roll(rgb, 40, (1, 2))),
    "noise": lambda lr, rgb: (lr, np.random.default_rng(0).random(rgb.shape).astype(np.float32)),
    "grey": lambda lr, rgb: (lr, np.full_like(rgb, 0.4)),
}


def estimate(scene, change):
    observation = degrade(scene, 4, seed=5)
    lr, rgb = change(observation.lr, observation.rgb)
    return estimate_degradation(replace(observation, lr=np.ascontiguousarray(lr), rgb=rgb, srf=None))


@pytest.mark.parametrize("name", RELATED)
def test_a_guide_is_related_and_registered_whatever_its_tone_and_spectrum(cloth, name):
    found, linear = estimate(cloth, RELATED[name]), estimate(cloth, lambda lr, rgb: (lr, rgb))
    assert found.related
    np.testing.assert_allclose(found.shift, linear.shift, atol=0.4)


@pytest.mark.parametrize("name", UNRELATED)
@pytest.mark.parametrize("scene", ["cloth", "pines"])
def test_a_guide_of_something_else_shares_no_more_than_chance(name, scene, request):
    found = estimate(request.getfixturevalue(scene), UNRELATED[name])
    assert not found.related
    assert (found.kernel == block_mean(4)).all()


@pytest.mark.parametrize(("name", "related"), [("last bands", True), ("mirrored", False)])
def test_few_pixels_suffice_where_the_images_share_much(cloth, name, related):
    observation = degrade(cloth, 4, seed=5)
    lr, rgb = (RELATED | UNRELATED)[name](
        observation.lr[:, 26:38, 26:38], observation.rgb[:, 104:152, 104:152]
    )
    found = estimate_degradation(replace(observation, lr=np.ascontiguousarray(lr), rgb=rgb.copy(), srf=None))
    assert found.misfit > 2.2 and found.shared < CERTAIN and found.related == related


def test_a_hundred_directions_of_noise_do_not_hide_that_a_guide_is_related(cloth):
    """As an airborne sensor's hundreds of bands have them."""
    pair = as_pair(degrade(cloth, 4, seed=5))
    pair = pair._replace(lr=pair.lr[:, :36, :36], rgb=pair.rgb[:, :144, :144])
    signal = torch.tensordot(signal_basis(pair.lr)[0].T, pair.lr, dims=1)
    noise = signal[-1].std() / 1000 * torch.randn(150, 36, 36, generator=torch.Generator().manual_seed(0))
    maps = torch.cat([noise, signal])
    relation = Relation(maps, pair.rgb, 4, Edges(torch.ones(36, 36, dtype=torch.bool)))
    kernel, shared = best_gaussian(relation.of_kernels, 4)
    assert shared / relation.chance(pair.rgb, kernel) > CERTAIN

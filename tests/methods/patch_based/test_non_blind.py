import numpy as np
import pytest
import torch

from ifmsr import metrics
from ifmsr.degradation.blurs import assumed_blur
from ifmsr.degradation.kernels import estimate_kernel
from ifmsr.degradation.protocol import degrade, draw_degradation, scene_seed
from ifmsr.errors import InputError
from ifmsr.methods.base import Oracle
from ifmsr.methods.cms import CMS
from ifmsr.methods.lttr import LTTR
from ifmsr.methods.patch_based.non_blind import TrueKernel
from ifmsr.scenes import open_dataset

KERNEL = np.full((4, 4), 1 / 16)


@pytest.fixture(scope="module")
def balloons(cave_root):
    return open_dataset("cave", cave_root).load("balloons", window=(128, 128, 128, 128))


@pytest.mark.parametrize(("kind", "name", "weight"), [(LTTR, "LTTR", 0.02), (CMS, "CMS", CMS.noise_weight)])
def test_titles_and_weights_distinguish_the_settings(kind, name, weight):
    true = TrueKernel(kind())
    shown = f"LR weight {kind.noise_weight:g}"
    assert [kind().title, kind(kernel="estimated").title] == [name, f"{name}, estimated kernel, {shown}"]
    assert true.title == true.with_kernel(KERNEL).title == f"{name}, true kernel, {shown}"
    assert kind().weight == 1
    assert kind(kernel="estimated").weight == true.with_kernel(KERNEL).weight == weight
    other = kind(kernel="estimated", lr_weight=0.3)
    assert other.weight == 0.3 and other.title == f"{name}, estimated kernel, LR weight 0.3"
    assert TrueKernel(kind(lr_weight=0.3)).title == f"{name}, true kernel, LR weight 0.3"
    assert kind().schedule == true.schedule == ""


def test_only_the_setting_with_the_true_kernel_gets_it():
    assert isinstance(TrueKernel(LTTR()), Oracle)
    assert not isinstance(LTTR(), Oracle) and not isinstance(LTTR(kernel="estimated"), Oracle)
    assert TrueKernel(LTTR(seed=5, clusters=7)).with_kernel(KERNEL).clusters == 7


def test_every_setting_takes_the_kernel_that_it_names(balloons):
    observation = degrade(balloons, 4, preset="test")
    lr, rgb, srf = (torch.from_numpy(array) for array in (observation.lr, observation.rgb, observation.srf))
    estimated = estimate_kernel(torch.tensordot(srf, lr, dims=1), rgb, 4)
    for method, expected in [
        (LTTR(), assumed_blur("lttr", 4)),
        (CMS(), assumed_blur("cms", 4)),
        (LTTR(kernel="estimated"), estimated),
        (TrueKernel(CMS()).with_kernel(KERNEL), KERNEL),
    ]:
        found = method.sampling_kernel(lr, rgb, srf, 4)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-7)


def test_the_true_kernel_is_at_least_as_good_as_the_assumed_one_on_a_real_scene(balloons):
    observation = degrade(balloons, 4, preset="test")
    draw = draw_degradation(4, "test", scene_seed(balloons, 0))
    settings = {"iterations": 10, "clusters": 30}
    given = TrueKernel(LTTR(**settings)).with_kernel(draw.sampling_kernel(4))
    with_assumed, with_true = (
        metrics.psnr(balloons.cube, method(observation))
        for method in (LTTR(lr_weight=given.weight, **settings), given)
    )
    assert with_true > with_assumed + 2


def test_a_true_kernel_that_was_not_given_is_an_error(balloons):
    with pytest.raises(InputError) as error:
        TrueKernel(LTTR())(degrade(balloons, 4))
    assert error.value.where == "kernel"


@pytest.mark.parametrize(
    ("settings", "where"), [({"kernel": "guessed"}, "kernel"), ({"lr_weight": 0.0}, "lr_weight")]
)
def test_unknown_settings_are_named(settings, where):
    with pytest.raises(InputError) as error:
        LTTR(**settings)
    assert error.value.where == where

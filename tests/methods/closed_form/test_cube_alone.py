import numpy as np
import pytest
import torch

from ifmsr import metrics
from ifmsr.degradation import degrade
from ifmsr.degradation.kernels import block_mean
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.closed_form.cube_alone import upsample_alone
from ifmsr.scenes import open_dataset


@pytest.mark.parametrize("scale", [4, 8])
def test_it_is_bicubic_interpolation_with_less_noise(cave_root, scale):
    scene = open_dataset("cave", cave_root).load("cloth").crop_to_multiple(scale, 256)
    observation = degrade(scene, scale, alignment="centred")
    found = upsample_alone(torch.from_numpy(observation.lr), block_mean(scale), scale, 3 / 255).numpy()
    blurry = Bicubic()(observation)
    assert metrics.psnr(scene.cube, found) > metrics.psnr(scene.cube, blurry) - 0.02
    assert metrics.sam(scene.cube, found) < 0.9 * metrics.sam(scene.cube, blurry)


def test_a_constant_cube_stays_constant():
    lr = torch.linspace(0.2, 0.7, 9)[:, None, None].expand(9, 6, 5).contiguous()
    found = upsample_alone(lr, block_mean(3), 3, 0.01).numpy()
    np.testing.assert_allclose(found, np.broadcast_to(lr.numpy()[:, :1, :1], found.shape), atol=1e-5)

import numpy as np
import pytest
import torch
from tiny import few_bands

from ifmsr import metrics
from ifmsr.degradation.estimation import estimate_degradation
from ifmsr.degradation.protocol import degrade, gaussian_kernel
from ifmsr.degradation.sampling import decimate, upsample
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.mtf_glp_hs import MTFGLPHS, inject, synthesise
from ifmsr.scenes.scene import Observation

METHOD = MTFGLPHS()


def test_it_beats_bicubic_on_indian_pines(indian_pines):
    observation = degrade(indian_pines, 4)
    sr, blurry = METHOD(observation), Bicubic()(observation)
    assert metrics.psnr(indian_pines.cube, sr) > metrics.psnr(indian_pines.cube, blurry) + 1.2
    assert metrics.sam(indian_pines.cube, sr) < 0.9 * metrics.sam(indian_pines.cube, blurry)


def test_a_grey_image_is_synthesised_from_its_one_direction():
    """Rounding differences between equal channels must not be amplified into a colour."""
    generator = torch.Generator().manual_seed(0)
    lr, grey, small = (torch.rand(n, 8, 9, generator=generator) for n in (4, 1, 3))
    fine = torch.rand(1, 32, 36, generator=generator)
    found = synthesise(lr, fine.expand(3, -1, -1), grey + 1e-7 * small)
    for band, synthesised in zip(lr, found, strict=True):
        slope, offset = np.polyfit(grey.numpy().ravel(), band.numpy().ravel(), 1)
        np.testing.assert_allclose(synthesised, slope * fine[0].numpy() + offset, atol=1e-4)


def test_every_band_gets_the_detail_of_its_own_synthesised_image():
    """The whole method, band by band: dense regression, low-pass by the pyramid, gain by np.cov."""
    observation = few_bands(4, known=True)
    kernel = estimate_degradation(observation).kernel
    rgb = torch.from_numpy(observation.rgb)
    seen = decimate(rgb, kernel, 4).double().numpy()
    design = np.column_stack([*(channel.ravel() for channel in seen), np.ones(seen[0].size)])
    sr = METHOD(observation)
    synthesised = synthesise(torch.from_numpy(observation.lr), rgb, decimate(rgb, kernel, 4))
    for band, lr in enumerate(observation.lr):
        red, green, blue, offset = np.linalg.lstsq(design, lr.ravel().astype(float), rcond=None)[0]
        fine = (red * rgb[0] + green * rgb[1] + blue * rgb[2] + offset).float()
        torch.testing.assert_close(synthesised[band], fine, atol=2e-4, rtol=0)
        coarse = upsample(decimate(fine[None], kernel, 4), kernel, 4)[0].numpy()
        upsampled = upsample(torch.from_numpy(lr)[None], kernel, 4)[0].numpy()
        covariance = np.cov(upsampled.ravel(), coarse.ravel())
        expected = upsampled + covariance[0, 1] / covariance[1, 1] * (fine.numpy() - coarse)
        np.testing.assert_allclose(sr[band], expected.clip(0, 1), atol=2e-4)


def test_a_band_that_is_linear_in_the_rgb_values_is_recovered(indian_pines):
    rgb = torch.from_numpy(indian_pines.rgb())
    mixing = torch.tensor([[0.2, 0.5, 0.3], [0.9, -0.4, 0.1], [-0.3, 0.2, 0.6], [0.0, 0.0, 1.0]])
    truth = torch.tensordot(mixing, rgb, dims=1) + torch.tensor([0.0, 0.1, 0.2, 0.0])[:, None, None]
    kernel = torch.from_numpy(gaussian_kernel(12, 4, sigma=2.5, alignment="centred")).float()
    lr = decimate(truth, kernel, 4)
    fine = synthesise(lr, rgb, decimate(rgb, kernel, 4))
    sr = inject(upsample(lr, kernel, 4), fine, upsample(decimate(fine, kernel, 4), kernel, 4))
    torch.testing.assert_close(sr, truth, atol=1e-4, rtol=0)


@pytest.mark.parametrize("level", [0.0, 0.4])
def test_an_rgb_image_without_contrast_injects_nothing(level):
    lr = few_bands(4, known=False).lr
    rgb, seen = torch.full((3, 28, 36), level), torch.full((3, 7, 9), level)
    fine = synthesise(torch.from_numpy(lr), rgb, seen + 1e-8 * torch.rand(3, 7, 9))
    assert fine.std((1, 2)).max() < 1e-6
    upsampled = torch.rand(20, 28, 36)
    torch.testing.assert_close(inject(upsampled, fine, fine + 0.1), upsampled)


def test_the_method_then_only_interpolates():
    lr = few_bands(4, known=False).lr
    observation = Observation(lr, np.full((3, 28, 36), 0.4, np.float32), 4)
    expected = upsample(torch.from_numpy(lr), estimate_degradation(observation).kernel, 4).clamp(0, 1)
    np.testing.assert_allclose(METHOD(observation), expected, atol=1e-6)

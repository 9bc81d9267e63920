import numpy as np
import pytest
import torch
from tiny import few_bands

from ifmsr import metrics
from ifmsr.degradation.estimation import estimate_degradation
from ifmsr.degradation.kernels import estimate_kernel
from ifmsr.degradation.pair import as_pair
from ifmsr.degradation.protocol import degrade, gaussian_kernel
from ifmsr.degradation.sampling import decimate, upsample
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.gsa import GSA, intensity_weights, nearest_channel, sharpen
from ifmsr.scenes.scene import Observation

METHOD = GSA()


def test_it_beats_bicubic_on_indian_pines(indian_pines):
    observation = degrade(indian_pines, 4)
    sr, blurry = METHOD(observation), Bicubic()(observation)
    assert metrics.psnr(indian_pines.cube, sr) > metrics.psnr(indian_pines.cube, blurry) + 1
    assert metrics.sam(indian_pines.cube, sr) < 0.9 * metrics.sam(indian_pines.cube, blurry)


def test_the_common_estimate_is_the_known_response_and_its_kernel():
    observation = few_bands(4, known=True)
    response, kernel = estimate_degradation(observation)[:2]
    np.testing.assert_array_equal(response[:, :-1], observation.srf)
    assert not response[:, -1].any()
    pair = as_pair(observation)
    expected = estimate_kernel(torch.tensordot(pair.srf, pair.lr, dims=1), pair.rgb, 4)
    torch.testing.assert_close(kernel, expected)


def test_the_intensity_is_the_best_affine_combination_of_the_bands():
    generator = np.random.default_rng(0)
    bands, channel = generator.random((4, 6, 7)), generator.random((6, 7))
    design = np.column_stack([*(band.ravel() for band in bands), np.ones(42)])
    expected = np.linalg.lstsq(design, channel.ravel(), rcond=None)[0]
    found = intensity_weights(torch.from_numpy(bands), torch.from_numpy(channel))
    np.testing.assert_allclose(found, expected[:4], rtol=1e-5)


def test_sharpening_is_the_papers_formula():
    generator = torch.Generator().manual_seed(0)
    lr, upsampled = torch.rand(3, 5, 4, generator=generator), torch.rand(3, 10, 8, generator=generator)
    fine, coarse = torch.rand(10, 8, generator=generator), torch.rand(5, 4, generator=generator)
    weights = intensity_weights(lr, coarse).tolist()
    intensity = sum(w * band for w, band in zip(weights, upsampled.double().numpy(), strict=True))
    detail = (fine.double().numpy() - float(fine.mean())) - (intensity - intensity.mean())
    found = sharpen(upsampled, lr, fine, coarse).numpy()
    for band in range(3):
        covariance = np.cov(upsampled[band].double().numpy().ravel(), intensity.ravel())
        gain = covariance[0, 1] / covariance[1, 1]
        for i in range(10):
            for j in range(8):
                expected = float(upsampled[band, i, j]) + gain * detail[i, j]
                assert found[band, i, j] == pytest.approx(expected, abs=1e-5)


def test_bands_go_to_the_channel_of_highest_correlation(indian_pines):
    lr = indian_pines.cube[::9, ::8, ::8]
    seen = indian_pines.rgb()[:, ::8, ::8]
    expected = [
        int(np.argmax([np.corrcoef(band.ravel(), channel.ravel())[0, 1] for channel in seen])) for band in lr
    ]
    found = nearest_channel(torch.from_numpy(lr.copy()), torch.from_numpy(seen.copy()))
    assert found.tolist() == expected and len(set(expected)) > 1
    assert nearest_channel(torch.full((1, 4, 4), 0.3), torch.rand(3, 4, 4)).tolist() == [0]


def test_a_band_that_is_linear_in_its_channel_is_recovered_but_for_its_mean(indian_pines):
    fine = torch.from_numpy(indian_pines.rgb())[0]
    truth = torch.stack([0.9 * fine, 0.1 + 0.5 * fine, 0.7 - 0.6 * fine])
    kernel = torch.from_numpy(gaussian_kernel(12, 4, sigma=2.5, alignment="centred")).float()
    lr = decimate(truth, kernel, 4)
    sr = sharpen(upsample(lr, kernel, 4), lr, fine, decimate(fine[None], kernel, 4)[0])
    assert (sr - truth).std((1, 2)).max() < 1e-5
    assert (sr - truth).abs().max() < 0.003  # borders weigh differently in the upsampled band's mean


def test_an_rgb_image_without_contrast_injects_nothing():
    lr = few_bands(4, known=False).lr
    observation = Observation(lr, np.full((3, 28, 36), 0.4, np.float32), 4)
    kernel = estimate_degradation(observation).kernel
    expected = upsample(torch.from_numpy(lr), kernel, 4).clamp(0, 1)
    np.testing.assert_allclose(METHOD(observation), expected, atol=1e-6)

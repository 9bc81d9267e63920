import math
import subprocess
import sys

import numpy as np
import oracles
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import (
    error_relative_global_dimensionless_synthesis,
    spectral_angle_mapper,
)

from ifmsr import metrics
from ifmsr.errors import InputError
from ifmsr.metrics import ergas, evaluate, psnr, psnr_band_mean, rmse, sam, sam_bright, ssim
from ifmsr.paths import ROOT
from ifmsr.scenes import open_dataset

FIVE = {
    "PSNR": psnr,
    "SSIM": ssim,
    "SAM": sam,
    "ERGAS": lambda truth, pred: ergas(truth, pred, 4),
    "RMSE": rmse,
}
HIGHER_IS_BETTER = {"PSNR", "SSIM"}


def noisy_pair(shape=(5, 23, 31), sigma=0.1, seed=0):
    """A smooth positive cube and a noisy one that leaves [0, 1]."""
    rng = np.random.default_rng(seed)
    bands, rows, columns = np.meshgrid(*(np.linspace(0, 1, side) for side in shape), indexing="ij")
    truth = (0.5 + 0.45 * np.sin(3 * rows + 5 * columns + bands)).astype(np.float32)
    return truth, (truth + rng.normal(0, sigma, shape)).astype(np.float32)


@pytest.fixture(scope="module")
def cave_pair():
    """A real crop, and its upsampled x4 reduction, which partly exceeds [0, 1]."""

    def make(cave_root):
        truth = open_dataset("cave", cave_root).load("feathers", window=(200, 180, 48, 40)).cube
        small = torch.nn.functional.avg_pool2d(torch.from_numpy(truth)[None], 4)
        pred = torch.nn.functional.interpolate(small, scale_factor=4, mode="bicubic")[0].numpy()
        return truth, pred

    return make


def test_equal_the_slow_versions_on_real_data(cave_pair, cave_root):
    truth, pred = cave_pair(cave_root)
    assert truth.shape == (31, 48, 40)
    assert psnr(truth, pred) == pytest.approx(oracles.psnr(truth, pred), rel=1e-10)
    assert ssim(truth, pred) == pytest.approx(oracles.ssim(truth, pred), rel=1e-9)
    assert sam(truth, pred) == pytest.approx(oracles.sam(truth, pred), abs=1e-6)
    assert ergas(truth, pred, 4) == pytest.approx(oracles.ergas(truth, pred, 4), rel=1e-10)
    assert rmse(truth, pred) == pytest.approx(oracles.rmse(truth, pred), rel=1e-10)
    brightness = float(np.median(truth.mean(axis=0)))
    assert sam_bright(truth, pred, brightness) == pytest.approx(
        oracles.sam(truth, pred, brightness), abs=1e-6
    )


def test_equal_scikit_image_and_torchmetrics_on_real_data(cave_pair, cave_root):
    truth, pred = cave_pair(cave_root)
    check_against_libraries(truth, pred)


@pytest.mark.parametrize("shape", [(1, 11, 11), (4, 11, 40), (3, 300, 17), (8, 64, 65)])
def test_equal_scikit_image_and_torchmetrics(shape):
    check_against_libraries(*noisy_pair(shape))


def check_against_libraries(truth, pred):
    truth, pred = truth.astype(np.float64), pred.astype(np.float64)
    theirs = structural_similarity(
        truth,
        pred,
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
    )
    assert ssim(truth, pred) == pytest.approx(theirs, abs=1e-5)
    assert psnr(truth, pred) == pytest.approx(peak_signal_noise_ratio(truth, pred, data_range=1), abs=1e-5)
    bands = [peak_signal_noise_ratio(t, p, data_range=1) for t, p in zip(truth, pred, strict=True)]
    assert psnr_band_mean(truth, pred) == pytest.approx(np.mean(bands), abs=1e-5)
    batch = torch.from_numpy(pred)[None], torch.from_numpy(truth)[None]
    if len(truth) > 1:
        radians = spectral_angle_mapper(*batch).item()
        assert sam(truth, pred) == pytest.approx(math.degrees(radians), abs=1e-5)
    theirs = error_relative_global_dimensionless_synthesis(*batch, ratio=8).item()
    assert ergas(truth, pred, 8) == pytest.approx(theirs, rel=1e-5)


def test_cases_worked_by_hand():
    truth = np.zeros((2, 12, 12), np.float32)
    truth[0], truth[1] = 0.5, 0.25
    pred = truth + np.float32(0.125)
    # mse = 1/64 in both bands
    assert psnr(truth, pred) == pytest.approx(10 * math.log10(64), abs=1e-12)
    assert psnr_band_mean(truth, pred) == pytest.approx(10 * math.log10(64), abs=1e-12)
    assert rmse(truth, pred) == 0.125
    # relative errors 1/4 and 1/2: 100/4 * sqrt((1/16 + 1/4) / 2)
    assert ergas(truth, pred, 4) == pytest.approx(25 * math.sqrt(5 / 32), abs=1e-12)
    # constant images have no structure: only the luminance term is left
    one = (2 * 0.5 * 0.625 + 1e-4) / (0.5**2 + 0.625**2 + 1e-4)
    two = (2 * 0.25 * 0.375 + 1e-4) / (0.25**2 + 0.375**2 + 1e-4)
    assert ssim(truth, pred) == pytest.approx((one + two) / 2, abs=1e-12)
    # (2, 1) against (5, 3): tan of the difference = (3*2 - 5*1) / (5*2 + 3*1) = 1/13
    assert sam(truth, pred) == pytest.approx(math.degrees(math.atan(1 / 13)), abs=1e-12)


def test_band_mean_differs_from_the_whole_cube():
    truth = np.zeros((2, 4, 4))
    pred = np.stack([np.full((4, 4), 0.1), np.full((4, 4), 0.01)])
    assert psnr_band_mean(truth, pred) == pytest.approx(30, abs=1e-10)
    assert psnr(truth, pred) == pytest.approx(-10 * math.log10(0.00505), abs=1e-10)


def test_right_angles_and_opposite_spectra():
    u, v = np.zeros((2, 1, 2)), np.zeros((2, 1, 2))
    u[:, 0, 0], v[:, 0, 0] = (1, 0), (0, 1)
    u[:, 0, 1], v[:, 0, 1] = (1, 1), (-1, -1)
    assert sam(u, v) == pytest.approx((90 + 180) / 2, abs=1e-10)


def test_small_angles_are_exact():
    angle = 1e-9
    u = np.array([1.0, 0.5]).reshape(2, 1, 1)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    v = (rotation @ u.reshape(2)).reshape(2, 1, 1)
    assert sam(u, v) == pytest.approx(math.degrees(angle), rel=1e-6)


def test_scale_of_a_spectrum_has_no_angle():
    truth, _ = noisy_pair()
    assert sam(truth, 0.25 * truth) == 0
    assert sam(1e-200 * truth.astype(np.float64), truth) < 1e-5


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_identical_cubes_are_perfect(value):
    for cube in (np.full((3, 16, 16), value, np.float32), noisy_pair()[0]):
        assert evaluate(cube, cube.copy(), 4) == {
            "PSNR": math.inf,
            "SSIM": 1,
            "SAM": 0,
            "ERGAS": 0,
            "RMSE": 0,
        }


def test_black_pixels_count_and_are_never_nan():
    truth, pred = noisy_pair(sigma=0)
    truth[:, 3, 4] = 0
    pred[:, 5, 6] = 0
    pixels = truth.shape[1] * truth.shape[2]
    flat = np.ones(len(truth))

    def from_flat(spectrum):
        cosine = spectrum @ flat / np.linalg.norm(spectrum) / np.linalg.norm(flat)
        return math.degrees(math.acos(cosine))

    expected = (from_flat(pred[:, 3, 4].astype(float)) + from_flat(truth[:, 5, 6].astype(float))) / pixels
    assert sam(truth, pred) == pytest.approx(expected, rel=1e-6)
    assert all(math.isfinite(value) for value in evaluate(truth, pred, 4).values())


def test_zero_bands_are_left_out_of_ergas():
    truth, pred = noisy_pair()
    with_zero = np.concatenate([truth, np.zeros_like(truth[:1])]), np.concatenate([pred, pred[:1]])
    assert ergas(*with_zero, 4) == pytest.approx(ergas(truth, pred, 4), rel=1e-12)
    black = np.zeros_like(truth)
    assert ergas(black, black, 4) == 0
    assert ergas(black, pred, 4) == math.inf
    assert not any(map(math.isnan, evaluate(black, pred, 4).values()))


@pytest.mark.parametrize("name", FIVE)
def test_a_worse_image_scores_worse(name):
    scores = [FIVE[name](*noisy_pair(sigma=sigma)) for sigma in (0.01, 0.03, 0.1, 0.3)]
    assert scores == sorted(scores, reverse=name in HIGHER_IS_BETTER)
    assert len(set(scores)) == 4


def test_ergas_goes_down_with_the_scale():
    pair = noisy_pair()
    assert ergas(*pair, 8) == pytest.approx(ergas(*pair, 4) / 2, rel=1e-12)


def test_evaluate_clips_and_the_single_functions_do_not():
    truth, pred = noisy_pair()
    assert pred.min() < 0
    assert pred.max() > 1
    scores = evaluate(truth, pred, 4)
    for name, function in FIVE.items():
        assert scores[name] == function(truth, pred.clip(0, 1))
        assert scores[name] != function(truth, pred)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_torch_and_numpy_agree_to_the_last_bit(dtype):
    truth, pred = (torch.from_numpy(cube).to(dtype) for cube in noisy_pair())
    expected = evaluate(truth.numpy(), pred.numpy(), 4)
    assert evaluate(truth, pred, 4) == expected
    assert evaluate(truth.numpy(), pred.requires_grad_(), 4) == expected
    assert all(type(value) is float for value in expected.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_gpu_equals_cpu():
    truth, pred = noisy_pair((31, 70, 80))
    on_gpu = torch.from_numpy(pred).cuda()
    expected = pytest.approx(evaluate(truth, pred, 4), rel=1e-9)
    assert evaluate(truth, on_gpu, 4) == expected
    assert evaluate(torch.from_numpy(truth).cuda(), on_gpu, 4) == expected
    assert on_gpu.is_cuda


def test_inputs_are_not_changed_and_may_be_read_only_views():
    truth, pred = noisy_pair()
    truth[:, 0, 0] = 0
    truth, pred = truth.transpose(0, 2, 1)[:, ::-1], pred.transpose(0, 2, 1)[:, ::-1]
    copies = truth.copy(), pred.copy()
    truth.flags.writeable = pred.flags.writeable = False
    for function in (*FIVE.values(), psnr_band_mean, sam_bright, lambda t, p: evaluate(t, p, 4)):
        assert function(truth, pred) == function(*copies)
    np.testing.assert_array_equal(truth, copies[0])
    np.testing.assert_array_equal(pred, copies[1])
    tensors = [torch.from_numpy(copy.astype(np.float64)) for copy in copies]
    evaluate(*tensors, 4)
    np.testing.assert_array_equal(tensors[0].numpy(), copies[0].astype(np.float64))
    np.testing.assert_array_equal(tensors[1].numpy(), copies[1].astype(np.float64))


@pytest.mark.parametrize("values", [1, 3 * 12**2, 3 * 25 * 25])
def test_tiles_of_any_size_give_the_same_numbers(monkeypatch, values):
    truth, pred = noisy_pair((3, 57, 19))
    expected = evaluate(truth, pred, 4)
    monkeypatch.setitem(metrics.VALUES_A_TILE, "cpu", values)
    assert evaluate(truth, pred, 4) == pytest.approx(expected, rel=1e-12)


MEMORY = """
import re
import numpy as np
from ifmsr import metrics

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

truth = np.random.default_rng(0).random((31, 1040, 1392), dtype=np.float32)
pred = truth[:, ::-1].copy()
metrics.evaluate(truth[:2, :20, :20], pred[:2, :20, :20], 4)
before = peak()
metrics.evaluate(truth, pred, 4)
print((peak() - before) / (truth.nbytes + pred.nbytes))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_a_harvard_pair_needs_little_memory_beyond_itself():
    command = [sys.executable, "-c", MEMORY]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert float(done.stdout) < 0.1


def cube(value=0.5, shape=(3, 12, 12), dtype=np.float32):
    return np.full(shape, value, dtype)


@pytest.mark.parametrize("function", [*FIVE.values(), psnr_band_mean, sam_bright])
@pytest.mark.parametrize(
    ("truth", "pred", "where"),
    [
        (cube(), cube(shape=(3, 12, 13)), "pred"),
        (cube(), cube(shape=(1, 12, 12)), "pred"),
        (cube(shape=(12, 12)), cube(shape=(12, 12)), "truth"),
        (cube(shape=(1, 3, 12, 12)), cube(shape=(1, 3, 12, 12)), "truth"),
        (cube(shape=(3, 0, 12)), cube(shape=(3, 0, 12)), "truth"),
        (cube(), cube(np.nan), "pred"),
        (cube(np.inf), cube(), "truth"),
        (cube(7, dtype=np.uint8), cube(), "truth"),
        (cube(), torch.ones(3, 12, 12, dtype=torch.int64), "pred"),
        (cube(), [[[0.5]]], "pred"),
    ],
)
def test_unusable_cubes_are_named(function, truth, pred, where):
    with pytest.raises(InputError) as error:
        function(truth, pred)
    assert error.value.where == where


def test_evaluate_does_not_clip_infinity_away():
    with pytest.raises(InputError, match="pred"):
        evaluate(cube(), cube(np.inf), 4)


def test_other_unusable_input():
    with pytest.raises(InputError, match="11 x 11"):
        ssim(cube(shape=(3, 10, 40)), cube(shape=(3, 10, 40)))
    for scale in (0, -4, math.nan, math.inf):
        with pytest.raises(InputError, match="scale"):
            ergas(cube(), cube(), scale)
    with pytest.raises(InputError, match=r"0\.05"):
        sam_bright(cube(0.04), cube())

import numpy as np
import pytest
import torch

from ifmsr.degradation.protocol import gaussian_kernel
from ifmsr.degradation.sampling import decimate, upsample
from ifmsr.methods.closed_form.chain import predict
from ifmsr.methods.closed_form.detail_gain import (
    BOX,
    SURE,
    apply_detail_gains_,
    detail_gains,
    reduced_pair,
    split,
)
from ifmsr.scenes import nikon_d700, open_dataset

NOISE = 0.003


@pytest.fixture(scope="module")
def pines():
    """The real image (200, 144, 72)."""
    return torch.from_numpy(open_dataset("indian-pines").load("train").cube.copy())


@pytest.fixture(scope="module")
def kernel():
    return torch.from_numpy(gaussian_kernel(8, 4, lambda1=4, lambda2=4, alignment="centred")).float()


def even(image):
    return image[:, : image.shape[1] // 2 * 2, : image.shape[2] // 2 * 2]


def slow_detail(image):
    """An image less its 2 x 2 means, these upsampled."""
    image = np.asarray(image, np.float32)
    bands, height, width = image.shape
    means = np.zeros((bands, height // 2, width // 2), np.float32)
    for y in range(height // 2):
        for x in range(width // 2):
            means[:, y, x] = image[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean((1, 2))
    return image.astype(np.float64) - upsample(torch.from_numpy(means), BOX, 2).numpy()


def slow_gains(reduced, wanted):
    """Least squares in every band by itself; a gain of 1 has the weight `SURE`."""
    gains = []
    for drawn, target in zip(slow_detail(reduced), slow_detail(wanted), strict=True):
        (gain,) = np.linalg.lstsq(drawn.reshape(-1, 1), target.ravel(), rcond=None)[0]
        certainty = (drawn**2).sum() / ((target - gain * drawn) ** 2).mean()
        gains.append(np.average([gain, 1.0], weights=[certainty, SURE]))
    return np.array(gains)


def with_noise(image, deviation):
    return image + deviation * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))


def energetic(pines):
    """Bands whose detail is large: (3, 48, 64), each stretched so that its detail is about a tenth."""
    image = pines[[29, 60, 100], :48, :64]
    detail = split(image, BOX, 2)[1]
    return image * (0.1 / detail.square().mean((1, 2)).sqrt())[:, None, None]


def without_means(image):
    """Without its 2 x 2 means, so that all of it is detail."""
    means = torch.nn.functional.avg_pool2d(image[None], 2)[0]
    return image - means.repeat_interleave(2, 1).repeat_interleave(2, 2)


# --- reduced resolution -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (2, 3)])
def test_a_reduced_pair_has_means_of_four_pixels_and_their_rgb_values(pines, kernel, size):
    height, width = size
    rgb, lr = pines[[29, 19, 9], : 4 * height, : 4 * width], pines[:5, :height, :width]
    small, seen = reduced_pair(lr, rgb, kernel, 4)
    assert small.shape == (5, height // 2, width // 2) and seen.shape == (3, height // 2 * 2, width // 2 * 2)
    for row in range(height // 2):
        for column in range(width // 2):
            block = lr[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            torch.testing.assert_close(small[:, row, column], block.mean((1, 2)))
    torch.testing.assert_close(seen, even(decimate(rgb, kernel, 4)))


# --- split ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 9)])
def test_an_image_is_its_low_resolution_prediction_plus_a_residual(pines, scale, size):
    image = pines[20:24, : scale * size[0], : scale * size[1]]
    kernel = torch.from_numpy(
        gaussian_kernel(scale + 4, scale, lambda1=2, lambda2=5, theta=0.5, alignment="centred")
    ).float()
    smooth, detail = split(image, kernel, scale)
    assert torch.equal(smooth, upsample(decimate(image, kernel, scale), kernel, scale))
    torch.testing.assert_close(smooth + detail, image, atol=1e-6, rtol=0)


def test_the_reduced_detail_is_what_means_of_blocks_lack(pines):
    np.testing.assert_allclose(
        split(pines[20:24, :12, :18], BOX, 2)[1], slow_detail(pines[20:24, :12, :18]), atol=1e-6
    )


def test_an_image_without_contrast_has_no_detail(kernel):
    assert split(torch.full((2, 24, 20), 0.4), kernel, 4)[1].abs().max() < 1e-6


# --- gains ---------------------------------------------------------------------------------------------------


def test_gains_are_least_squares_held_to_one(pines):
    """Details that are too large by several factors, right but for noise, too small, and faint."""
    wanted = pines[[20, 29, 60, 100, 150, 190], :24, :36]
    strength = torch.tensor([3.0, 1.5, 1.0, 0.5, 2.0, 0.05])[:, None, None]
    reduced = with_noise(wanted * strength, 0.0005)
    expected = slow_gains(reduced, wanted)
    found = detail_gains(reduced, wanted)
    assert ((expected > 0.05) & (expected < 0.97)).sum() >= 3 and (expected > 1).any()
    np.testing.assert_allclose(found, expected.clip(0, 1), atol=2e-3)


def test_the_weight_of_a_gain_is_as_documented(pines):
    """The gain of detail whose energy is `SURE` times the residual's is one half."""
    image = energetic(pines)[:1]
    detail, foreign = without_means(image), without_means(image.flip(2))
    foreign = foreign - (foreign * detail).sum() / detail.square().sum() * detail
    for gain, share in [(0.5, 1.0), (0.2, 1.0), (0.5, 3.0), (0.0, 1 / 3)]:
        left = detail.square().sum() / (share * SURE)  # mean square
        target = gain * detail + foreign * (left / foreign.square().mean()).sqrt()
        found = float(detail_gains(detail, target))
        assert found == pytest.approx((share * gain + 1) / (share + 1), abs=0.01)


@pytest.mark.parametrize(("gain", "foreign"), [(0.5, 0.2), (0.5, 0.1), (0.0, 0.2), (0.2, 0.8)])
def test_gains_of_hand_made_patterns(gain, foreign):
    """The injected detail has columns, the true detail columns and rows; the two are uncorrelated."""
    columns = torch.tensor([[1.0, -1.0], [1.0, -1.0]]).repeat(4, 4)[None]
    rows = columns.mT
    certainty = 64 / foreign**2
    expected = (gain * certainty + 1600) / (certainty + 1600)
    found = detail_gains(columns, gain * columns + foreign * rows)
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_a_right_prediction_at_reduced_resolution_changes_nothing(pines):
    image = pines[::20, :48, :64]
    torch.testing.assert_close(detail_gains(image, image), torch.ones(10), atol=1e-4, rtol=0)


@pytest.mark.parametrize("gain", [0.9, 0.5, 0.1])
def test_a_detail_that_is_too_large_is_held_back(pines, gain):
    """Also where the truth is noisy."""
    truth = energetic(pines)
    smooth, detail = split(truth, BOX, 2)
    wanted = torch.full((3,), gain)
    torch.testing.assert_close(detail_gains(truth / gain, truth), wanted, atol=1e-3, rtol=0)
    found = detail_gains(smooth + detail / gain, with_noise(truth, 0.005))
    torch.testing.assert_close(found, wanted, atol=0.05, rtol=0)


def test_a_detail_that_is_too_weak_to_calibrate_is_unchanged(pines):
    """Far below the noise of what it is compared with, though wrong, even in sign."""
    truth = pines[[29, 60, 100], :48, :64]
    detail = split(truth, BOX, 2)[1]
    faint = 1e-4 * detail / detail.square().mean((1, 2)).sqrt()[:, None, None]
    wanted = with_noise(truth - detail, 0.05)
    for wrong in (faint, -faint):
        assert (detail_gains(truth - detail + wrong, wanted) > 0.97).all()


def test_details_are_neither_amplified_nor_turned(pines):
    truth = energetic(pines)
    assert torch.equal(detail_gains(0.5 * truth, truth), torch.ones(3))
    assert torch.equal(detail_gains(1 - truth, truth), torch.zeros(3))


@pytest.mark.parametrize("size", [(2, 2), (4, 2), (8, 10)])
@pytest.mark.parametrize(("reduced", "wanted"), [(0.0, 0.0), (0.4, 0.4), (0.7, 0.1)])
def test_a_reduced_pair_without_contrast_says_nothing(size, reduced, wanted):
    found = detail_gains(torch.full((3, *size), reduced), torch.full((3, *size), wanted))
    torch.testing.assert_close(found, torch.ones(3), atol=1e-3, rtol=0)


# --- keeping -------------------------------------------------------------------------------------------------


def test_an_injection_of_the_right_detail_is_unchanged(pines, kernel):
    drawn = pines[[29, 60, 100], :48, :64]
    lr = decimate(drawn, kernel, 4)
    torch.testing.assert_close(
        apply_detail_gains_(drawn.clone(), lr, lr, kernel, 4), drawn, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_images_without_contrast_are_kept(kernel, value):
    drawn, lr = torch.full((2, 24, 20), value), torch.full((2, 6, 5), value)
    kept = apply_detail_gains_(drawn.clone(), even(lr), lr, kernel, 4)
    torch.testing.assert_close(kept, drawn, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(12, 16), (11, 16), (12, 15), (11, 15), (3, 3)])
def test_detail_alone_is_scaled_by_the_gains(pines, kernel, size):
    """At odd LR sizes the reduced pair lacks the last row or column."""
    height, width = 4 * size[0], 4 * size[1]
    drawn = pines[[29, 60, 100, 150], :height, :width]
    lr = decimate(drawn, kernel, 4)
    wanted = even(lr)
    assert wanted.shape[1:] == (size[0] - size[0] % 2, size[1] - size[1] % 2)
    reduced = wanted * torch.tensor([1.0, 2.0, 4.0, 1.5])[:, None, None]
    kept = apply_detail_gains_(drawn.clone(), reduced, lr, kernel, 4)

    smooth, detail = (part.double().numpy() for part in split(drawn, kernel, 4))
    gains = detail_gains(reduced, wanted).numpy()
    expected = smooth + gains[:, None, None] * detail
    np.testing.assert_allclose(kept, expected, atol=1e-4)
    assert gains[0] > 0.99 and gains[1] < 0.9


def test_what_the_small_image_shows_changes_little(pines, kernel):
    """Half of the detail is removed, and a small part of the signal in the range of `decimate`."""
    drawn = pines[[29, 60, 100], :48, :64]
    lr, strong = decimate(drawn, kernel, 4), energetic(pines)[:, :12, :16]
    kept = apply_detail_gains_(drawn.clone(), 2 * strong, strong, kernel, 4)
    change = (decimate(kept, kernel, 4) - lr).square().mean((1, 2)).sqrt()
    taken = (kept - drawn).square().mean((1, 2)).sqrt()
    assert (taken > 0.4 * split(drawn, kernel, 4)[1].square().mean((1, 2)).sqrt()).all()
    assert (change < 0.4 * taken).all() and (change < 0.15 * lr.std((1, 2))).all()


@pytest.mark.parametrize("noise", [0.0, NOISE])
def test_a_band_that_the_rgb_values_do_not_show_gets_less_detail_and_is_nearer_to_the_truth(
    pines, kernel, noise
):
    """The first band of the scene is replaced by that of a neighbouring region."""
    truth = pines[10:41, :128].clone()
    rgb = torch.tensordot(torch.from_numpy(nikon_d700()), truth, dims=1)
    truth[0] = pines[29, :128].roll(5, dims=1)
    lr = with_noise(decimate(truth, kernel, 4), noise)
    drawn = predict(lr, rgb, kernel, 4, noise)
    reduced = predict(*reduced_pair(lr, rgb, kernel, 4), BOX, 2, noise / 2)
    kept = apply_detail_gains_(drawn.clone(), reduced, lr, kernel, 4)

    gains = detail_gains(reduced, even(lr))
    assert gains[0] < 0.9 and gains[1:].min() > gains[0] + 0.05
    before, after = (split(image, kernel, 4)[1][0].square().mean() for image in (drawn, kept))
    assert after < 0.81 * before
    before, after = ((image - truth)[0].square().mean().sqrt() for image in (drawn, kept))
    assert after < 0.98 * before

import numpy as np
import pytest
import torch

from ifmsr import metrics
from ifmsr.guide import noise
from ifmsr.guide.noise import denoise, is_cut, noise_level, non_local_means, rounding_step, uncut
from ifmsr.scenes import open_dataset


@pytest.fixture(scope="module")
def guides(cave_root):
    """A smooth scene and one full of texture."""
    data = open_dataset("cave", cave_root)
    return {name: data.load(name).crop_to_multiple(4, 256).rgb() for name in ("stuffed_toys", "cloth")}


def noisy(rgb, level):
    noise = np.random.default_rng(0).standard_normal(rgb.shape)
    return torch.from_numpy((rgb + level * noise).clip(0, 1).astype(np.float32))


def everywhere(rgb):
    return torch.ones(rgb.shape[1:], dtype=torch.bool)


@pytest.mark.parametrize("name", ["stuffed_toys", "cloth"])
@pytest.mark.parametrize("level", [1, 2, 5])
def test_the_level_is_found_in_smooth_scenes_and_in_textures(guides, name, level):
    rgb = noisy(guides[name], level / 255)
    assert noise_level(rgb, everywhere(rgb)) == pytest.approx(level / 255, rel=0.12)
    assert noise_level(3 * rgb, everywhere(rgb)) == pytest.approx(
        3 * noise_level(rgb, everywhere(rgb)), rel=1e-3
    )


@pytest.mark.parametrize("level", [2, 5])
def test_the_level_is_found_where_half_of_the_image_is_black_and_few_patches_are_smooth(cave_root, level):
    """It was a fifth too small, because noise is cut in the dark and few patches have small eigenvalues."""
    corner = open_dataset("cave", cave_root).load("stuffed_toys", (256, 256, 256, 256)).rgb()
    rgb = noisy(corner, level / 255)
    assert noise_level(rgb, everywhere(rgb)) == pytest.approx(level / 255, rel=0.1)


def test_cut_noise_is_told_from_other_noise_and_from_rounding():
    ramp = np.linspace(0, 0.2, 64)[:, None] * np.ones((3, 64, 64))
    rounded = torch.from_numpy(np.round(255 * ramp) / np.float32(255))
    valid = everywhere(rounded)
    assert is_cut(noisy(ramp, 0.02), 0.02, valid)
    assert not is_cut(noisy(ramp + 0.1, 0.02), 0.02, valid)
    assert not is_cut(rounded, 1 / 255 / 12**0.5, valid)


def test_the_bias_of_cut_noise_is_undone():
    values, level = np.array([0.0, 0.2, 1.0, 3.0, 20.0]) * 0.02, 0.02
    samples = values[:, None] + level * np.random.default_rng(0).standard_normal((5, 400_000))
    means = torch.from_numpy(samples.clip(0).mean(1)).float()
    assert means[0] > 0.39 * level
    np.testing.assert_allclose(uncut(means, level), values, atol=0.01 * level)
    assert uncut(torch.zeros(2), level).tolist() == [0, 0]  # less than any such mean
    assert (uncut(torch.linspace(0, 1, 500), level).diff() >= 0).all()


@pytest.mark.parametrize("name", ["stuffed_toys", "cloth"])
def test_texture_is_no_noise(guides, name):
    clean = torch.from_numpy(guides[name])
    assert noise_level(clean, everywhere(clean)) == 0


def test_rounding_is_noise(guides):
    picture = torch.from_numpy(np.round(255 * guides["stuffed_toys"]) / np.float32(255))
    assert rounding_step(picture, everywhere(picture)) == 1 / 255
    assert noise_level(picture, everywhere(picture)) == pytest.approx(1 / 255 / 12**0.5, rel=0.1)
    deep = torch.from_numpy((np.round(65535 * guides["cloth"].astype(float)) / 65535).astype(np.float32))
    assert rounding_step(deep, everywhere(deep)) == 1 / 65535
    whole = torch.from_numpy(guides["cloth"])
    assert rounding_step(whole, everywhere(whole)) == 0


def test_the_continuation_of_a_picture_into_invalid_pixels_does_not_hide_its_rounding(guides):
    picture = torch.from_numpy(np.round(255 * guides["stuffed_toys"]) / np.float32(255))
    valid = everywhere(picture)
    valid[:, :40] = False
    continued = torch.where(valid, picture, picture + 0.3 / 255)
    assert rounding_step(continued, valid) == 1 / 255
    assert noise_level(continued, valid) == pytest.approx(1 / 255 / 12**0.5, rel=0.1)


def test_invalid_pixels_do_not_count(guides):
    rgb = noisy(guides["cloth"], 2 / 255)
    valid = everywhere(rgb)
    valid[:100] = False
    rgb[:, :100] = torch.rand(3, 100, 256)
    assert noise_level(rgb, valid) == pytest.approx(2 / 255, rel=0.12)


def test_a_few_pixels_show_no_noise():
    for size in ((3, 4, 4), (3, 20, 20)):
        image = torch.rand(size)
        assert noise_level(image, everywhere(image)) == 0
        assert denoise(image[:, :14], 0.1).shape == image[:, :14].shape


@pytest.mark.parametrize(
    ("name", "level", "gain"), [("stuffed_toys", 5, 9.5), ("stuffed_toys", 1, 5), ("cloth", 2, 2)]
)
def test_noise_is_removed(guides, name, level, gain):
    clean, rgb = guides[name], noisy(guides[name], level / 255)
    first, found = non_local_means(rgb, level / 255), denoise(rgb, level / 255)
    before, pilot, after = (metrics.psnr(clean, image.numpy()) for image in (rgb, first, found))
    assert after > before + gain and after > pilot + 0.8


def test_a_clean_guide_stays_as_it_is(guides):
    clean = torch.from_numpy(guides["cloth"])
    assert metrics.psnr(guides["cloth"], denoise(clean, 0.2 / 255).numpy()) > 65


def test_means_over_alike_pixels_equal_slow_ones():
    torch.manual_seed(0)
    rgb, level = torch.rand(3, 18, 16), 0.4
    found = non_local_means(rgb, level)
    for y, x in ((0, 0), (9, 8), (17, 3), (5, 15)):
        total, weights = torch.zeros(3), 0.0
        for v in range(max(0, y - 7), min(18, y + 8)):
            for u in range(max(0, x - 7), min(16, x + 8)):
                apart = [
                    (rgb[:, y + i, x + j] - rgb[:, v + i, u + j]).square().mean()
                    for i in (-1, 0, 1)
                    for j in (-1, 0, 1)
                    if 0 <= min(y + i, v + i) <= max(y + i, v + i) < 18
                    and 0 <= min(x + j, u + j) <= max(x + j, u + j) < 16
                ]
                weight = torch.exp(
                    -(sum(apart) / len(apart) - 2 * level**2).clamp_min(0) / (1.2 * level) ** 2
                )
                total, weights = total + weight * rgb[:, v, u], weights + weight
        torch.testing.assert_close(found[:, y, x], total / weights, atol=1e-5, rtol=1e-5)


def test_strips_do_not_show(guides, monkeypatch):
    rgb = noisy(guides["cloth"][:, :90, :70], 2 / 255)
    whole = denoise(rgb, 2 / 255)
    monkeypatch.setattr(noise, "STRIP", 5)
    torch.testing.assert_close(denoise(rgb, 2 / 255), whole, atol=2e-3, rtol=0)

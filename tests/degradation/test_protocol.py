from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.ndimage

from ifmsr.degradation import protocol
from ifmsr.degradation.blurs import assumed_blur
from ifmsr.degradation.protocol import blur_downsample, degrade, draw_degradation, gaussian_kernel, scene_seed
from ifmsr.errors import InputError
from ifmsr.scenes.scene import Observation, Scene


def small_scene(name="a", side=48, bands=4):
    cube = np.random.default_rng(1).random((bands, side, side), dtype=np.float32)
    return Scene(name, scipy.ndimage.gaussian_filter(cube, (0, 2, 2)), rgb_bands=(2, 1, 0))


def kernel_by_definition(side, centre, covariance):
    kernel = np.empty((side, side))
    for row in range(side):
        for column in range(side):
            z = np.array([column - centre, row - centre])
            kernel[row, column] = np.exp(-0.5 * z @ np.linalg.inv(covariance) @ z)
    return kernel / kernel.sum()


@pytest.mark.parametrize(("alignment", "centre"), [("released", 7.5), ("centred", 6.0)])
def test_anisotropic_kernel_equals_its_definition(alignment, centre):
    c, s = np.cos(0.7), np.sin(0.7)
    rotation = np.array([[c, -s], [s, c]])
    expected = kernel_by_definition(13, centre, rotation @ np.diag([2.5, 10.0]) @ rotation.T)
    kernel = gaussian_kernel(13, scale=4, lambda1=2.5, lambda2=10.0, theta=0.7, alignment=alignment)
    np.testing.assert_allclose(kernel, expected, atol=1e-12)


@pytest.mark.parametrize(("alignment", "centre"), [("released", 0.0), ("centred", 4.0)])
def test_isotropic_kernel_equals_its_definition(alignment, centre):
    kernel = gaussian_kernel(9, scale=4, sigma=1.3, alignment=alignment)
    np.testing.assert_allclose(kernel, kernel_by_definition(9, centre, 1.69 * np.eye(2)), atol=1e-12)


def test_the_smallest_kernel_and_the_smallest_scale():
    np.testing.assert_array_equal(gaussian_kernel(1, scale=4, sigma=1.0), [[1.0]])
    kernel = gaussian_kernel(13, scale=1, lambda1=2.0, lambda2=2.0)  # without decimation nothing is shifted
    np.testing.assert_allclose(kernel, kernel_by_definition(13, 6.0, 2 * np.eye(2)), atol=1e-12)


@pytest.mark.parametrize(("scale", "shift"), [(4, 1.33), (8, 2.95)])
def test_released_kernels_shift_the_image_as_published(scale, shift):
    """The mean centroid of random kernels, against values measured on the released program."""
    centroids = []
    for seed in range(400):
        kernel = draw_degradation(scale, "test", seed).kernel
        centroids.append((kernel.sum(0) @ np.arange(13) - 6 + kernel.sum(1) @ np.arange(13) - 6) / 2)
    assert np.mean(centroids) == pytest.approx(shift, abs=0.04)


def test_a_narrow_kernel_far_from_the_grid_still_sums_to_one():
    kernel = gaussian_kernel(21, scale=16, lambda1=0.2, lambda2=0.2)
    assert np.isfinite(kernel).all() and kernel.sum() == pytest.approx(1)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_bicubic_and_bilinear_equal_scipy_blur_and_direct_interpolation(scale):
    cube = small_scene().cube
    kernel = gaussian_kernel(13, scale, lambda1=3, lambda2=9, theta=1.0)
    blurred = np.stack([scipy.ndimage.correlate(band, kernel, mode="reflect") for band in cube.astype(float)])
    start = (scale - 1) / 2  # the LR pixel's centre on the HR grid
    first = int(start)  # for an even scale the centre falls between two pixels
    bilinear = np.zeros((4, 48 // scale, 48 // scale))
    for i in (0, 1):
        for j in (0, 1):
            bilinear += 0.25 * blurred[:, first + i :: scale, first + j :: scale]
    np.testing.assert_allclose(blur_downsample(cube, kernel, scale, "bilinear"), bilinear, atol=1e-6)

    if scale > 2:  # all four taps lie inside; at half a pixel a = -0.75 weighs them by these
        taps = np.array([-0.09375, 0.59375, 0.59375, -0.09375])
        bicubic = np.zeros_like(bilinear)
        for i, wi in enumerate(taps):
            for j, wj in enumerate(taps):
                rows, columns = slice(first - 1 + i, None, scale), slice(first - 1 + j, None, scale)
                bicubic += wi * wj * blurred[:, rows, columns]
        np.testing.assert_allclose(blur_downsample(cube, kernel, scale, "bicubic"), bicubic, atol=1e-6)


def test_strided_equals_scipy_with_replicated_border():
    cube = small_scene().cube
    kernel = gaussian_kernel(7, 4, sigma=2.0)
    expected = [
        scipy.ndimage.correlate(band, kernel, mode="nearest")[::4, ::4] for band in cube.astype(float)
    ]
    np.testing.assert_allclose(blur_downsample(cube, kernel, 4, "strided"), expected, atol=1e-6)


def test_constant_images_stay_constant():
    cube = np.full((3, 24, 24), 0.3, np.float32)
    for mode in ("bicubic", "bilinear", "strided"):
        lr = blur_downsample(cube, gaussian_kernel(21, 4, lambda1=1, lambda2=3), 4, mode)
        np.testing.assert_allclose(lr, 0.3, atol=1e-6)


def drawn(monkeypatch, preset, scale, count):
    """Draws of many seeds, and the widths that each one's kernel was made with."""
    asked = []

    def note(side, scale, **widths):
        asked.append({"side": side, "scale": scale, **widths})
        return gaussian_kernel(side, scale, **widths)

    monkeypatch.setattr(protocol, "gaussian_kernel", note)
    draws = [draw_degradation(scale, preset, seed) for seed in range(count)]
    assert all(draw.kernel.shape == (one["side"],) * 2 for draw, one in zip(draws, asked, strict=True))
    assert {one["scale"] for one in asked} == {scale}
    assert {one["alignment"] for one in asked} == {"released"}
    return draws, asked


def assert_uniform(values, low, high):
    """Within [low, high], up to both ends, and each quarter of it as often as the others."""
    shares = np.histogram(values, 4, (low, high))[0] / len(values)
    assert low <= min(values) < low + 0.005 * (high - low)
    assert high - 0.005 * (high - low) < max(values) <= high
    assert np.abs(shares - 0.25).max() < 0.025


def share(conditions):
    return np.mean(list(conditions))


@pytest.mark.parametrize("scale", [4, 8])
def test_the_test_degradation_is_the_papers(monkeypatch, scale):
    draws, asked = drawn(monkeypatch, "test", scale, 4000)
    assert {one["side"] for one in asked} == {13}
    assert_uniform([one["lambda1"] for one in asked], 2, 5)
    assert_uniform([one["lambda2"] for one in asked], 8, 12)
    assert_uniform([one["theta"] for one in asked], 0, np.pi)
    assert {draw.mode for draw in draws} == {"bicubic"}
    assert {draw.sigma for draw in draws} == {3 / 255}
    assert [draw.noise_seed for draw in draws] == [(seed, 1) for seed in range(4000)]


@pytest.mark.parametrize("scale", [4, 8])
def test_the_training_degradation_is_the_papers(monkeypatch, scale):
    draws, asked = drawn(monkeypatch, "train", scale, 12_000)
    isotropic = [one for one in asked if "sigma" in one]
    others = [one for one in asked if "sigma" not in one]
    assert abs(len(isotropic) / len(asked) - 0.5) < 0.012
    assert_uniform([one["sigma"] for one in isotropic], 0.2, scale)
    for name in ("lambda1", "lambda2"):
        assert_uniform([one[name] for one in others], 0.2, scale)
    assert (
        abs(np.corrcoef(*zip(*((one["lambda1"], one["lambda2"]) for one in others), strict=True))[0, 1])
        < 0.03
    )
    assert_uniform([one["theta"] for one in others], 0, np.pi)
    for kind in (isotropic, others):
        sides = [one["side"] for one in kind]
        assert set(sides) == {7, 9, 13, 15, 21}
        assert all(abs(share(side == found for found in sides) - 0.2) < 0.015 for side in set(sides))
    assert {draw.mode for draw in draws} == {"bicubic", "bilinear", "strided"}
    for mode in ("bicubic", "bilinear", "strided"):
        assert abs(share(draw.mode == mode for draw in draws) - 1 / 3) < 0.012
    assert {draw.sigma for draw in draws} == {level / 255 for level in range(5)}
    for level in range(5):  # without noise as often as with each of the four levels
        assert abs(share(draw.sigma == level / 255 for draw in draws) - 0.2) < 0.01
    assert [draw.noise_seed for draw in draws] == [(seed, 1) for seed in range(12_000)]


@pytest.mark.parametrize("preset", ["lttr", "cms", "pzres-net", "mhf-net", "mog-dcn"])
def test_a_competitors_degradation_is_its_published_blur_without_noise(preset):
    for seed in range(3):
        draw = draw_degradation(8, preset, seed)
        np.testing.assert_array_equal(draw.kernel, assumed_blur(preset, 8))
        assert (draw.mode, draw.sigma) == ("block", 0)


def test_uals_degradation_is_one_of_five_blurs_without_noise():
    draws = [draw_degradation(8, "ual", seed) for seed in range(2000)]
    assert {(draw.mode, draw.sigma) for draw in draws} == {("block", 0)}
    kinds = Counter(draw.kernel.tobytes() for draw in draws)
    assert len(kinds) == 5 and all(abs(count / 2000 - 0.2) < 0.03 for count in kinds.values())


def test_noise_has_the_stated_strength_and_the_result_is_clipped():
    flat = Scene("flat", np.full((8, 96, 96), 0.5, np.float32), rgb_bands=(0, 1, 2))
    noise = degrade(flat, 4).lr - 0.5
    assert noise.std() == pytest.approx(3 / 255, rel=0.03) and abs(noise.mean()) < 5e-4
    for value in (0.0, 1.0):
        plain = Scene("flat", np.full((8, 96, 96), value, np.float32), rgb_bands=(0, 1, 2))
        clipped = degrade(plain, 4).lr - value
        outwards = noise < -1e-6 if value == 0 else noise > 1e-6
        assert 0.4 < outwards.mean() < 0.6
        np.testing.assert_allclose(clipped, np.where(outwards, 0, noise), atol=1e-6)


def test_same_arguments_same_observation_in_any_order_and_with_any_number_of_workers(request):
    scenes = [small_scene(name) for name in "abcd"]
    alone = {scene.name: degrade(scene, seed=3).lr for scene in scenes}
    with ThreadPoolExecutor(4) as pool:
        together = dict(pool.map(lambda scene: (scene.name, degrade(scene, seed=3).lr), scenes[::-1]))
    for name in alone:
        np.testing.assert_allclose(alone[name], together[name], atol=1e-6)
    assert not np.array_equal(alone["a"], alone["b"])  # the random degradation depends on the name
    request.getfixturevalue("two_threads")
    np.testing.assert_allclose(degrade(scenes[0], seed=3).lr, alone["a"], atol=1e-6)


def test_random_degradations_are_the_same_in_all_releases():
    """These digits were printed once; a change of any of them would silently change every result."""
    draw = draw_degradation(4, "test", scene_seed(small_scene("balloons"), 0))
    assert draw.kernel[6, 6] == pytest.approx(0.017163394479422268, abs=1e-12)
    noise = np.random.default_rng(draw.noise_seed).standard_normal(3)
    np.testing.assert_allclose(noise, [0.26269396333373035, -0.12763386261846224, 0.21838555596027612])


def test_an_observation_survives_storage(tmp_path):
    observation = degrade(small_scene())
    loaded = Observation.load(observation.save(tmp_path / "a.npz"))
    np.testing.assert_array_equal(loaded.lr, observation.lr)
    np.testing.assert_array_equal(loaded.rgb, observation.rgb)
    assert loaded.scale == 4 and loaded.srf is None
    with pytest.raises(InputError, match=r"c\.npz: there is no such file"):
        Observation.load(tmp_path / "c.npz")
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    with pytest.raises(InputError, match=r"b\.npz"):
        Observation.load(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: degrade(small_scene(side=50), 4), "does not divide"),
        (lambda: degrade(small_scene(), 4, preset="tset"), "preset"),
        (lambda: degrade(small_scene(), 4, alignment="center"), "alignment"),
        (lambda: degrade(small_scene(), 4, "lttr", alignment="center"), "alignment"),
        (lambda: degrade(small_scene(), 4, seed=-1), "seed: found -1"),
        (lambda: draw_degradation(4, seed=(3, None)), "seed: found None"),
        (lambda: draw_degradation(0), "scale: found 0"),
        (lambda: blur_downsample(np.zeros((3, 8, 8)), np.ones((3, 3)), 0), "scale: found 0"),
        (lambda: small_scene().crop_to_multiple(0), "scale: found 0"),
        (lambda: gaussian_kernel(13, 4), "neither or both"),
        (lambda: gaussian_kernel(13, 4, sigma=1, lambda1=2, lambda2=3), "neither or both"),
        (lambda: gaussian_kernel(13, 4, lambda1=2), "neither or both"),
        (lambda: gaussian_kernel(13, 4, sigma=-1.0), "above zero"),
        (lambda: blur_downsample(np.zeros((3, 8, 8)), np.ones((4, 4)), 4), "odd side"),
        (lambda: Observation(np.zeros((4, 5, 5), np.float32), np.zeros((3, 20, 24), np.float32), 4), "rgb"),
        (lambda: degrade(Scene("x", np.zeros((4, 8, 8), np.float32)), 4), "rgb_bands"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()

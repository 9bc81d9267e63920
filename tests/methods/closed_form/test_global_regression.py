import numpy as np
import pytest
import torch

from ifmsr.degradation.protocol import gaussian_kernel
from ifmsr.degradation.sampling import decimate
from ifmsr.methods.closed_form.global_regression import (
    RIDGES,
    detail_error,
    fitted,
    regress_globally,
    root_polynomial,
    split,
)
from ifmsr.scenes import open_dataset

RED, GREEN, BLUE = 29, 19, 9  # of Indian Pines
BANDS = [29, 24, 19, 14, 9]
AFFINE = torch.tensor([[0.5, 0.3, 0.2], [0.9, -0.2, 0.1], [0.0, 0.5, 0.4], [0.1, 0.1, 0.7], [0.3, -0.3, 0.3]])


@pytest.fixture(scope="module")
def pines():
    """The real image (200, 144, 72)."""
    return torch.from_numpy(open_dataset("indian-pines").load("train").cube.copy())


@pytest.fixture(scope="module")
def kernel():
    """A wide blur for scale 4."""
    return torch.from_numpy(gaussian_kernel(20, 4, lambda1=8, lambda2=8, alignment="centred")).float()


def slow_features(rgb):
    """The thirteen root-polynomial features, pixel by pixel."""
    _, height, width = rgb.shape
    features = np.zeros((13, height, width))
    for i in range(height):
        for j in range(width):
            r, g, b = rgb[:, i, j]
            roots = [np.sqrt(r * g), np.sqrt(g * b), np.sqrt(r * b)]
            features[:, i, j] = [r, g, b, 1, r * r, g * g, b * b, r * g, g * b, r * b, *roots]
    return features


def slow_fit(features, maps, weight):
    """(B, features) a dense least-squares solve with the ridge as more equations."""
    inputs, outputs = features.reshape(len(features), -1), maps.reshape(len(maps), -1)
    rows = np.sqrt(weight * (inputs**2).sum(1).mean()) * np.eye(len(inputs))
    design = np.vstack([inputs.T, rows])
    aim = np.vstack([outputs.T, np.zeros((len(inputs), len(outputs)))])
    return np.linalg.lstsq(design, aim, rcond=None)[0].T


def cubic(distance, a=-0.75):
    d = abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def slow_split(image):
    """Means of up to four pixels, and what the image has beyond their cubic interpolation."""
    _, height, width = image.shape
    low = np.zeros((len(image), -(-height // 2), -(-width // 2)))
    for i in range(low.shape[1]):
        for j in range(low.shape[2]):
            low[:, i, j] = image[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((1, 2))

    def taps(place, count):
        at = (place + 0.5) / 2 - 0.5
        near = int(np.floor(at))
        return [(min(max(i, 0), count - 1), cubic(at - i)) for i in range(near - 1, near + 3)]

    smooth = np.zeros(image.shape)
    for y in range(height):
        for x in range(width):
            for i, down in taps(y, low.shape[1]):
                for j, right in taps(x, low.shape[2]):
                    smooth[:, y, x] += down * right * low[:, i, j]
    return low, image - smooth


def as_double(*images):
    return tuple(image.double().numpy() for image in images)


def pair(rgb, kernel):
    """The features of `rgb` at both resolutions."""
    fine = root_polynomial(rgb)
    return fine, decimate(fine, kernel, 4)


def rmse(found, truth):
    return float((found - truth)[:, 8:-8, 8:-8].square().mean().sqrt())


# --- features and fits ---------------------------------------------------------------------------------------


def test_features_are_root_polynomials_pixel_by_pixel(pines):
    rgb = pines[[RED, GREEN, BLUE], :7, :9]
    np.testing.assert_allclose(root_polynomial(rgb), slow_features(rgb.double().numpy()), rtol=1e-6)
    assert root_polynomial(torch.zeros(3, 1, 2)).isfinite().all()


@pytest.mark.parametrize("weight", RIDGES[::3])
def test_a_fit_is_least_squares_with_the_ridge_as_more_equations(pines, weight):
    features, maps = root_polynomial(pines[[RED, GREEN, BLUE], :20, :15]), pines[40:45, :20, :15]
    found = fitted(features, maps, weight)
    assert found.shape == (5, 13) and found.dtype == torch.float32
    expected = slow_fit(*as_double(features, maps), weight)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


# --- prediction of details -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 2), (3, 3), (8, 6), (9, 6), (8, 7), (11, 13)])
def test_a_split_is_a_pooled_image_and_what_its_upsampling_lacks(pines, size):
    image = pines[40:43, : size[0], : size[1]]
    found, expected = split(image), slow_split(image.double().numpy())
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_detail_error_is_what_a_map_of_pooled_images_misses(pines):
    rgb, maps = pines[[RED, GREEN, BLUE], :17, :14], pines[40:44, :17, :14]
    features = root_polynomial(rgb)
    found = detail_error(features, maps)
    assert found.shape == (len(RIDGES), 4)
    (low, detail), (low_maps, wanted) = (slow_split(image) for image in as_double(features, maps))
    for weight, errors in zip(RIDGES, found, strict=True):
        weights = slow_fit(low, low_maps, weight)
        for band in range(4):
            expected = 0.0
            for y in range(17):
                for x in range(14):
                    expected += (wanted[band, y, x] - weights[band] @ detail[:, y, x]) ** 2
            assert float(errors[band]) == pytest.approx(expected, rel=2e-3)


# --- the whole regression ------------------------------------------------------------------------------------


def test_every_axis_has_the_ridge_that_predicts_its_details(pines, kernel):
    rgb, lr = pines[[RED, GREEN, BLUE]], decimate(pines[BANDS], kernel, 4)
    features = pair(rgb, kernel)
    fine, coarse, cube = as_double(*features, lr)
    axes = np.linalg.eigh(np.cov(cube.reshape(len(cube), -1), bias=True))[1]
    maps = np.tensordot(axes.T, cube, axes=1)
    candidates = np.stack([slow_fit(coarse, maps, weight) for weight in RIDGES])
    (low, detail), (low_maps, wanted) = slow_split(coarse), slow_split(maps)
    errors = np.stack(
        [
            ((wanted - np.tensordot(slow_fit(low, low_maps, weight), detail, axes=1)) ** 2).sum((1, 2))
            for weight in RIDGES
        ]
    )
    choice = errors.argmin(0)
    weights = axes @ np.stack([candidates[n, axis] for axis, n in enumerate(choice)])

    found = regress_globally(lr, rgb, kernel, 4)
    np.testing.assert_allclose(found.fine(rgb), np.tensordot(weights, fine, axes=1), atol=5e-4)
    np.testing.assert_allclose(found.coarse, np.tensordot(weights, coarse, axes=1), atol=5e-4)
    torch.testing.assert_close(found.seen, features[1][:3])
    assert len(set(choice)) > 1


def test_features_are_blurred_and_not_made_of_blurred_rgb_values(pines, kernel):
    """The square of an RGB channel is reproduced exactly only with these features."""
    rgb = pines[[RED, GREEN, BLUE]]
    truth = rgb[:1].square()
    found = regress_globally(decimate(truth, kernel, 4), rgb, kernel, 4)
    assert rmse(found.fine(rgb), truth) < 5e-3 * float(truth.std())
    of_blurred = root_polynomial(found.seen)
    assert float((found.coarse - of_blurred[4]).abs().max()) > 1e-3


def test_a_scene_that_obeys_one_map_is_found_exactly(pines, kernel):
    rgb = pines[[RED, GREEN, BLUE]]
    truth = torch.tensordot(AFFINE, rgb, dims=1) + 0.05
    truth = torch.cat([truth, 0.4 * rgb[:1] * rgb[1:2] + (rgb[1:2] * rgb[2:]).sqrt()])
    lr = decimate(truth, kernel, 4)
    found = regress_globally(lr, rgb, kernel, 4)
    assert rmse(found.fine(rgb), truth) < 2e-3 * float(truth.std())
    torch.testing.assert_close(found.coarse, lr, atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1), (2, 3), (3, 3)])
@pytest.mark.parametrize("bands", [1, 2, 8])
def test_images_of_a_few_pixels_are_explained_too(pines, kernel, bands, size):
    cube = pines[:bands, : 4 * size[0], : 4 * size[1]]
    rgb = pines[[RED, GREEN, BLUE], : 4 * size[0], : 4 * size[1]]
    found = regress_globally(decimate(cube, kernel, 4), rgb, kernel, 4)
    assert found.fine(rgb).shape == cube.shape and found.coarse.shape == (bands, *size)
    assert found.seen.shape == (3, *size)
    assert all(part.isfinite().all() for part in found)


@pytest.mark.parametrize(("value", "colour"), [(0.4, 0.4), (0.0, 0.0), (1.0, 1.0), (0.3, 0.8)])
def test_images_without_any_contrast_stay_without(kernel, value, colour):
    rgb = torch.full((3, 24, 20), colour)
    found = regress_globally(torch.full((4, 6, 5), value), rgb, kernel, 4)
    torch.testing.assert_close(found.fine(rgb), torch.full((4, 24, 20), value), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.coarse, torch.full((4, 6, 5), value), atol=1e-3, rtol=0)

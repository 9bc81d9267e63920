import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from ifmsr import metrics
from ifmsr.degradation.estimation import estimate_degradation
from ifmsr.degradation.protocol import degrade
from ifmsr.degradation.sampling import decimate, upsample
from ifmsr.errors import InputError
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.hysure import (
    Cyclic,
    HySure,
    adjoint_differences,
    differences,
    fit_rgb,
    fit_spectra,
    shrink,
    subspace,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_it_beats_bicubic_on_indian_pines(indian_pines):
    observation = degrade(indian_pines, 4)
    sr, blurry = HySure()(observation), Bicubic()(observation)
    assert metrics.psnr(indian_pines.cube, sr) > metrics.psnr(indian_pines.cube, blurry) + 3
    assert metrics.sam(indian_pines.cube, sr) < 0.65 * metrics.sam(indian_pines.cube, blurry)


@pytest.mark.parametrize(
    ("name", "value"), [("dimensions", 0), ("penalty", 0.0), ("iterations", 0), ("variation_weight", -1.0)]
)
def test_settings_that_cannot_be_raise(name, value):
    with pytest.raises(InputError, match=name):
        HySure(**{name: value})


def explicit_blur(kernel, rows, columns):
    """(rows * columns) squared: sum_t kernel[t] image[n + t - k // 2] on a torus, entry by entry."""
    matrix = np.zeros((rows, columns, rows, columns))
    half = len(kernel) // 2
    for i in range(rows):
        for j in range(columns):
            for a in range(len(kernel)):
                for b in range(len(kernel)):
                    matrix[i, j, (i + a - half) % rows, (j + b - half) % columns] += kernel[a, b]
    return matrix.reshape(rows * columns, -1)


def explicit_differences(rows, columns):
    down = np.zeros((rows, columns, rows, columns))
    across = np.zeros((rows, columns, rows, columns))
    for i in range(rows):
        for j in range(columns):
            down[i, j, i, j] += 1
            down[i, j, i - 1, j] -= 1
            across[i, j, i, j] += 1
            across[i, j, i, j - 1] -= 1
    return down.reshape(rows * columns, -1), across.reshape(rows * columns, -1)


@pytest.mark.parametrize(("side", "rows", "columns"), [(4, 6, 9), (3, 5, 8)])
def test_blur_and_least_squares_equal_dense_matrices(rng, side, rows, columns):
    kernel = rng.random((side, side))
    kernel /= kernel.sum()
    blur = explicit_blur(kernel, rows, columns)
    down, across = explicit_differences(rows, columns)
    cyclic = Cyclic(torch.from_numpy(kernel), rows, columns)
    images = rng.random((4, 2, rows, columns))
    flat = images.reshape(4, 2, -1)

    blurred = cyclic.blur(torch.from_numpy(images[0])).numpy()
    np.testing.assert_allclose(blurred.reshape(2, -1), flat[0] @ blur.T, atol=1e-12)
    system = np.vstack([blur, np.eye(rows * columns), down, across])
    expected = np.linalg.lstsq(system, np.hstack(list(flat)).T, rcond=None)[0].T
    x, xb = cyclic.least_squares(*(torch.from_numpy(image) for image in images))
    np.testing.assert_allclose(x.numpy().reshape(2, -1), expected, atol=1e-6)
    np.testing.assert_allclose(xb.numpy().reshape(2, -1), expected @ blur.T, atol=1e-6)


def test_differences_and_their_adjoint_equal_dense_matrices(rng):
    x, d, a = rng.random((3, 2, 5, 7))
    down, across = explicit_differences(5, 7)
    found = differences(torch.from_numpy(x))
    for image, matrix in zip(found, (down, across), strict=True):
        np.testing.assert_allclose(image.numpy().reshape(2, -1), x.reshape(2, -1) @ matrix.T, atol=1e-12)
    adjoint = adjoint_differences(torch.from_numpy(d), torch.from_numpy(a))
    expected = d.reshape(2, -1) @ down + a.reshape(2, -1) @ across
    np.testing.assert_allclose(adjoint.numpy().reshape(2, -1), expected, atol=1e-12)


def test_both_fits_equal_dense_least_squares(rng):
    basis, response = np.linalg.qr(rng.random((8, 3)))[0], rng.random((3, 8))
    spectra, rgb, wanted = rng.random((8, 4, 5)), rng.random((3, 4, 5)), rng.random((3, 4, 5))
    mu, weight = 0.05, 0.7
    target = np.vstack([spectra.reshape(8, -1), np.sqrt(mu) * wanted.reshape(3, -1)])
    expected = np.linalg.lstsq(np.vstack([basis, np.sqrt(mu) * np.eye(3)]), target, rcond=None)[0]
    low = torch.from_numpy(np.tensordot(basis.T, spectra, axes=1))
    found = fit_spectra(low, torch.from_numpy(wanted), mu)
    np.testing.assert_allclose(found.numpy().reshape(3, -1), expected)

    seen = response @ basis
    target = np.vstack([np.sqrt(weight) * rgb.reshape(3, -1), np.sqrt(mu) * wanted.reshape(3, -1)])
    system = np.vstack([np.sqrt(weight) * seen, np.sqrt(mu) * np.eye(3)])
    expected = np.linalg.lstsq(system, target, rcond=None)[0]
    inverse = torch.from_numpy(np.linalg.inv(weight * seen.T @ seen + mu * np.eye(3)))
    rgb_term = torch.from_numpy(weight * np.tensordot(seen.T, rgb, axes=1))
    found = fit_rgb(rgb_term, torch.from_numpy(wanted), inverse, mu)
    np.testing.assert_allclose(found.numpy().reshape(3, -1), expected)


def test_the_soft_threshold_is_the_minimiser_that_defines_it(rng):
    down, across = rng.standard_normal((2, 3, 4, 5))
    down[:, 0, 0] = across[:, 0, 0] = 0
    down[:, 1, 1] = across[:, 1, 1] = 0.1
    found = [v.numpy() for v in shrink(torch.from_numpy(down), torch.from_numpy(across), 0.8)]
    for i in range(4):
        for j in range(5):
            vector = np.concatenate([down[:, i, j], across[:, i, j]])
            shrunk = np.concatenate([v[:, i, j] for v in found])
            length = np.sqrt((vector**2).sum())
            expected = vector * (length - 0.8) / length if length > 0.8 else 0 * vector
            np.testing.assert_allclose(shrunk, expected, atol=1e-12)

            def cost(v, vector=vector):
                return 0.8 * np.sqrt((v**2).sum()) + 0.5 * ((v - vector) ** 2).sum()

            assert all(cost(shrunk) <= cost(shrunk + 0.1 * step) for step in rng.standard_normal((20, 6)))


def test_the_subspace_is_that_of_the_singular_vectors(indian_pines):
    lr = indian_pines.cube[::4, ::4, ::4]
    basis = subspace(torch.from_numpy(lr.copy()), 6).numpy()
    expected = np.linalg.svd(lr.reshape(50, -1).astype(float), full_matrices=False)[0][:, :6]
    np.testing.assert_allclose(basis.T @ basis, np.eye(6), atol=1e-5)
    np.testing.assert_allclose(basis @ basis.T, expected @ expected.T, atol=1e-4)
    assert subspace(torch.from_numpy(lr[:4].copy()), 10).shape == (4, 4)


@pytest.mark.parametrize(("side", "scale"), [(4, 2), (3, 3)])
@pytest.mark.parametrize("variation", [0.0, 0.05])
def test_the_iterations_reach_the_solution_of_a_general_solver(rng, side, scale, variation):
    """8 x 8 or 9 x 9 pixels in a 12 x 12 torus; the RGB image is padded with its border pixels."""
    size = 8 if scale == 2 else 9
    kernel = rng.random((side, side)) + 1
    kernel /= kernel.sum()
    count, first = size // scale, side // 2
    low, rgb = rng.random((2, count, count)), rng.random((3, size, size))
    response = rng.random((3, 2)) + np.eye(3, 2)

    start = first + scale // 2
    taken = [(start + scale * i) * 12 + start + scale * j for i in range(count) for j in range(count)]
    border = (first, 12 - size - first)
    wide = np.pad(rgb, ((0, 0), border, border), mode="edge").reshape(3, -1)
    blur, down, across = explicit_blur(kernel, 12, 12)[taken], *explicit_differences(12, 12)

    def objective(flat):
        x = flat.reshape(2, -1)
        spectra, rgb_term, v, h = (
            x @ blur.T - low.reshape(2, -1),
            response @ x - wide,
            x @ down.T,
            x @ across.T,
        )
        length = np.sqrt((v**2 + h**2).sum(0) + 1e-12)
        value = 0.5 * (spectra**2).sum() + 0.5 * (rgb_term**2).sum() + variation * length.sum()
        slope = (
            spectra @ blur + response.T @ rgb_term + variation * ((v / length) @ down + (h / length) @ across)
        )
        return value, slope.ravel()

    options = {"maxiter": 20000, "maxfun": 20000, "ftol": 1e-15, "gtol": 1e-10}
    best = minimize(objective, np.zeros(288), jac=True, method="L-BFGS-B", options=options)
    method = HySure(variation_weight=variation, iterations=3000)
    found = method.coefficients(
        *(torch.from_numpy(a).float() for a in (low, rgb, response, kernel)), scale
    ).numpy()
    inside = slice(first, first + size)
    np.testing.assert_allclose(found, best.x.reshape(2, 12, 12)[:, inside, inside], atol=3e-3)


def test_sampling_the_blurred_torus_is_the_packages_decimation(rng):
    kernel = torch.from_numpy(rng.random((8, 8))).float()
    image = torch.from_numpy(rng.random((2, 40, 40))).float()
    blurred = Cyclic(kernel, 40, 40).blur(image)[:, 2::4, 2::4]
    torch.testing.assert_close(blurred[:, 2:-2, 2:-2], decimate(image, kernel, 4)[:, 2:-2, 2:-2])


def test_the_papers_objective_falls_and_converges(indian_pines):
    """Its three terms, written out with the package's decimation, from the start to many iterations."""
    part = indian_pines.crop(0, 0, 48, 48)
    observation = degrade(part, 4)
    response, kernel = estimate_degradation(observation)[:2]
    lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
    rgb = rgb - response[:, -1, None, None]
    basis = subspace(lr, 10)
    low, seen = torch.tensordot(basis.T, lr, dims=1), response[:, :-1] @ basis

    def objective(x):
        spectra = 0.5 * (low - decimate(x, kernel, 4)).square().sum()
        rgb_term = 0.5 * (rgb - torch.tensordot(seen, x, dims=1)).square().sum()
        down, across = x[:, 1:, 1:] - x[:, :-1, 1:], x[:, 1:, 1:] - x[:, 1:, :-1]
        variation = (down.square().sum(0) + across.square().sum(0)).sqrt().sum()
        return float(spectra + rgb_term + 1e-3 * variation)

    values = [objective(upsample(low, kernel, 4))]
    values += [
        objective(HySure(iterations=n).coefficients(low, rgb, seen, kernel, 4)) for n in (5, 20, 80, 320)
    ]
    assert values[0] > 3 * values[1] > 3 * values[2]
    assert values[2] > values[3]
    np.testing.assert_allclose(values[4], values[3], rtol=0.01)  # converged; ADMM is not monotone there

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear
from tiny import few_bands

from ifmsr import metrics
from ifmsr.degradation.protocol import degrade, gaussian_kernel
from ifmsr.degradation.sampling import decimate
from ifmsr.errors import InputError
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.cnmf import (
    CNMF,
    move_both,
    move_h,
    move_w,
    nonnegative_response,
    objective,
    sum_to_one_weight,
    vertex_components,
)
from ifmsr.scenes.scene import Observation


@pytest.fixture(scope="module")
def spectra(indian_pines):
    """Real spectra (40, 5): five pixels that differ."""
    pixels = torch.from_numpy(indian_pines.cube[::5, ::4, ::4].reshape(40, -1))
    return vertex_components(pixels, 5, 0)


def test_it_beats_bicubic_on_indian_pines(indian_pines):
    observation = degrade(indian_pines, 4)
    sr, blurry = CNMF()(observation), Bicubic()(observation)
    assert metrics.psnr(indian_pines.cube, sr) > metrics.psnr(indian_pines.cube, blurry) + 1.3
    assert metrics.sam(indian_pines.cube, sr) < 0.65 * metrics.sam(indian_pines.cube, blurry)


def test_fewer_lr_pixels_or_bands_than_endmembers_are_fine():
    observation = few_bands(4, known=False)
    small = Observation(observation.lr[:4, :3, :3].copy(), observation.rgb[:, :12, :12].copy(), 4)
    assert np.isfinite(CNMF(updates=20)(small)).all()


@pytest.mark.parametrize(("name", "value"), [("endmembers", 1), ("updates", 0), ("outer", -1)])
def test_settings_that_cannot_be_raise(name, value):
    with pytest.raises(InputError, match=name):
        CNMF(**{name: value})


@pytest.mark.parametrize("move", [move_h, move_w, move_both])
def test_an_update_never_increases_the_objective_nor_makes_anything_negative(move):
    generator = torch.Generator().manual_seed(1)
    v = torch.rand(9, 40, generator=generator, dtype=torch.double)
    w = torch.rand(9, 4, generator=generator, dtype=torch.double)
    h = torch.rand(4, 40, generator=generator, dtype=torch.double)
    values = [objective(v, w, h, 0.3)]
    for _ in range(50):
        w, h = move(v, w, h, 0.3)
        values.append(objective(v, w, h, 0.3))
        assert w.min() >= 0 and h.min() >= 0
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))
    assert values[-1] < 0.5 * values[0]


def test_updates_are_lee_and_seungs_on_matrices_with_the_constraint_as_a_row():
    generator = np.random.default_rng(2)
    v, w, h, delta = generator.random((5, 6)), generator.random((5, 3)), generator.random((3, 6)), 0.4
    long_v, long_w = np.vstack([v, np.full((1, 6), delta)]), np.vstack([w, np.full((1, 3), delta)])
    misfit = np.square(long_v - long_w @ h).sum()
    tensors = [torch.from_numpy(a.copy()) for a in (v, w, h)]
    assert objective(*tensors, delta) == pytest.approx(misfit)
    _, found = move_h(*tensors, delta)
    for m in range(3):
        for pixel in range(6):
            wanted = sum(long_w[b, m] * long_v[b, pixel] for b in range(6))
            have = sum(long_w[b, m] * long_w[b, j] * h[j, pixel] for b in range(6) for j in range(3))
            assert float(found[m, pixel]) == pytest.approx(h[m, pixel] * wanted / have)
    found, _ = move_w(*tensors, delta)
    for b in range(5):
        for m in range(3):
            wanted = sum(v[b, pixel] * h[m, pixel] for pixel in range(6))
            have = sum(w[b, j] * h[j, pixel] * h[m, pixel] for j in range(3) for pixel in range(6))
            assert float(found[b, m]) == pytest.approx(w[b, m] * wanted / have)
    for tensor, array in zip(tensors, (v, w, h), strict=True):
        np.testing.assert_array_equal(tensor, array)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_vertex_components_are_the_pure_pixels(spectra, noise):
    generator = torch.Generator().manual_seed(3)
    mixtures = torch.rand(5, 400, generator=generator).pow(3)
    pixels = spectra @ torch.cat([torch.eye(5), mixtures / mixtures.sum(0)], dim=1)
    pixels = pixels + noise * torch.randn(pixels.shape, generator=generator)
    found = vertex_components(pixels, 5, seed=0)
    nearest = torch.cdist(spectra.T, found.T)
    assert sorted(nearest.argmin(1).tolist()) == [0, 1, 2, 3, 4]
    assert nearest.amin(1).max() < (1e-4 if noise == 0 else 0.15 * torch.pdist(spectra.T).min())


def test_an_unknown_response_is_the_bounded_least_squares_solution():
    generator = np.random.default_rng(4)
    lr, seen = generator.random((6, 8, 9)), generator.random((3, 8, 9))
    found = nonnegative_response(torch.from_numpy(lr), torch.from_numpy(seen)).numpy()
    system = np.column_stack([*(band.ravel() for band in lr), np.ones(72)])
    for channel in range(3):
        expected = lsq_linear(system, seen[channel].ravel(), bounds=(0, np.inf)).x
        np.testing.assert_allclose(found[channel], expected, atol=1e-4)


def test_the_weight_of_the_constraint():
    assert sum_to_one_weight(torch.full((3, 2, 2), 0.7455)) == pytest.approx(2 / 27)


def test_a_scene_of_few_materials_is_recovered(spectra):
    """A cube of four real spectra in patches of one or two, without noise; three of its bands are the RGB image."""
    generator = torch.Generator().manual_seed(5)
    patches = torch.rand(4, 6, 6, generator=generator).pow(4)
    patches[:, range(4), range(4)] = torch.eye(4)  # pure ones
    maps = (patches / patches.sum(0)).repeat_interleave(16, 1).repeat_interleave(16, 2)
    truth = torch.tensordot(spectra[:, :4], maps, dims=1).clamp(0, 1)
    kernel = torch.from_numpy(gaussian_kernel(12, 4, sigma=2.0, alignment="centred")).float()
    srf = np.zeros((3, 40), np.float32)
    srf[[0, 1, 2], [35, 14, 4]] = 1
    observation = Observation(decimate(truth, kernel, 4).numpy(), truth[[35, 14, 4]].numpy(), 4, srf)
    sr, blurry = CNMF(endmembers=4, outer=3)(observation), Bicubic()(observation)
    error = metrics.psnr(truth.numpy(), sr)
    assert error > 40 and error > metrics.psnr(truth.numpy(), blurry) + 10

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import moments

from ifmsr.degradation import kernels
from ifmsr.degradation.kernels import (
    as_kernel,
    kernel_columns,
    kernel_gram,
    kernel_side,
    smooth_gram,
    solve_taps,
)
from ifmsr.degradation.sampling import decimate


@pytest.mark.parametrize("scale", [2, 3, 4, 8, 16])
def test_kernels_have_the_grids_parity_and_room_for_the_published_blurs(scale):
    side = kernel_side(scale)
    assert side % 2 == scale % 2 and side >= max(16, scale + 4)


def test_kernels_of_every_scale_have_the_stated_side():
    sides = {scale: kernel_side(scale) for scale in (1, 2, 3, 4, 8, 9, 16, 32)}
    assert sides == {1: 21, 2: 20, 3: 21, 4: 20, 8: 20, 9: 23, 16: 36, 32: 68}


@pytest.mark.parametrize(("scale", "shift"), [(4, (0.0, 0.0)), (4, (3.0, -2.0)), (2, (2.0, 2.0))])
@pytest.mark.parametrize("noise", [0.003, 0.02])
def test_solving_again_on_the_support_finds_a_shifted_kernel_in_noise(pines, scale, shift, noise):
    rgb, side = torch.from_numpy(pines[[29, 19, 9]]), kernel_side(scale)
    down, right = (np.arange(side) - (side - 1) / 2 - place for place in shift)
    truth = np.exp(-0.5 * ((down[:, None] / 1.2) ** 2 + (right / 1.5) ** 2))
    truth = torch.from_numpy(truth / truth.sum()).float()
    seen = decimate(rgb, truth, scale)
    seen = seen + noise * torch.randn(seen.shape, generator=torch.Generator().manual_seed(1))
    gram, products = kernel_gram(rgb, scale, seen[:, None])
    gram, target = smooth_gram(gram), products.sum(0)[:, 0]

    def errors(taps):
        kernel = as_kernel(taps, scale)
        return np.hypot(*np.subtract(moments(kernel)[0], shift)), float((kernel - truth).abs().sum())

    taps = solve_taps(gram, target)
    (place, form), (plain_place, plain_form) = errors(taps), errors(torch.linalg.solve(gram, target))
    assert place < min(0.08, 0.5 * plain_place) and form < 0.75 * plain_form

    support = taps != 0
    near = (truth >= 1e-3 * truth.max()).flatten()
    assert 9 <= support.sum() < 70 and not support[~near].any()
    assert (truth.flatten()[support]).sum() > 0.97
    left = (gram @ taps - target)[support]  # the equations of the taps that are not 0 hold
    assert left.abs().max() < 1e-9 * target.abs().max()


@pytest.mark.parametrize(("scale", "noise", "seed"), [(4, 0.05, 1), (4, 0.05, 2), (2, 0.1, 1)])
def test_taps_are_solved_for_again_three_times_among_the_large_ones_and_their_neighbours(
    pines, scale, noise, seed
):
    """Wide kernels in so much noise that the support still changes, against the definition in NumPy."""
    rgb, side = torch.from_numpy(pines[[29, 19, 9]]), kernel_side(scale)
    offsets = np.arange(side) - (side - 1) / 2
    wide = np.exp(-0.5 * ((offsets[:, None] / 3) ** 2 + (offsets / 1.2) ** 2))
    seen = decimate(rgb, torch.from_numpy(wide / wide.sum()).float(), scale).numpy()
    seen = seen + noise * np.random.default_rng(seed).standard_normal(seen.shape)
    gram, products = kernel_gram(rgb, scale, torch.from_numpy(seen).float()[:, None])
    gram, target = smooth_gram(gram).numpy(), products.sum(0)[:, 0].numpy()

    taps, narrowed = np.linalg.solve(gram, target), []
    for _ in range(4):
        large = np.pad((taps >= 0.2 * taps.max()).reshape(side, side), 1)
        near = np.any([large[i : i + side, j : j + side] for i in range(3) for j in range(3)], axis=0).ravel()
        taps = np.zeros(side**2)
        taps[near] = np.linalg.solve(gram[np.ix_(near, near)], target[near])
        narrowed.append(taps)
    found = solve_taps(torch.from_numpy(gram), torch.from_numpy(target)).numpy()
    distances = [np.abs(found - taps).max() / np.abs(found).max() for taps in narrowed]
    assert distances[2] < 1e-9 and min(distances[0], distances[1], distances[3]) > 0.01


@pytest.mark.parametrize("scale", [3, 4])
@pytest.mark.parametrize("at_once", [20, 10000])
def test_gram_matrix_and_products_are_those_of_all_columns(pines, monkeypatch, scale, at_once):
    """A few rows at a time, and all at once, without the pixels that do not count."""
    monkeypatch.setattr(kernels, "PIXELS_AT_ONCE", at_once)
    rgb, side = torch.from_numpy(pines[[29, 19, 9], : 12 * scale, : 10 * scale]), kernel_side(scale)
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(3, 2, 12, 10, generator=generator)
    usable = torch.rand(12, 10, generator=generator) > 0.3
    padded = F.pad(rgb[:, None], ((side - scale) // 2,) * 4, mode="replicate")
    columns = F.unfold(padded, side, stride=scale).double()[:, :, usable.flatten()]
    gram, products = kernel_gram(rgb, scale, values, usable)
    torch.testing.assert_close(gram, (columns @ columns.mT).sum(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(products, columns @ values[:, :, usable].double().mT, rtol=1e-5, atol=1e-5)
    pixels = usable.flatten().nonzero()[:, 0]
    assert torch.equal(kernel_columns(rgb, scale, pixels), columns.float())


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_equations_of_a_black_image_have_no_taps_and_a_kernel_still(scale):
    black = torch.zeros(3, 5 * scale, 4 * scale)
    gram = smooth_gram(kernel_gram(black, scale, torch.zeros(3, 1, 5, 4))[0])
    taps = solve_taps(gram, torch.zeros(len(gram), dtype=torch.double))
    assert not taps.any()
    kernel = as_kernel(taps, scale)
    np.testing.assert_allclose(kernel[kernel > 0], np.full(scale**2, 1 / scale**2))
    assert moments(kernel)[0] == pytest.approx((0, 0), abs=1e-6)

import pytest
import torch

from ifmsr.degradation import Estimate, decimate, gaussian_kernel
from ifmsr.guide import saturation
from ifmsr.guide.saturation import Clipping, affine_map, clipped_pixels, restore, untouched
from ifmsr.scenes import open_dataset

RED, GREEN, BLUE = 29, 19, 9


@pytest.fixture(scope="module")
def pines():
    return torch.from_numpy(open_dataset("indian-pines").load("train").cube.copy())


@pytest.fixture(scope="module")
def rgb(pines):
    return pines[[RED, GREEN, BLUE]] / pines[[RED, GREEN, BLUE]].max()


@pytest.fixture(scope="module")
def pair(pines, rgb):
    """The exact degradation of the guide: LR cube, and what an estimate of it would be."""
    kernel = torch.from_numpy(gaussian_kernel(8, 4, sigma=1.5, alignment="centred")).float()
    response = torch.zeros(3, len(pines) + 1)
    response[[0, 1, 2], [RED, GREEN, BLUE]] = 1 / pines[[RED, GREEN, BLUE]].max()
    lr = decimate(pines, kernel, 4)
    noise = 0.002 * torch.randn(lr.shape, generator=torch.Generator().manual_seed(0))
    return lr + noise, Estimate(response, kernel, 0.002)


def clipped_at(rgb, share):
    level = rgb.flatten().quantile(1 - share)
    return (rgb / level).clamp(0, 1), rgb / level


def clipped_in(rgb):
    return clipped_pixels(rgb, torch.ones(rgb.shape[1:], dtype=torch.bool))


# --- detection -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.03, 0.1])
@pytest.mark.parametrize("eight_bits", [False, True])
def test_clipped_pixels_are_found(rgb, share, eight_bits):
    clipped, _ = clipped_at(rgb, share)
    seen = (clipped * 255).round() / 255 if eight_bits else clipped
    found = clipped_in(seen)
    assert found.high[clipped == 1].all()
    assert not found.high[clipped < 0.97].any() and not found.low.any()


def test_clipped_pixels_are_found_in_an_encoded_guide_of_another_unit(rgb):
    clipped, _ = clipped_at(rgb, 0.05)
    found = clipped_in(1000 * clipped ** (1 / 2.2))
    assert found.high[clipped == 1].all() and not found.high[clipped < 0.9].any()


def test_invalid_pixels_are_not_clipped_and_do_not_hide_those_that_are(rgb):
    clipped, _ = clipped_at(rgb, 0.05)
    valid = torch.ones(rgb.shape[1:], dtype=torch.bool)
    valid[:, :20] = False
    for value in (0.0, 1.0, 7.0):
        whole, lost = (torch.where(valid, image, value) for image in (0.9 * rgb, clipped))
        assert not clipped_pixels(whole, valid).any.any()
        found = clipped_pixels(lost, valid).high
        assert found[clipped == 1].sum() == ((clipped == 1) & valid).sum() > 0 and not found[:, ~valid].any()


def test_a_guide_that_is_not_clipped_raises_no_alarm(rgb):
    for seen in (rgb, (rgb * 255).round() / 255, 0.8 * rgb, rgb ** (1 / 2.2), torch.zeros_like(rgb)):
        assert not clipped_in(seen).any.any()


def test_a_few_bright_pixels_are_no_plateau(rgb):
    seen = rgb.clone()
    seen[:, 10:12, 10:13] = 1
    assert not clipped_in(seen).any.any()


def test_a_clipped_black_level_is_found(rgb):
    level = rgb.flatten().quantile(0.3)
    dark = (0.25 * (rgb - level) / rgb.amax()).clamp(min=0)
    dark[:, :2, :10] = torch.linspace(0.8, 1, 20).view(2, 10)  # something bright, so that the rest is shadow
    found = clipped_in(dark)
    assert not found.high.any()
    assert found.low[:2][dark[:2] == 0].all() and dark[found.low].max() < 2e-4


def test_noise_cut_at_zero_is_no_black_level(rgb):
    noise = torch.randn(rgb.shape, generator=torch.Generator().manual_seed(0))
    noisy = (0.1 * (rgb > 0.5) + 0.02 * noise).clamp(0, 1)
    noisy[:, :2, :10] = 1
    assert (noisy == 0).float().mean() > 0.1
    assert not clipped_in(noisy).low.any()


def test_lr_pixels_without_clipped_ones_below():
    clipped = torch.zeros(3, 24, 32, dtype=torch.bool)
    clipped[1, 9, 13] = True
    expected = torch.ones(6, 8, dtype=torch.bool)
    expected[1:4, 2:5] = False  # rows 4 - 4 <= 9 < 12 + 4 + 4
    assert torch.equal(untouched(clipped, 4), expected)
    expected[:] = True
    expected[2, 3] = False
    assert torch.equal(untouched(clipped, 4, reach=0), expected)


# --- restoration ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "better"), [(0.03, 2.5), (0.1, 2.5)])
def test_clipped_pixels_are_restored(rgb, pair, share, better):
    clipped, truth = clipped_at(rgb, share)
    lr, estimate = pair
    estimate = estimate._replace(response=estimate.response * truth.max())
    found = clipped_in(clipped)
    restored, trust = restore(clipped, found, lr, estimate, 4)
    assert torch.equal(restored[~found.high], clipped[~found.high])
    assert (restored >= clipped).all() and restored.max() > 1.2
    assert torch.equal(trust, 1 - found.high.float())

    def error(guide):
        return float((guide - truth)[found.high].square().mean() ** 0.5)

    assert better * error(restored) < error(clipped)


def test_where_all_channels_are_clipped_the_lr_cube_is_left(rgb, pair):
    lr, estimate = pair
    clipped = rgb.clone()
    clipped[:, 60:76, 30:46] = rgb[:, 60:76, 30:46].clamp(max=0.2)
    mask = clipped != rgb
    restored, _ = restore(clipped, Clipping(mask, torch.zeros_like(mask)), lr, estimate, 4)
    error = (restored - rgb)[mask].square().mean() ** 0.5
    assert error < 0.25 * (clipped - rgb)[mask].square().mean() ** 0.5


def test_a_black_level_is_undone(rgb, pair):
    lr, estimate = pair
    level = rgb.flatten().quantile(0.3)
    cut = (rgb - level).clamp(min=0)
    response = estimate.response.clone()
    response[:, -1] -= level
    mask = cut == 0
    restored, _ = restore(
        cut, Clipping(torch.zeros_like(mask), mask), lr, estimate._replace(response=response), 4
    )
    assert (restored <= cut).all()
    assert (restored - (rgb - level))[mask].square().mean() < 0.25 * (rgb - level)[mask].square().mean()


def test_a_plateau_that_the_lr_cube_does_not_exceed_is_left_alone(rgb, pair):
    lr, estimate = pair
    mask = rgb > 0.6
    restored, trust = restore(rgb, Clipping(mask, torch.zeros_like(mask)), lr, estimate, 4)
    assert restored is rgb and (trust == 1).all()


def test_an_affine_relation_is_found_exactly(rgb):
    guides = rgb[:2, 40:70, 10:40]
    slopes_offset = affine_map(2 * guides[0] - 0.5 * guides[1] + 0.1, guides, 1e-10)
    expected = torch.tensor([2, -0.5, 0.1]).view(3, 1, 1).expand_as(slopes_offset)
    assert torch.allclose(slopes_offset, expected, atol=0.02)
    assert torch.equal(affine_map(rgb[0], rgb[:0], 0.1), rgb[:1])


def test_conjugate_gradients_solve_the_normal_equations(monkeypatch):
    """Against a dense solve of the least-squares problem itself."""
    monkeypatch.setattr(saturation, "ITERATIONS", 80)
    generator = torch.Generator().manual_seed(0)
    image, wanted = torch.rand(3, 8, 12, generator=generator), torch.rand(3, 4, 6, generator=generator)
    clipped = torch.zeros(3, 8, 12)
    clipped[:, 3:6, 4:8] = 1  # the kernel's replicated border stays outside
    kernel = torch.rand(4, 4, generator=generator)
    kernel = kernel / kernel.sum()
    steps = [0.1 * torch.rand(image.diff(dim=axis).shape, generator=generator) for axis in (-2, -1)]
    weights = [torch.rand(step.shape, generator=generator) for step in steps]
    found = saturation._System(kernel, 2, clipped, 0.5).solve(image, wanted, steps, weights)

    def residual(values):
        full = image.clone()
        full[0, 3:6, 4:8] = values.view(3, 4)
        left = [(decimate(full, kernel, 2) - wanted)[0].flatten() / 0.5**0.5]
        for axis, step, weight in zip((-2, -1), steps, weights, strict=True):
            left.append((weight.sqrt() * (full.diff(dim=axis) - step))[0].flatten())
        return torch.cat(left)

    zero = residual(torch.zeros(12))
    matrix = torch.stack([residual(unit) - zero for unit in torch.eye(12)], dim=1)
    expected = torch.linalg.lstsq(matrix, -zero[:, None]).solution
    assert torch.allclose(found[0, 3:6, 4:8].flatten(), expected[:, 0], atol=1e-3)
    assert torch.equal(found[clipped == 0], image[clipped == 0])

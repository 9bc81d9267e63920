import pytest
import torch
import torch.nn.functional as F
from tiny import losses_on

from ifmsr.errors import InputError
from ifmsr.methods.pzres_net import PZResNet, band_subset, zero_mean
from ifmsr.scenes import open_dataset


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_are_the_published_programs():
    net = PZResNet()
    assert [count(part) for part in (net.stage1, net.stage2, net.stage3, net.refine)] == [
        25_360,
        101_664,
        381_156,
        9_672,
    ]
    assert count(net) == 517_852 == count(PZResNet(scale=8))
    assert sum(tensor.numel() for tensor in net.state_dict().values()) == 517_852  # nothing else is stored


def test_the_subsets_of_31_bands_are_the_programs():
    assert band_subset(31, 4) == [0, 4, 8, 12, 16, 20, 24, 30]
    assert band_subset(31, 2) == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30]


def test_subsets_are_nested_even_and_end_at_the_last_band():
    for bands in range(4, 225):
        quarter, half = band_subset(bands, 4), band_subset(bands, 2)
        assert set(quarter) < set(half) < set(range(bands))
        assert (len(quarter), len(half)) == (-(-bands // 4), -(-bands // 2))
        for subset, step in ((quarter, 4), (half, 2)):
            assert subset[-1] == bands - 1 and subset[:-1] == [step * i for i in range(len(subset) - 1)]


@pytest.mark.parametrize(
    ("bands", "scale", "height", "width"),
    [(4, 4, 3, 5), (5, 8, 1, 3), (8, 4, 2, 3), (31, 3, 3, 5), (128, 4, 3, 2), (224, 8, 1, 2)],
)
def test_any_band_count_and_size(bands, scale, height, width):
    net = PZResNet(bands, scale).eval()
    lr, rgb = torch.rand(2, bands, height, width), torch.rand(2, 3, scale * height, scale * width)
    with torch.inference_mode():
        sr = net(lr, rgb)
        assert sr.shape == (2, bands, scale * height, scale * width) and sr.isfinite().all()
        torch.testing.assert_close(net(lr[1:], rgb[1:]), sr[1:])  # images do not mix


def test_zero_mean_is_per_image_and_channel():
    x = torch.rand(2, 3, 4, 5)
    expected = x.clone()
    for image in expected:
        for channel in image:
            channel -= sum(channel.flatten().tolist()) / 20
    torch.testing.assert_close(zero_mean(x), expected)


def plain_unit(unit, x):
    """Both convolutions by their definitions, on one image."""
    mean = torch.stack([channel.mean() for channel in x])[:, None, None]
    matrix = unit.spectral.weight[:, :, 0, 0]
    mixed = torch.einsum("oc,chw->ohw", matrix, x - mean) + unit.spectral.bias[:, None, None]
    mixed = mixed.clamp_min(0)
    centred = mixed - torch.stack([channel.mean() for channel in mixed])[:, None, None]
    _, height, width = x.shape
    padded = torch.zeros(len(mixed), height + 2, width + 2, dtype=x.dtype)
    padded[:, 1:-1, 1:-1] = centred
    out = unit.spatial.bias[:, None, None].expand(-1, height, width).clone()
    for i in range(3):
        for j in range(3):
            out += torch.einsum(
                "oc,chw->ohw", unit.spatial.weight[:, :, i, j], padded[:, i : i + height, j : j + width]
            )
    return out


def test_the_network_is_the_one_described():
    """Stage after stage with explicit lists of features, for one image of 6 bands."""
    torch.manual_seed(0)
    net = PZResNet(bands=6).double()
    lr, rgb = torch.rand(6, 4, 3, dtype=torch.double), torch.rand(3, 16, 12, dtype=torch.double)
    u = F.interpolate(lr[None], size=(16, 12), mode="bilinear", align_corners=False)[0]
    r0 = rgb - rgb.mean((1, 2))[:, None, None]
    side = r0
    for stage, bands in ((net.stage1, [0, 5]), (net.stage2, [0, 2, 5]), (net.stage3, [0, 1, 2, 3, 4, 5])):
        m = F.conv2d(side[None], stage.head.weight, stage.head.bias, padding=1)[0].clamp_min(0)
        xs = [torch.cat([u[bands], m])]
        for i in range(1, 8):
            xs.append(plain_unit(stage.dense[i - 1], torch.cat(xs)).clamp_min(0))
        assert [len(x) for x in xs] == 8 * [2 * len(bands)]
        out = torch.tanh(plain_unit(stage.last, torch.cat(xs)))[: len(bands)] + m
        side = torch.cat([out, r0])
    coarse = out + u
    refined = coarse + plain_unit(net.refine, coarse).clamp_min(0)
    found = net.estimates(lr[None], rgb[None])
    torch.testing.assert_close(found[0][0], coarse)
    torch.testing.assert_close(found[1][0], refined)
    torch.testing.assert_close(net(lr[None], rgb[None])[0], refined)


def test_constants_pass_by_the_network():
    """The network acts on deviations from the mean; only the upsampled image has a mean."""
    net = PZResNet(5).double()
    lr, rgb = torch.rand(1, 5, 4, 4, dtype=torch.double), torch.rand(1, 3, 16, 16, dtype=torch.double)
    level, tint = torch.rand(1, 5, 1, 1).double(), torch.rand(1, 3, 1, 1).double()
    sr = net(lr, rgb)
    torch.testing.assert_close(net(lr, rgb + tint), sr)
    torch.testing.assert_close(net(lr + level, rgb), sr + level)
    assert not torch.allclose(net(lr, 2 * rgb), sr)


def test_refinement_only_adds():
    coarse, refined = PZResNet(5).estimates(torch.rand(1, 5, 4, 4), torch.rand(1, 3, 16, 16))
    assert (refined >= coarse).all() and (refined > coarse).any()


def test_loss_has_both_outputs():
    net = PZResNet(4)
    lr, rgb, truth = torch.rand(2, 4, 2, 3), torch.rand(2, 3, 8, 12), torch.rand(2, 4, 8, 12)
    expected = sum((output - truth).abs().mean() for output in net.estimates(lr, rgb))
    torch.testing.assert_close(net.loss(lr, rgb, truth), expected)


def test_every_parameter_learns_but_the_spare_channel():
    torch.manual_seed(0)
    net = PZResNet(6)
    net.loss(torch.rand(1, 6, 6, 6), torch.rand(1, 3, 24, 24), torch.rand(1, 6, 24, 24)).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    spatial = net.stage3.last.spatial
    assert spatial.weight.shape == (7, 7, 3, 3)
    assert not spatial.weight.grad[6].any() and not spatial.bias.grad[6]
    assert spatial.weight.grad[:6].flatten(1).any(1).all() and spatial.weight.grad[:, 6].any()


def test_a_real_patch_is_learned(cave_root):
    torch.manual_seed(0)
    scene = open_dataset("cave", cave_root).load("balloons", window=(232, 232, 24, 24))
    losses = losses_on(scene, PZResNet(), 2e-3, 20)
    assert losses[-1] < 0.25 * losses[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PZResNet(3), "bands: found 3"),
        (lambda: PZResNet(scale=0), "scale: found 0"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()

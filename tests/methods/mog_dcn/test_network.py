import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import losses_on

from ifmsr.degradation.protocol import degrade
from ifmsr.errors import InputError
from ifmsr.methods.mog_dcn.network import MoGDCN
from ifmsr.methods.mog_dcn.start import spectral_maps
from ifmsr.scenes import Scene, open_dataset


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return MoGDCN(bands=4, scale=4)


def pair(bands, scale, h, w, images=1, dtype=torch.float32):
    torch.manual_seed(1)
    return (
        torch.rand(images, bands, h, w, dtype=dtype),
        torch.rand(images, 3, scale * h, scale * w, dtype=dtype),
    )


@pytest.mark.parametrize("scale", [4, 8])
def test_as_many_parameters_as_the_published_program(scale):
    net = MoGDCN(bands=31, scale=scale)
    assert sum(parameter.numel() for parameter in net.parameters()) == 7_070_836
    assert sum(parameter.numel() for parameter in net.down.parameters()) == 162_440
    assert sum(parameter.numel() for parameter in net.up.parameters()) == 162_440
    assert sum(parameter.numel() for parameter in net.unet.parameters()) == 5_730_537 - 1  # an idle slope


@pytest.mark.parametrize("bands", [4, 128, 224])
def test_only_the_ends_grow_with_the_bands(bands):
    def ends(b):
        down_up, rgb_maps = 2 * (169 * b * b + b), 27 * b + 3 + 27 * b + b
        return down_up + rgb_maps + 9 * 64 * b + 9 * 128 * b + b  # ... f1, the last convolution

    found = sum(parameter.numel() for parameter in MoGDCN(bands).parameters())
    assert found == 7_070_836 - ends(31) + ends(bands)


@pytest.mark.parametrize(
    ("bands", "scale", "h", "w"), [(4, 4, 1, 1), (31, 8, 2, 3), (128, 4, 3, 5), (224, 3, 1, 7), (5, 2, 9, 4)]
)
def test_any_band_count_scale_and_size(bands, scale, h, w):
    lr, rgb = pair(bands, scale, h, w, images=2)
    with torch.inference_mode():
        sr = MoGDCN(bands, scale)(lr, rgb)
    assert sr.shape == (2, bands, scale * h, scale * w) and sr.isfinite().all()


def test_images_of_a_batch_do_not_mix(net):
    lr, rgb = pair(4, 4, 3, 5, images=2)
    with torch.inference_mode():
        together, alone = net(lr, rgb), net(lr[1:], rgb[1:])
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-5)


def test_the_u_nets_levels_halve_rounding_up_and_come_back(net):
    inside, outside = [], []
    hooks = [
        encoder.register_forward_hook(lambda _, __, result: inside.append(tuple(result[0].shape)))
        for encoder in net.unet.encoders
    ]
    hooks += [
        decoder.register_forward_hook(lambda _, __, result: outside.append(tuple(result.shape)))
        for decoder in net.unet.decoders
    ]
    with torch.inference_mode():
        residual, features = net.unet(torch.rand(1, 64, 13, 22))
    for hook in hooks:
        hook.remove()
    sizes = [(13, 22), (7, 11), (4, 6), (2, 3)]
    assert inside == [(1, 128, *size) for size in sizes]
    widths = (512, 512, 512, 4)
    assert outside == [(1, width, *size) for width, size in zip(widths, sizes[::-1], strict=True)]
    assert residual.shape == (1, 4, 13, 22) and features.shape == (1, 128, 13, 22)


def plain_unet(unet, x):
    """Level by level, layer by layer."""

    def conv(layer, x, stride=1):
        return F.conv2d(x, layer.weight, layer.bias, stride, padding=layer.weight.shape[-1] // 2)

    e1 = None
    skips = []
    for encoder in unet.encoders:
        slope = encoder.act.weight
        for layer in encoder.convs:
            x = F.prelu(conv(layer, x), slope)
        skips.append(conv(encoder.out, x))
        e1 = skips[0]
        x = F.prelu(conv(encoder.down, skips[-1], stride=2), slope)
    for layer in unet.bottom.convs:
        x = F.prelu(conv(layer, x), unet.bottom.act.weight)
    x = conv(unet.bottom.out, x)
    for decoder, skip in zip(unet.decoders, skips[::-1], strict=True):
        spread = x.new_zeros(*x.shape[:2], skip.shape[-2] + 2, skip.shape[-1] + 2)  # zeros between and around
        spread[..., 1:-1:2, 1:-1:2] = x
        x = F.conv2d(spread, decoder.up.weight.transpose(0, 1).flip(2, 3), decoder.up.bias)
        x = torch.cat([x, skip], 1)
        for layer in decoder.convs:
            x = F.prelu(conv(layer, x), decoder.act.weight)
        x = conv(decoder.out, x)
    return x, e1


@pytest.mark.parametrize("size", [(16, 16), (13, 22)])
def test_the_u_net_equals_its_definition(size):
    torch.manual_seed(2)
    unet = MoGDCN(bands=4).double().unet
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if name.endswith("act.weight"):
                parameter.uniform_(0.1, 0.9)  # a slope of its own for each block
    x = torch.rand(2, 64, *size, dtype=torch.double)
    with torch.inference_mode():
        for found, expected in zip(unet(x), plain_unet(unet, x), strict=True):
            torch.testing.assert_close(found, expected)


def different_scalars(net):
    """Each delta and eta another value, so that a mistaken pair shows."""
    with torch.no_grad():
        net.delta.copy_(torch.linspace(0.05, 0.35, 7))
        net.eta.copy_(torch.linspace(0.4, 1.0, 7))
    return net


def test_the_forward_pass_equals_the_four_stages_written_out():
    net = different_scalars(MoGDCN(bands=4, scale=3)).double()
    lr, rgb = pair(4, 3, 3, 5, dtype=torch.double)
    (d_a, e_a), (d_b, e_b) = ((net.delta[k], net.eta[k]) for k in (0, 3))

    def pass_a(z, x, v):
        step = net.to_hsi(rgb - net.to_rgb(z))
        return (1 - d_a - d_a * e_a) * z + d_a * step + d_a * (x - e_a * v)

    def pass_b(x, v):
        step = net.to_hsi(rgb - net.to_rgb(x)) + net.up(net.down(x) - lr, output_size=(9, 15))
        return (1 - d_b * e_b) * x + d_b * step + d_b * e_b * v

    def u(z, f, *features):
        d0, e0 = net.unet(f(torch.cat([net.f1(z), *features], 1)) if f else net.f1(z))
        return d0 + z, e0

    with torch.inference_mode():
        x = F.interpolate(lr, scale_factor=3, mode="bicubic", align_corners=False)
        v, one = u(x, None)
        v, _ = u(pass_a(x, x, v), net.f2, one)
        x = pass_b(x, v)
        v, two = u(x, net.f3, one)
        v, _ = u(pass_a(x, x, v), net.f4, two)
        x = pass_b(x, v)
        v, three = u(x, net.f5, one, two)
        v, _ = u(pass_a(x, x, v), net.f6, three)
        x = pass_b(x, v)
        v, four = u(x, net.f7, one, two, three)
        expected, _ = u(pass_a(x, x, v), net.f8, four)
        torch.testing.assert_close(net(lr, rgb), expected)


def test_down_and_up_are_13_tap_operators_centred_on_the_blocks_first_pixel():
    net = MoGDCN(bands=1, scale=4)
    x = torch.rand(1, 1, 12, 20)
    kernel = net.down.weight[0, 0].detach()
    padded = F.pad(x[0, 0], (6,) * 4)
    expected = [
        [(kernel * padded[4 * i : 4 * i + 13, 4 * j : 4 * j + 13]).sum() for j in range(5)] for i in range(3)
    ]
    torch.testing.assert_close(net.down(x)[0, 0], torch.tensor(expected) + net.down.bias)
    y = torch.rand(1, 1, 3, 5)
    with torch.no_grad():
        net.up.weight.copy_(net.down.weight), net.up.bias.zero_()
        up = net.up(y, output_size=(12, 20))
        inner = ((net.down(x) - net.down.bias) * y).sum()
    torch.testing.assert_close((up * x).sum(), inner)  # with Down's kernel, Up is its adjoint


def test_convolutions_start_xavier_normal():
    net = MoGDCN()
    for layer in (net.down, net.f5, net.unet.encoders[0].out):
        fan = (layer.weight.shape[0] + layer.weight.shape[1]) * layer.weight[0, 0].numel()
        assert layer.weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.02)
    assert net.up.weight.abs().max() <= (1 / (31 * 169)) ** 0.5  # a transposed one keeps its uniform start


def test_only_two_pairs_of_scalars_learn_and_everything_else_does(net):
    net.zero_grad()
    lr, rgb = pair(4, 4, 5, 5)
    net.loss(lr, rgb, torch.rand(1, 4, 20, 20)).backward()
    assert net.idle_slopes.grad is None
    for scalars in (net.delta, net.eta):
        assert (scalars.grad != 0).nonzero().flatten().tolist() == [0, 3]
    still = {name for name, value in net.named_parameters() if value.grad is None or not value.grad.any()}
    assert still == {"idle_slopes"}


def test_it_learns_a_patch_of_a_real_scene():
    torch.manual_seed(0)
    scene = open_dataset("indian-pines").load("train").crop(0, 0, 8, 8)
    losses = losses_on(scene, MoGDCN(bands=10, scale=4), 3e-4, 16, every=20)
    assert max(losses[-3:]) < 0.25 * losses[0]


def test_bfloat16_is_close(net):
    lr, rgb = pair(4, 4, 4, 4)
    with torch.inference_mode():
        exact = net(lr, rgb)
        with torch.autocast("cpu", torch.bfloat16):
            rough = net(lr, rgb).float()
    assert 0 < (rough - exact).norm() < 0.02 * exact.norm()


@pytest.fixture(scope="module")
def scene():
    part = open_dataset("indian-pines").load("train").crop(0, 0, 48, 32)
    return Scene("part", part.cube[::20], rgb_bands=(1, 4, 8))


@pytest.mark.parametrize("start", ["projection", "subspace"])
def test_it_can_start_as_a_projection_on_the_rgb_image_and_on_a_subspace(scene, start):
    """P z with z = x + T (rgb - C x), stage after stage; T = G C^T (C G C^T)^-1, G the covariance of details."""
    net = MoGDCN(len(scene.cube), 4, start=start)
    net.start_from([scene])
    observation = degrade(scene, 4)
    lr, rgb = (torch.from_numpy(image)[None] for image in (observation.lr, observation.rgb))
    with torch.inference_mode():
        x, sr = F.interpolate(lr, scale_factor=4, mode="bicubic")[0].numpy(), net(lr, rgb)[0].numpy()
    cube, colours = (image.astype(np.float64) for image in (scene.cube, scene.rgb()))
    spectra = cube.reshape(len(cube), -1)
    c = np.linalg.lstsq(spectra.T, colours.reshape(3, -1).T)[0].T
    blocks = cube.reshape(len(cube), 12, 4, 8, 4).mean(axis=(2, 4))
    coarse = F.interpolate(torch.from_numpy(blocks)[None], scale_factor=4, mode="bicubic")[0].numpy()
    d = (cube - coarse).reshape(len(cube), -1)
    detail_to_hsi = d @ d.T @ c.T @ np.linalg.inv(c @ d @ d.T @ c.T)
    u, s, _ = np.linalg.svd(spectra)
    kept = u[:, s > 3 / 255 * spectra.shape[1] ** 0.5]
    assert 0 < kept.shape[1] < len(cube)
    p = kept @ kept.T if start == "subspace" else np.eye(len(cube))

    def on_rgb(x):
        return x + np.einsum("bc,chw->bhw", detail_to_hsi, rgb[0].numpy() - np.einsum("cb,bhw->chw", c, x))

    for _ in range(3):
        x = np.einsum("cb,bhw->chw", (np.eye(len(p)) + p) / 2, on_rgb(x))
    np.testing.assert_allclose(sr, np.einsum("cb,bhw->chw", p, on_rgb(x)), atol=1e-4)


def test_of_many_bands_it_takes_out_as_many_directions_as_it_can_carry():
    scene = open_dataset("indian-pines").load("train").crop(0, 0, 48, 32)
    maps = spectral_maps([scene], 200, 4, at_most=32)
    assert maps.noise.shape == (200, 32)
    np.testing.assert_allclose(maps.noise.T @ maps.noise, np.eye(32), atol=1e-9)
    spectra = scene.cube.reshape(200, -1).astype(np.float64)
    weakest = np.linalg.svd(spectra, compute_uv=False)[-32:]
    np.testing.assert_allclose(np.linalg.norm(maps.noise.T @ spectra), np.linalg.norm(weakest), rtol=1e-6)
    net = MoGDCN(200, 4, start="subspace")
    net.start_from([scene])
    x = torch.rand(1, 200, 8, 8)
    residual, _ = net.denoise(x, net.f2, [torch.rand(1, 128, 8, 8)])
    np.testing.assert_allclose(
        (residual - x)[0].detach().numpy(),
        -np.einsum("bk,ck,chw->bhw", maps.noise, maps.noise, x[0].numpy()),
        atol=1e-5,
    )


@pytest.mark.parametrize("start", ["projection", "subspace"])
def test_from_there_every_part_that_is_used_can_learn(scene, start):
    torch.manual_seed(0)
    net = MoGDCN(len(scene.cube), 4, start=start)
    net.start_from([scene])
    observation = degrade(scene, 4)
    lr, rgb, truth = (torch.from_numpy(a)[None] for a in (observation.lr, observation.rgb, scene.cube))
    optimizer = torch.optim.Adam(net.parameters(), 2e-5)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = net.loss(lr, rgb, truth)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    still = {name for name, value in net.named_parameters() if value.grad is None or not value.grad.any()}
    assert still == {"idle_slopes"}


def test_the_published_start_uses_no_scene_and_unknown_starts_raise(scene):
    torch.manual_seed(0)
    net = MoGDCN(4, 4)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.start_from([scene])
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    with pytest.raises(InputError, match=r"^start: "):
        MoGDCN(4, 4, start="warm")
    with pytest.raises(InputError, match=f"{len(scene.cube)} bands"):
        MoGDCN(4, 4, start="subspace").start_from([scene])

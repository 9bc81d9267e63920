import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import losses_on
from torch import nn

from ifmsr import metrics
from ifmsr.degradation.protocol import degrade
from ifmsr.errors import InputError
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.ual import UAL, Adapted, Adaptor, BlurNet, Joint, adapt
from ifmsr.scenes import open_dataset
from ifmsr.scenes.scene import Observation
from ifmsr.study.evaluation import fingerprint


def count(net):
    return sum(parameter.numel() for parameter in net.parameters())


def pair(bands, scale, h, w, images=1, dtype=torch.float32):
    torch.manual_seed(1)
    return (
        torch.rand(images, bands, h, w, dtype=dtype),
        torch.rand(images, 3, scale * h, scale * w, dtype=dtype),
    )


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return UAL(bands=4, scale=4)


@pytest.fixture(scope="module")
def balloons(cave_root):
    """32 x 32 pixels of a real scene, its observation at x4, and an upsampled cube as start of the adaptation."""
    scene = open_dataset("cave", cave_root).load("balloons", window=(208, 208, 32, 32))
    observation = degrade(scene, 4)
    return scene, observation, Bicubic()(observation)


def test_as_many_parameters_as_the_published_program():
    net = UAL(bands=31, scale=4)
    assert count(net) == count(UAL(bands=31, scale=8)) == 7_097_695
    assert count(net.heads) == 260_928
    assert count(net.stage1) == count(net.stage2) == 3 * 442_752
    assert count(net.exchange) == 741_120 + 3 * (445_952 + 2 * 147_584)
    assert count(net.tail) == 1_215_775
    assert count(Adaptor(31)) == 43_400
    assert count(BlurNet(4)) == count(BlurNet(8)) == 1025


@pytest.mark.parametrize("bands", [4, 128, 224])
def test_only_the_ends_grow_with_the_bands(bands):
    heads_and_tail = 9 * (2 * 64 + 128) + 1  # heads b and c, the last convolution and its bias
    assert count(UAL(bands)) == 7_097_695 + (bands - 31) * heads_and_tail
    assert count(Adaptor(bands)) == 5 * (9 * bands * bands + bands)


@pytest.mark.parametrize(
    ("bands", "scale", "h", "w"), [(4, 4, 1, 1), (31, 8, 2, 3), (128, 4, 3, 5), (224, 3, 1, 7), (5, 2, 9, 4)]
)
def test_any_band_count_scale_and_size(bands, scale, h, w):
    lr, rgb = pair(bands, scale, h, w, images=2)
    with torch.inference_mode():
        sr = UAL(bands, scale)(lr, rgb)
    assert sr.shape == (2, bands, scale * h, scale * w) and sr.isfinite().all()


def test_images_of_a_batch_do_not_mix(net):
    lr, rgb = pair(4, 4, 3, 5, images=2)
    with torch.inference_mode():
        torch.testing.assert_close(net(lr, rgb)[1:], net(lr[1:], rgb[1:]))


@pytest.mark.parametrize("q", [0, 1, 2])
def test_a_joint_convolution_sees_features_and_a_mask(q):
    joint, o = Joint().double(), torch.rand(2, 384, 5, 6, dtype=torch.double)
    mask = torch.ones(2, 3, 5, 6, dtype=torch.double)
    mask[:, q] = 0
    torch.testing.assert_close(joint(o, q), joint.conv(torch.cat([o, mask], 1)))


def plain_exchange(exchange, o):
    """Target by target, with the mask beside the features."""
    new = []
    for q in range(3):
        mask = [torch.full_like(o[0][:, :1], float(slot != q)) for slot in range(3)]
        t = torch.cat([*o, *mask], 1)
        _, conv2, _, conv3 = exchange.shared
        j = conv3(conv2(exchange.joint.conv(t).relu()).relu())
        g = 1 / (1 + torch.exp(-exchange.gates[q].conv(t)))
        new.append(g * o[q] + (1 - g) * (o[q] * exchange.scales[q](j) + exchange.shifts[q](j)))
    return new


def test_the_exchange_equals_its_formula(net):
    exchange = UAL(bands=4).exchange.double()
    o = [torch.rand(2, 128, 4, 5, dtype=torch.double) for _ in range(3)]
    with torch.inference_mode():
        expected = torch.cat(plain_exchange(exchange, o), 1)
        torch.testing.assert_close(exchange(torch.cat(o, 1)), expected)


def test_an_open_gate_keeps_a_branch_and_a_closed_one_modulates_it():
    exchange = UAL(bands=4).exchange
    o = torch.rand(1, 384, 4, 4)
    with torch.inference_mode():
        for gate, bias in zip(exchange.gates, (50, -50, 50), strict=True):
            gate.conv.bias.fill_(bias)
        exchange.scales[1].weight.zero_(), exchange.scales[1].bias.fill_(2)
        exchange.shifts[1].weight.zero_(), exchange.shifts[1].bias.fill_(-0.5)
        new = exchange(o)
    torch.testing.assert_close(new[:, :128], o[:, :128])
    torch.testing.assert_close(new[:, 128:256], 2 * o[:, 128:256] - 0.5)
    torch.testing.assert_close(new[:, 256:], o[:, 256:])


@pytest.mark.cpu
def test_the_forward_pass_equals_its_definition():
    net = UAL(bands=4, scale=3).double()
    lr, rgb = pair(4, 3, 3, 4, images=2, dtype=torch.double)
    with torch.inference_mode():
        up = F.interpolate(lr, scale_factor=3, mode="bilinear", align_corners=False)
        inputs = rgb, torch.cat([up, rgb], 1), up
        i = [head[2](head[0](x).relu()) for head, x in zip(net.heads, inputs, strict=True)]
        o = i
        for stage in (net.stage1, net.stage2):
            o = [b[4](b[2](b[0](x).relu()).relu()).relu() for b, x in zip(stage, o, strict=True)]
            o = plain_exchange(net.exchange, o)
        x = torch.cat([a + b for a, b in zip(o, i, strict=True)], 1)
        expected = net.tail[4](net.tail[2](net.tail[0](x).relu()).relu())
        torch.testing.assert_close(net(lr, rgb), expected)


def test_every_parameter_learns(net):
    net.zero_grad()
    lr, rgb = pair(4, 4, 4, 4)
    net.loss(lr, rgb, torch.rand(1, 4, 16, 16)).backward()
    assert not [name for name, parameter in net.named_parameters() if not parameter.grad.any()]


def test_it_learns_a_patch_of_a_real_scene():
    torch.manual_seed(0)
    scene = open_dataset("indian-pines").load("train").crop(0, 0, 8, 8)
    losses = losses_on(scene, UAL(bands=10, scale=4), 1e-3, 20, every=20)
    assert max(losses[-3:]) < 0.25 * losses[0]


def test_bfloat16_is_close(net):
    lr, rgb = pair(4, 4, 4, 4)
    with torch.inference_mode():
        exact = net(lr, rgb)
        with torch.autocast("cpu", torch.bfloat16):
            rough = net(lr, rgb).float()
    assert 0 < (rough - exact).norm() < 0.02 * exact.norm()


def test_the_adaptor_mixes_two_residuals_onto_the_fusion_result():
    adaptor, fused = Adaptor(4), torch.rand(1, 4, 6, 5)
    with torch.inference_mode():
        f = adaptor.f(adaptor.h2(adaptor.h1(fused).relu()).relu())
        z, m = adaptor.z(f.relu()), adaptor.m(f.relu()).sigmoid()
        torch.testing.assert_close(adaptor(fused), fused + m * f + (1 - m) * z)
        for layer in (adaptor.f, adaptor.z):
            layer.weight.zero_(), layer.bias.zero_()
        torch.testing.assert_close(adaptor(fused), fused)


@pytest.mark.parametrize(("scale", "h", "w"), [(4, 3, 2), (3, 2, 4), (5, 2, 3), (6, 3, 2), (8, 1, 2)])
def test_the_blur_net_is_one_strided_correlation_of_every_band(scale, h, w):
    torch.manual_seed(3)
    blur = BlurNet(scale)
    with torch.no_grad():
        blur.kernel.uniform_(-1, 1)
    x = torch.rand(2, 3, scale * h, scale * w)
    kernel, bias = blur.kernel.detach().numpy(), blur.bias.item()
    side = 32 + scale % 2
    margin = (side - scale) // 2
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="edge")
    found = blur(x).detach().numpy()
    assert kernel.shape == (side, side) and found.shape == (2, 3, h, w)
    for n, b, i, j in np.ndindex(found.shape):
        window = padded[n, b, scale * i : scale * i + side, scale * j : scale * j + side]
        assert found[n, b, i, j] == pytest.approx((kernel * window).sum() + bias, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("scale", [3, 4])
def test_the_blur_net_starts_as_a_centred_gaussian_of_six_pixels(scale):
    blur = BlurNet(scale)
    kernel = blur.kernel.detach().double()
    middle = (len(kernel) - 1) / 2
    assert kernel.sum().item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(kernel, kernel.flip(0, 1))
    i, j = 3, len(kernel) - 8
    squares = (i - middle) ** 2 + (j - middle) ** 2 - 2 * (0 if scale % 2 else 0.25)
    peak = kernel[int(middle), int(middle)]
    assert (kernel[i, j] / peak).log().item() == pytest.approx(-squares / (2 * 6**2), rel=1e-3)
    biases = torch.cat([BlurNet(scale).bias for _ in range(50)])
    assert 1 / 64 < biases.abs().max() <= 1 / 32 and biases.std() > 0


def test_a_scale_beyond_the_kernel_raises():
    with pytest.raises(InputError, match=r"^scale: found 40"):
        BlurNet(40)


def plain_adaptation(fused, observation, adaptor, blur, steps):
    """Two optimisers and one strided convolution per band."""
    start, lr, rgb = (torch.from_numpy(x) for x in (fused, observation.lr, observation.rgb))
    strided = nn.Conv2d(1, 1, 32, stride=observation.scale)
    with torch.no_grad():
        strided.weight.copy_(blur.kernel[None, None]), strided.bias.copy_(blur.bias)
    first = torch.optim.Adam(adaptor.parameters(), 9e-5, weight_decay=1e-3)
    second = torch.optim.Adam(strided.parameters(), 1e-4, weight_decay=1e-5)
    margin = (32 - observation.scale) // 2
    losses = []
    for _ in range(steps):
        out = adaptor(start[None])[0]
        padded = F.pad(out[:, None], (margin,) * 4, mode="replicate")
        loss = sum(
            (strided(band[None])[0, 0] - seen).abs().mean() for band, seen in zip(padded, lr, strict=True)
        )
        loss = loss / len(lr)
        if observation.srf is not None:
            colours = [(torch.from_numpy(row)[:, None, None] * out).sum(0) for row in observation.srf]
            loss = loss + (torch.stack(colours) - rgb).abs().mean()
        first.zero_grad(), second.zero_grad()
        loss.backward()
        first.step(), second.step()
        losses.append(loss.item())
    return adaptor(start[None])[0].detach().clamp(0, 1).numpy(), losses, strided.weight[0, 0].detach().numpy()


@pytest.mark.parametrize("known", [True, False])
def test_adaptation_equals_a_plain_loop_and_drops_the_response_term_without_a_response(balloons, known):
    _, observation, fused = balloons
    if not known:
        observation = Observation(observation.lr, observation.rgb, observation.scale)
    found = adapt(fused, observation, steps=4, seed=5, device="cpu")
    torch.manual_seed(5)
    adaptor, blur = Adaptor(31), BlurNet(4)
    sr, losses, kernel = plain_adaptation(fused, observation, adaptor, blur, steps=4)
    np.testing.assert_allclose(found.sr, sr, atol=2e-5)
    np.testing.assert_allclose(found.kernel, kernel, atol=1e-6)
    assert list(found.curve) == (["lr", "rgb"] if known else ["lr"])
    np.testing.assert_allclose(sum(found.curve.values()), losses, rtol=1e-5)


def test_adaptation_explains_a_real_observation_better_step_by_step(balloons):
    scene, observation, fused = balloons
    before = fused.copy(), observation.lr.copy(), observation.rgb.copy()
    result = adapt(fused, observation, steps=150)
    loss = result.curve["lr"] + result.curve["rgb"]
    assert loss.shape == (150,) and loss[-1] < 0.4 * loss[0]
    assert metrics.psnr(scene.cube, result.sr) > metrics.psnr(scene.cube, adapt(fused, observation, 1).sr) + 3
    for now, then in zip((fused, observation.lr, observation.rgb), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert result.sr.dtype == np.float32 and result.sr.min() >= 0 and result.sr.max() <= 1


def test_the_seed_alone_decides_the_start_and_no_other_random_number_is_touched(balloons):
    _, observation, fused = balloons
    torch.manual_seed(11)
    undisturbed = torch.rand(1)
    torch.manual_seed(11)
    first = adapt(fused, observation, steps=3)
    assert torch.rand(1) == undisturbed
    again, other = adapt(fused, observation, steps=3), adapt(fused, observation, steps=3, seed=1)
    np.testing.assert_array_equal(first.sr, again.sr)
    np.testing.assert_array_equal(first.curve["lr"], again.curve["lr"])
    assert np.abs(first.sr - other.sr).max() > 1e-3


@pytest.mark.parametrize("gradients_off", [torch.no_grad, torch.inference_mode])
def test_it_adapts_where_gradients_are_off_and_leaves_them_off(balloons, gradients_off):
    _, observation, fused = balloons
    expected = adapt(fused, observation, 3)
    with gradients_off():
        found = adapt(fused, observation, 3)
        assert not torch.is_grad_enabled()
    np.testing.assert_array_equal(found.sr, expected.sr)
    np.testing.assert_array_equal(found.curve["lr"], expected.curve["lr"])


@pytest.mark.cpu
def test_bfloat16_adapts_as_well_as_float32(balloons, computes_bfloat16):
    scene, observation, fused = balloons
    whole, half = (adapt(fused, observation, steps=60, precision=p) for p in ("float32", "bfloat16"))
    apart = np.abs(whole.sr - half.sr).max()
    assert apart < 0.02 and (apart > 0) == computes_bfloat16
    assert metrics.psnr(scene.cube, half.sr) == pytest.approx(metrics.psnr(scene.cube, whole.sr), abs=0.05)


def test_a_cube_of_another_size_raises(balloons):
    _, observation, fused = balloons
    with pytest.raises(InputError, match=r"^fused: .*\(31, 32, 32\)"):
        adapt(fused[1:], observation, steps=1)


def test_adapted_is_a_method_on_top_of_any_other(balloons):
    _, observation, fused = balloons
    method = Adapted(Bicubic(), steps=3)
    sr = method(observation)
    np.testing.assert_array_equal(sr, adapt(fused, observation, steps=3).sr)
    assert method.last is not None and len(method.last.curve["rgb"]) == 3
    assert method.title == "UAL" and "3 steps" in method.schedule
    assert fingerprint(method) != fingerprint(Adapted(Bicubic(), steps=4)) != fingerprint(Bicubic())


def test_adapted_works_with_three_bands_as_rgb_image():
    part = open_dataset("indian-pines").load("train").crop(0, 0, 24, 24)
    observation = degrade(part, 3)
    method = Adapted(Bicubic(), steps=2)
    assert observation.srf is None
    assert method(observation).shape == part.cube.shape and list(method.last.curve) == ["lr"]

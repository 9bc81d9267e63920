import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import losses_on
from torch import nn

from ifmsr.errors import InputError
from ifmsr.methods.mhf_net import BatchMoments, DownSam, MHFNet, ResBlock, Up2, UpSam, per_pixel
from ifmsr.scenes import Scene, open_dataset


def randomise(module):
    """Filters that start as means or identities would hide a wrong tap."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-0.3, 0.3)
    return module


@pytest.mark.parametrize(
    ("scale", "stages", "expected"),
    [(4, 20, 1_211_047), (8, 20, 2_026_726), (4, 13, 808_785), (8, 13, 1_323_954), (32, 20, 3_006_763)],
)
def test_parameter_counts(scale, stages, expected):
    """At x32 it is the size of the authors' checkpoint."""
    net = MHFNet(31, scale, stages)
    assert sum(parameter.numel() for parameter in net.parameters()) == expected
    assert sum(tensor.numel() for tensor in net.state_dict().values()) == expected  # no running averages


@pytest.mark.parametrize(
    ("bands", "scale", "height", "width"),
    [(4, 4, 3, 5), (8, 8, 1, 3), (31, 16, 1, 1), (31, 32, 1, 2), (128, 4, 3, 2), (224, 8, 1, 2)],
)
def test_any_band_count_and_size(bands, scale, height, width):
    net = MHFNet(bands, scale, stages=2)
    lr, rgb = torch.rand(2, bands, height, width), torch.rand(2, 3, scale * height, scale * width)
    with torch.inference_mode():
        sr = net(lr, rgb)
        assert sr.shape == (2, bands, scale * height, scale * width) and sr.isfinite().all()
        assert torch.equal(net.eval()(lr, rgb), sr)


def tf_same(image, taps):
    """A correlation with zero padding, of which the larger half goes behind: (H, W) -> (H, W)."""
    side = len(taps)
    before = (side - 1) // 2
    padded = np.pad(image, (before, side - 1 - before))
    out = np.zeros_like(image)
    for i, j in np.ndindex(image.shape):
        out[i, j] = (taps * padded[i : i + side, j : j + side]).sum()
    return out


@pytest.mark.parametrize("scale", [4, 8, 16, 32])
def test_downsam_is_tf_same_filtering_and_slicing(scale):
    down = randomise(DownSam(scale))
    image = np.random.default_rng(scale).random((2, 64, 96))
    expected = image
    for weight in (parameter[0, 0].detach().double().numpy() for parameter in down.filters):
        keep = slice(1, -1, 4) if len(weight) == 6 else slice(0, None, 2)
        expected = np.stack([tf_same(channel, weight)[keep, keep] for channel in expected])
    found = down(torch.from_numpy(image)[None].float())[0].detach()
    assert found.shape == (2, 64 // scale, 96 // scale)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_downsam_begins_as_a_mean_centred_on_the_block():
    """On a ramp any centred window has the block's mean; the 3 taps of the 2-fold step sit on its first pixel."""
    ramp = torch.arange(64.0)[:, None] + 0.1 * torch.arange(64.0)
    four, eight = (DownSam(scale)(ramp[None, None])[0, 0, 1:-1, 1:-1] for scale in (4, 8))
    means = F.avg_pool2d(ramp[None, None], 4)[0, 0]
    torch.testing.assert_close(four, means[1:-1, 1:-1])
    torch.testing.assert_close(eight, means[2:-2:2, 2:-2:2])


def test_up2_equals_zero_insertion():
    up = randomise(Up2(2))
    x, weight = torch.rand(2, 3, 4), up.filter.detach()
    stuffed = torch.zeros(2, 6, 8)
    stuffed[:, ::2, ::2] = x
    expected = torch.zeros(2, 6, 8)
    for i, j in np.ndindex(6, 8):
        for a, b in np.ndindex(3, 3):
            if i >= a and j >= b:  # tap (a, b) brings the value from a rows above and b columns before
                expected[:, i, j] += weight[:, :, a, b].T @ stuffed[:, i - a, j - b]
    torch.testing.assert_close(up(x[None])[0].detach(), expected)


def test_up2_begins_band_by_band_with_quarters():
    spread = Up2(2)(torch.tensor([[[[1.0, 0], [0, 0]], [[0, 0], [0, 0]]]]))
    assert spread[0, 0].tolist() == [
        [0.25, 0.25, 0.25, 0],
        [0.25, 0.25, 0.25, 0],
        [0.25, 0.25, 0.25, 0],
        4 * [0],
    ]
    assert not spread[0, 1].any()


def plain_moments(x, scale, shift):
    mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5) * scale[:, None, None] + shift[:, None, None]


def test_batch_moments_equal_numpys_and_need_no_training_mode():
    norm = randomise(BatchMoments(3, 1 / 20))
    x = 5 + np.random.default_rng(0).random((2, 3, 4, 5))
    expected = plain_moments(x, *(p.detach().double().numpy() for p in (norm.scale, norm.shift)))
    for mode in (True, False):
        found = norm.train(mode)(torch.from_numpy(x).float()).detach()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_batch_moments_are_float32_under_bfloat16():
    """A mean of 100 and a deviation of 1 would be lost in the 8 bits of a bfloat16."""
    norm, x = BatchMoments(1, 1.0), 100 + torch.randn(1, 1, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(x)
        assert norm(x.bfloat16()).dtype == torch.float32
    expected = plain_moments(x.double().numpy(), np.ones(1), np.zeros(1))
    np.testing.assert_allclose(found.detach(), expected, atol=1e-3)


@pytest.mark.parametrize("side", [0, 3])
def test_res_block_is_three_convolutions_and_the_input(side):
    torch.manual_seed(0)
    block = ResBlock(5, side)
    x, extra = torch.rand(2, 5, 6, 7), torch.rand(2, side, 6, 7)
    inner = torch.cat([x, extra], 1)
    convs = [layer for layer in block.layers if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in block.layers if isinstance(layer, BatchMoments)]
    assert [conv.out_channels for conv in convs] == [5 + side + 3, 5 + side + 3, 5]
    for conv, norm in zip(convs, norms, strict=True):
        inner = F.conv2d(inner, conv.weight, conv.bias, padding=1).detach().numpy()
        inner = plain_moments(inner, norm.scale.detach().numpy(), norm.shift.detach().numpy())
        inner = torch.from_numpy(inner).clamp_min(0)
    found = block(x, extra if side else None)
    torch.testing.assert_close(found, x + inner)
    assert (found >= x).all()  # the last ReLU is before the sum


@pytest.mark.parametrize(("scale", "doublings"), [(4, [2]), (8, [1, 2]), (16, [2, 2]), (32, [1, 2, 2])])
def test_upsam_upsamples_with_the_rgb_image_of_each_size(scale, doublings):
    up = randomise(UpSam(4, scale))
    x, priors, factor = torch.rand(1, 4, 2, 3), [], 1
    for count in doublings:
        factor *= 2**count
        priors.append(torch.rand(1, 3, 2 * factor, 3 * factor))
    expected = x
    for twice, add, prior, count in zip(up.up, up.add, priors, doublings, strict=True):
        assert len(twice) == count
        for layer in twice:
            expected = layer(expected)
        expected = add(expected, prior)
    expected = expected.detach().double().numpy()[0]
    blurred = [
        tf_same(band, taps[0].detach().double().numpy()) for band, taps in zip(expected, up.blur, strict=True)
    ]
    found = up(x, priors).detach()[0]
    assert found.shape == (4, 2 * scale, 3 * scale)
    np.testing.assert_allclose(found, np.stack(blurred), atol=1e-5)


@pytest.mark.parametrize("scale", [4, 8])
def test_every_stage_is_the_formula(scale):
    torch.manual_seed(0)
    net = MHFNet(5, scale, stages=4)
    nn.init.uniform_(net.A)
    h, w = 3 * scale, 2 * scale
    z, y = torch.rand(2, 5, 3, 2), torch.rand(2, 3, h, w)
    quarter = F.conv2d(y.flatten(0, 1)[:, None], net.downsam.filters[0], stride=4, padding=1).view(
        2, 3, h // 4, w // 4
    )
    priors = [y / 10] if scale == 4 else [quarter / 10, y / 10]
    with torch.no_grad():
        ya, yhat = torch.einsum("nkhw,kb->nbhw", y, net.A), torch.zeros(2, 12, h, w)
        xs, x = [ya], ya
        for upsam, prox in zip(net.upsam, net.prox, strict=True):
            gradient = torch.einsum("nbhw,rb->nrhw", upsam(net.downsam(x) - z, priors), net.B)
            yhat = prox(yhat - gradient)
            x = ya + torch.einsum("nrhw,rb->nbhw", yhat, net.B)
            xs.append(x)
        for found, expected in zip(net.estimates(z, y), xs, strict=True):
            torch.testing.assert_close(found, expected)
        for block in net.refine:
            x = block(x)
        torch.testing.assert_close(net(z, y), x)


class Adjoint(nn.Module):
    """The exact C^T, by differentiating C."""

    def __init__(self, down):
        super().__init__()
        self.down = down

    def forward(self, error, priors):
        image = torch.zeros(1, error.shape[1], *priors[-1].shape[2:], requires_grad=True)
        return torch.autograd.grad(self.down(image), image, error)[0]


def test_with_the_exact_adjoint_and_no_prior_stages_descend_the_data_term():
    net = randomise(MHFNet(5, 8, stages=3))
    net.upsam = nn.ModuleList(Adjoint(net.downsam) for _ in range(2))
    net.prox = nn.ModuleList(nn.Identity() for _ in range(2))
    lr, rgb = torch.rand(1, 5, 2, 3), torch.rand(1, 3, 16, 24)
    yhat = torch.zeros(1, 12, 16, 24)
    for found in list(net.estimates(lr, rgb))[1:]:
        yhat = yhat.detach().requires_grad_()
        x = torch.einsum("nkhw,kb->nbhw", rgb, net.A) + torch.einsum("nrhw,rb->nbhw", yhat, net.B)
        data_term = (net.downsam(x) - lr).square().sum() / 2
        yhat = yhat - torch.autograd.grad(data_term, yhat)[0]
        x = torch.einsum("nkhw,kb->nbhw", rgb, net.A) + torch.einsum("nrhw,rb->nbhw", yhat, net.B)
        torch.testing.assert_close(found, x)


def test_per_pixel_is_a_matrix_at_every_pixel():
    x, matrix = torch.rand(2, 3, 4, 5), torch.rand(3, 6)
    torch.testing.assert_close(per_pixel(x, matrix), torch.einsum("nchw,cd->ndhw", x, matrix))


def test_a_starts_as_the_least_squares_map_of_all_pixels(cave_root):
    data = open_dataset("cave", cave_root)
    scenes = [data.load(name, window=(100, 200, 16, side)) for name, side in (("balloons", 24), ("face", 32))]
    net = MHFNet(stages=2)
    net.start_from(scenes)
    colours = np.concatenate([scene.rgb().reshape(3, -1) for scene in scenes], axis=1).astype(float)
    spectra = np.concatenate([scene.cube.reshape(31, -1) for scene in scenes], axis=1).astype(float)
    expected = np.linalg.lstsq(colours.T, spectra.T, rcond=None)[0]
    np.testing.assert_allclose(net.A.detach(), expected, rtol=1e-5, atol=1e-6)


def test_loss_weighs_output_stages_and_consistency():
    torch.manual_seed(0)
    net = MHFNet(4, stages=3)
    lr, rgb, truth = torch.rand(2, 4, 2, 3), torch.rand(2, 3, 8, 12), torch.rand(2, 4, 8, 12)
    with torch.no_grad():
        ya, x1, x2 = net.estimates(lr, rgb)
        terms = [(1, net(lr, rgb) - truth), (0.1, ya - truth), (0.1, x1 - truth), (0.1, x2 - truth)]
        terms.append((0.01, net.downsam(x2) - lr))
        expected = sum(weight * (error**2).mean() for weight, error in terms)
        torch.testing.assert_close(net.loss(lr, rgb, truth), expected)


def test_every_parameter_learns_but_biases_before_a_normalisation():
    torch.manual_seed(0)
    net = MHFNet(5, 8, stages=3)
    net.loss(torch.rand(2, 5, 3, 3), torch.rand(2, 3, 24, 24), torch.rand(2, 5, 24, 24)).backward()
    idle = {f"{name}.bias" for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    for name, parameter in net.named_parameters():
        size = parameter.grad.abs().max()
        assert size < 1e-6 if name in idle else size > 1e-6, (name, size)


def test_a_real_patch_is_learned(cave_root):
    torch.manual_seed(0)
    scene = open_dataset("cave", cave_root).load("balloons", window=(232, 232, 32, 32))
    net = MHFNet(stages=3)
    net.start_from([scene])
    losses = losses_on(scene, net, 2e-3, 20)
    assert losses[-1] < 0.1 * losses[0]


def start_from_other_bands():
    scene = Scene("other", np.full((4, 8, 8), 0.5, np.float32), rgb_bands=(0, 1, 2))
    MHFNet(5, stages=2).start_from([scene])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MHFNet(31, 3), r"scale: MHF-net has no x3. Choose one of \[4, 8, 16, 32\]"),
        (lambda: MHFNet(0), "bands: found 0"),
        (lambda: MHFNet(stages=1), "stages: found 1"),
        (start_from_other_bands, "scene other: 4 bands"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()

"""The inference in strips against the plain network, for different strips, memory limits and numbers of bands."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ifmsr.degradation.protocol import degrade
from ifmsr.errors import InputError
from ifmsr.inference.fast_ifmsr import run
from ifmsr.inference.fast_ifmsr.layers import as_filter
from ifmsr.inference.fast_ifmsr.maps import FeatureMap, PatchMap, Workspace
from ifmsr.inference.fast_ifmsr.strip_network import StripIFMSR, bytes_needed
from ifmsr.inference.fast_ifmsr.strips import Strip, convolve
from ifmsr.inference.fast_ifmsr.thread_pool import ThreadPool
from ifmsr.inference.networks import run_network
from ifmsr.methods.ifmsr.network import IFMSR, IFMSRConfig, cut_patches, join_patches
from ifmsr.metrics import psnr
from ifmsr.paths import WEIGHTS
from ifmsr.scenes import open_dataset
from ifmsr.weights import load_weights

CPU = torch.device("cpu")
PLENTY = 1 << 32


def made(**config):
    torch.manual_seed(0)
    net = IFMSR(IFMSRConfig(**{"features": 8, **config})).eval()
    for name, parameter in net.named_parameters():
        if name.endswith("gamma"):
            nn.init.uniform_(parameter, 0.5, 1.5)
    return net


def pair(height, width, scale=4, bands=5):
    generator = torch.Generator().manual_seed(1)
    lr = torch.rand(1, bands, height // scale, width // scale, generator=generator)
    return lr, torch.rand(1, 3, height, width, generator=generator)


def in_strips(net, lr, rgb, precision=torch.float32, memory=PLENTY, workers=1, bands=1, pixels=1000):
    with torch.inference_mode(), Workspace(CPU, memory) as workspace, ThreadPool(workers) as pool:
        return StripIFMSR(net, lr, rgb, precision, workspace, pool, bands, pixels)(), workspace.files


def relative(a, b):
    return float((a - b).abs().max() / b.abs().max())


READINGS = [
    {},
    {"split": "after"},
    {"rde_skip": "rgb", "dcfm_skip": True},
    {"mcpa": False},
    {"mcpa": False, "split": "after", "stages": 1},
    {"rde": False},
    {"dcfm": False},
    {"stages": 3, "neighbours": 2, "scale": 2},
    {"scale": 8, "features": 64, "stages": 1},
]


@pytest.mark.cpu
@pytest.mark.parametrize("config", READINGS, ids=str)
def test_every_variant_equals_the_plain_network(config):
    net = made(**config)
    lr, rgb = pair(64, 88, net.config.scale)
    with torch.inference_mode():
        plain = net(lr, rgb)[0]
    assert relative(in_strips(net, lr, rgb)[0], plain) < 1e-5


@pytest.mark.parametrize("pixels", [1, 1000, 10**9])
@pytest.mark.parametrize("bands", [1, 2, 5])
def test_neither_strips_nor_passes_change_the_result(pixels, bands):
    net = made()
    lr, rgb = pair(100, 76)
    reference, _ = in_strips(net, lr, rgb)
    assert relative(in_strips(net, lr, rgb, bands=bands, pixels=pixels)[0], reference) < 2e-6


def threads_here_and_in_a_new_thread():
    with ThreadPoolExecutor(1) as pool:
        return torch.get_num_threads(), pool.submit(torch.get_num_threads).result()


@pytest.mark.parametrize("workers", [2, 5])
def test_workers_change_nothing_not_even_the_number_of_threads(workers, request):
    net = made()
    lr, rgb = pair(100, 76)
    alone, _ = in_strips(net, lr, rgb)
    request.getfixturevalue("two_threads")
    result, _ = in_strips(net, lr, rgb, workers=workers)
    assert threads_here_and_in_a_new_thread() == (2, 2)
    torch.testing.assert_close(result, alone, rtol=0, atol=0)


def test_an_error_in_one_strip_is_raised_and_the_thread_pool_closes(two_threads):
    def work(first, last):
        assert not torch.is_grad_enabled()
        if first == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), ThreadPool(2) as pool:
        pool.each([(n, n + 1) for n in range(6)], work)
    assert threads_here_and_in_a_new_thread() == (2, 2)


@pytest.mark.parametrize("share", [0, 0.5])
def test_maps_that_do_not_fit_go_to_files_and_change_nothing(share):
    net = made()
    lr, rgb = pair(64, 76)
    needed = sum(bytes_needed(net.config, 64, 76, torch.float32))
    result, files = in_strips(net, lr, rgb, memory=int(share * needed))
    reference, none = in_strips(net, lr, rgb)
    assert none == 0 < files
    torch.testing.assert_close(result, reference, rtol=0, atol=0)


def test_the_estimate_of_memory_is_what_is_taken():
    net = made()
    lr, rgb = pair(72, 72)
    shared, per_band = bytes_needed(net.config, 72, 72, torch.float32)
    assert in_strips(net, lr, rgb, memory=shared + 2 * per_band, bands=2)[1] == 0
    assert in_strips(net, lr, rgb, memory=shared + 2 * per_band - 1, bands=2)[1] == 1


def test_files_are_removed_even_after_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(RuntimeError), Workspace(CPU, 0) as workspace:
        workspace.take(1000, torch.float32).fill_(1)
        assert [path.stat().st_size for path in tmp_path.rglob("*.map")] == [4000]
        raise RuntimeError
    assert not list(tmp_path.iterdir())


@pytest.mark.cpu
def test_bfloat16_keeps_the_psnr_of_the_shipped_weights(computes_bfloat16):
    net, _ = load_weights(WEIGHTS / "ifmsr-x4.safetensors")
    scene = open_dataset("indian-pines").load("test").crop_to_multiple(4)
    observation = degrade(scene, 4)
    bands = slice(20, 24)
    few = type(observation)(observation.lr[bands], observation.rgb, 4)
    truth = scene.cube[bands]
    full, half = (psnr(truth, run_network(net, few, "cpu", p)) for p in ("float32", "bfloat16"))
    assert (full != half) == computes_bfloat16
    assert abs(full - half) < 0.02


def test_out_of_memory_ends_in_smaller_pieces_said_each_time(monkeypatch):
    net = made()
    lr, rgb = pair(48, 48)
    tried = []

    class Small(StripIFMSR):
        def __init__(self, net, lr, rgb, dtype, workspace, pool, bands, strip):
            tried.append((bands, strip))
            if strip > 300:
                raise torch.OutOfMemoryError("made")
            super().__init__(net, lr, rgb, dtype, workspace, pool, bands, strip)

    monkeypatch.setattr(run, "StripIFMSR", Small)
    monkeypatch.setattr(run, "CPU_STRIP", 1000)
    with torch.inference_mode(), warnings.catch_warnings(record=True) as said:
        result = run._in_strips(net, lr, rgb, "float32", PLENTY)
    assert [str(warning.message).split("with ")[1] for warning in said] == [
        f"1 bands and {pixels} pixels at a time" for pixels in (500, 250)
    ]
    assert tried == [(1, 1000), (1, 500), (1, 250)]
    assert relative(result, in_strips(net, lr, rgb)[0]) < 2e-6
    monkeypatch.setattr(run, "CPU_STRIP", 100_000)
    monkeypatch.setattr(Small, "__init__", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("never")))
    with pytest.raises(torch.OutOfMemoryError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run._in_strips(net, lr, rgb, "float32", PLENTY)


def test_bad_pairs_raise_as_by_the_plain_network():
    net = made()
    lr, rgb = pair(48, 48)
    for bad_lr, bad_rgb, message in (
        (lr[:, :2], rgb, "2 bands"),
        (lr, rgb[..., :-4], "rgb"),
        (lr[..., :3, :6], rgb[..., :12, :24], "too few"),
    ):
        with pytest.raises(InputError, match=message):
            in_strips(net, bad_lr, bad_rgb)


@pytest.mark.cpu
def test_convolution_loses_rows_inside_and_none_at_the_border():
    layer = nn.Conv2d(4, 6, 3, padding=1)
    image = torch.rand(1, 4, 20, 9)
    kernel = as_filter(layer.bias, layer.weight, torch.float32)
    with torch.inference_mode():
        whole = layer(image)
        for first, last in ((0, 20), (0, 7), (5, 12), (11, 20)):
            result = convolve(Strip(image[:, :, first:last], first, 20), kernel)
            assert (result.first, result.last) == (first and first + 1, last if last == 20 else last - 1)
            torch.testing.assert_close(result.x, whole[:, :, result.first : result.last])


def test_sums_and_products_take_the_common_rows():
    a, b = torch.rand(1, 2, 10, 3), torch.rand(1, 2, 10, 3)
    total = Strip(a[:, :, 2:8], 2, 10) + Strip(b[:, :, 4:10], 4, 10)
    product = Strip(a[:, :, 2:8], 2, 10) * Strip(b[:, :, 4:10], 4, 10)
    assert (total.first, total.last) == (product.first, product.last) == (4, 8)
    assert torch.equal(total.x, (a + b)[:, :, 4:8]) and torch.equal(product.x, (a * b)[:, :, 4:8])


@pytest.mark.parametrize(("height", "width", "patch"), [(24, 36, 6), (25, 31, 6), (17, 40, 9)])
def test_gathering_equals_cutting_and_joining_patches(height, width, patch):
    image = torch.rand(2, 3, height, width)
    rows, columns = -(-height // patch), -(-width // patch)
    chosen = torch.randint(rows * columns, (rows, columns))
    patches = cut_patches(image, patch)[:, chosen.flatten()]
    wanted = F.pad(join_patches(patches, height, width), (0, 0, 1, 1))

    stored = PatchMap(torch.empty(2 * rows * columns * patch**2 * 3), (2, height, width, 3), patch, CPU)
    for first, last in (stored.image_rows(*block) for block in stored.blocks(300)):
        stored.write(Strip(image[:, :, first:last], first, height))
    for start, stop in stored.blocks(500):
        out = torch.full((2, (stop - start) * patch + 2, columns * patch, 3), torch.nan)
        stored.gather(start, stop, chosen, out)
        first, last = stored.image_rows(start, stop)
        above = first + stored.top - start * patch  # the row of `out` before the block's first image row
        seen = out[:, above : above + last - first + 2, stored.left : stored.left + width]
        torch.testing.assert_close(seen.permute(0, 3, 1, 2), wanted[:, :, first : last + 2])
        assert not out.isnan().any()
        strip = stored.cropped(out[:, 1:-1].permute(0, 3, 1, 2), start, stop)
        assert (strip.first, strip.last) == (first, last)


def test_a_feature_map_gives_back_what_it_was_given():
    image = torch.rand(2, 3, 10, 4)
    kept = FeatureMap(torch.empty(2 * 3 * 10 * 4), (2, 10, 4, 3), CPU)
    for first, last in ((0, 4), (4, 10)):
        kept.write(Strip(image[:, :, first:last], first, 10))
    strip = kept.strip(-3, 8)
    assert (strip.first, strip.last) == (0, 8)
    np.testing.assert_array_equal(strip.x, image[:, :, :8])

"""RDE's fused kernel, compiled on a GPU, or in the interpreter of the package triton if that is installed."""

import copy
import warnings

import numpy as np
import pytest
import torch

from ifmsr.inference.fast_ifmsr import triton_filter
from ifmsr.inference.fast_ifmsr.layers import DynamicFilter
from ifmsr.inference.fast_ifmsr.maps import Workspace
from ifmsr.inference.fast_ifmsr.strip_network import StripIFMSR
from ifmsr.inference.fast_ifmsr.strips import Strip
from ifmsr.inference.fast_ifmsr.thread_pool import ThreadPool
from ifmsr.inference.fast_ifmsr.triton_filter import TOLERANCE, filter_taps, self_check
from ifmsr.methods.ifmsr import network as plain

HAS_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda", 0) if HAS_GPU else torch.device("cpu")
GPU = torch.device("cuda", 0)
PRECISIONS = [torch.float32, torch.bfloat16]
needs_gpu = pytest.mark.skipif(not HAS_GPU, reason="no GPU")


@pytest.fixture
def kernel(monkeypatch):
    """The kernel that this machine can run, and float32 convolutions in float32."""
    pytest.importorskip("triton", reason="triton is not installed: it comes with PyTorch for CUDA")
    from triton.runtime import interpreter

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    if HAS_GPU:
        return
    builder, found = interpreter.InterpreterBuilder, triton_filter._filter_taps
    if not isinstance(found, interpreter.InterpretedFunction):
        monkeypatch.setattr(triton_filter, "_filter_taps", interpreter.InterpretedFunction(found.fn))
    dot = builder.create_dot

    def widened(handle):  # the interpreter would multiply the bits of bfloat16 as whole numbers
        if handle.dtype.scalar != triton_filter.tl.bfloat16:
            return handle
        values = (handle.data.astype(np.uint32) << 16).view(np.float32)
        return interpreter.TensorHandle(values, triton_filter.tl.float32)

    monkeypatch.setattr(
        builder, "create_dot", lambda self, a, b, *rest: dot(self, widened(a), widened(b), *rest)
    )


@pytest.fixture
def fused(kernel, monkeypatch):
    """Layers that use the kernel even without a GPU; counts its calls."""
    calls = []
    monkeypatch.setattr(triton_filter, "usable", lambda *_: True)
    monkeypatch.setattr(triton_filter, "filter_taps", lambda *given: calls.append(1) or filter_taps(*given))
    return calls


@pytest.fixture
def fresh():
    """`usable` without what it found before."""
    triton_filter.usable.cache_clear()
    yield triton_filter.usable
    triton_filter.usable.cache_clear()


def random(*shape, dtype=torch.float32):
    """Channels-last features or plain weights in [-1/2, 1/2]."""
    values = torch.rand(shape, device=DEVICE).sub(0.5).to(dtype)
    return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values


@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize(("features", "width"), [(2, 1), (6, 5), (20, 64), (64, 70)])
def test_strips_of_a_fused_layer_equal_the_plain_network(features, width, dilation, fused):
    branch = plain.DynamicFilter(features, dilation).to(DEVICE)
    layer = DynamicFilter(branch, torch.float32)
    height, x, rgb = 11, random(1, features // 2, 11, width), random(1, features, 11, width)
    with torch.inference_mode():
        whole = copy.deepcopy(branch).double()(x.double(), rgb.double())
        for first, last in ((0, height), (0, 7), (2, height), (1, 10)):
            strips = (Strip(values[:, :, first:last], first, height) for values in (x, rgb))
            result = layer(*strips)
            lost = dilation + 1  # to the filter and to the convolution after it
            assert result.first == (first and first + lost)
            assert result.last == (last if last == height else last - lost)
            expected = whole[:, :, result.first : result.last].float()
            torch.testing.assert_close(result.x, expected, rtol=1e-5, atol=2e-6)
    assert len(fused) == 4


@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
def test_the_self_check_passes(precision, dilation, kernel):
    assert self_check(DEVICE, 64, precision, dilation) < TOLERANCE[precision]


def test_the_self_check_notices_errors(kernel, monkeypatch):
    def rounded(context):  # as TF32 does
        return (context.view(torch.int32) & ~0x1FFF).view(torch.float32)

    for wrong in (
        lambda x, context, weight, bias, above, dilation: filter_taps(
            x, rounded(context), weight, bias, above, dilation
        ),
        lambda x, context, weight, bias, above, dilation: filter_taps(
            x, context, weight, bias, above + 1, dilation
        ),
    ):
        monkeypatch.setattr(triton_filter, "filter_taps", wrong)
        assert self_check(DEVICE, 16, torch.float32, 1) > 5 * TOLERANCE[torch.float32]


def test_bfloat16_is_rounded_once(kernel):
    shapes = (2, 32, 3, 33), (2, 64, 2, 33), (9, 64, 32), (9, 32)
    given = [random(*shape, dtype=torch.bfloat16) for shape in shapes]
    result = filter_taps(*given, above=1, dilation=1)
    assert result.dtype == torch.bfloat16
    unrounded = filter_taps(*(tensor.float() for tensor in given), above=1, dilation=1)
    torch.testing.assert_close(result.float(), unrounded, rtol=2**-7, atol=1e-6)


def test_any_layout_gives_the_same_numbers(kernel):
    x, context, weight, bias = random(3, 4, 4, 6), random(3, 8, 3, 6), random(9, 8, 4), random(9, 4)
    reference = filter_taps(x, context, weight, bias, 1, 1)
    assert reference.is_contiguous(memory_format=torch.channels_last)
    wide = torch.zeros(3, 5, 9, 20, device=DEVICE)
    wide[:, 1:, 2:6, 3:15:2] = x
    for same in (x.contiguous(), wide[:, 1:, 2:6, 3:15:2]):
        torch.testing.assert_close(filter_taps(same, context.contiguous(), weight, bias, 1, 1), reference)
    shared = context[:1].expand(3, -1, -1, -1)
    one = filter_taps(x, shared, weight, bias, 1, 1)
    torch.testing.assert_close(one[2:], filter_taps(x[2:], context[:1], weight, bias, 1, 1))


def test_a_network_with_the_kernel_equals_the_plain_one(fused):
    torch.manual_seed(0)
    net = plain.IFMSR(plain.IFMSRConfig(scale=2, features=8, stages=1, mcpa=False)).eval().to(DEVICE)
    lr, rgb = torch.rand(1, 3, 8, 4, device=DEVICE), torch.rand(1, 3, 16, 8, device=DEVICE)
    with torch.inference_mode(), Workspace(DEVICE, 1 << 30) as workspace, ThreadPool(1) as pool:
        result = StripIFMSR(net, lr, rgb, torch.float32, workspace, pool, 3, 40)()
        expected = net(lr, rgb)[0]
    assert len(fused) == 2 * 3  # strips
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


@needs_gpu
@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
def test_this_gpu_uses_the_kernel(precision, fresh, kernel):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fresh(GPU, 64, precision)


@needs_gpu
@pytest.mark.parametrize(
    "strides", [(2**31 + 64, 1, 96, 16), (2**32, 1, 2**30 + 64, 16)], ids=["images", "rows"]
)
def test_offsets_may_exceed_32_bits(strides, kernel):
    if torch.cuda.mem_get_info(GPU)[0] < 20 << 30:
        pytest.skip("needs 20 GiB of free GPU memory")

    def spread(values):
        room = torch.empty((1 << 32) + (1 << 27), dtype=torch.bfloat16, device=GPU)
        return room.as_strided(values.shape, strides).copy_(values)

    images = 2 if strides[0] < 2**32 else 1
    x, context = (random(images, channels, 4, 6, dtype=torch.bfloat16) for channels in (8, 16))
    weight, bias = (random(*shape, dtype=torch.bfloat16) for shape in ((9, 16, 8), (9, 8)))
    result = filter_taps(spread(x), spread(context), weight, bias, 0, 1)
    torch.testing.assert_close(result, filter_taps(x, context, weight, bias, 0, 1))


def test_cpus_and_wide_networks_go_tap_by_tap_without_a_word(fresh, monkeypatch):
    monkeypatch.setattr(triton_filter, "self_check", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not fresh(torch.device("cpu"), 64, torch.float32)
        assert not fresh(GPU, 66, torch.float32)
        assert not fresh(GPU, 130, torch.bfloat16)


def raising(error):
    def check(*_):
        raise error

    return check


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (lambda *_: 1.1e-5, "its self-check is 1.1e-05 off"),
        (lambda *_: float("nan"), "its self-check is nan off"),
        (lambda *given: 1e-7 if given[-1] == 1 else 1.0, "its self-check is 1.0e\\+00 off"),
        (raising(RuntimeError("no C compiler")), "no C compiler"),
    ],
    ids=["error", "nan", "dilation", "exception"],
)
def test_a_kernel_that_fails_is_given_up_and_said_once(check, reason, fresh, monkeypatch):
    monkeypatch.setattr(triton_filter, "triton", object())
    monkeypatch.setattr(triton_filter, "self_check", check)
    with pytest.warns(UserWarning, match=f"without its fused kernel on cuda:0: {reason}"):
        assert not fresh(GPU, 64, torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr(triton_filter, "self_check", lambda *_: 0.0)
        assert not fresh(GPU, 64, torch.float32)


def test_a_gpu_without_triton_gives_a_warning(fresh, monkeypatch):
    monkeypatch.setattr(triton_filter, "triton", None)
    with pytest.warns(UserWarning, match="triton is not installed"):
        assert not fresh(GPU, 64, torch.float32)


def test_out_of_memory_says_nothing_about_the_kernel(fresh, monkeypatch):
    monkeypatch.setattr(triton_filter, "triton", object())
    monkeypatch.setattr(triton_filter, "self_check", raising(torch.OutOfMemoryError("full")))
    with pytest.raises(torch.OutOfMemoryError):
        fresh(GPU, 64, torch.float32)
    monkeypatch.setattr(triton_filter, "self_check", lambda *_: 0.0)
    assert fresh(GPU, 64, torch.float32)

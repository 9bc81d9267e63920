"""RDE's dynamic filter as one GPU kernel: context features in, filtered features out, nothing between in memory.

Without it PyTorch writes and reads nine maps of kernels. The kernel of `filter_taps` is written in Triton, which
comes with PyTorch for CUDA. `usable` tells whether a device runs it and gets the right numbers; where not, the
layer goes tap by tap.
"""

import warnings
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # PyTorch for CPUs comes without it
    triton = None

PIXELS = 64  # of a row to each program: with 128 and float32, registers spill
WIDEST = 256  # bytes of context a pixel: matrix products with more of it spill registers, too
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}  # of the self-check; TF32 would be 5e-4 off

if triton is not None:

    @triton.jit(do_not_specialize=["height", "width", "above"])
    def _filter_taps(  # type: ignore[no-untyped-def]
        x, context, weight, bias, out,
        height, width, above,
        x_image, x_channel, x_row, x_column,
        context_image, context_channel, context_row, context_column,
        out_image, out_channel, out_row, out_column,
        dilation: tl.constexpr, inputs: tl.constexpr, outputs: tl.constexpr,
        pixels: tl.constexpr, padded_inputs: tl.constexpr, padded_outputs: tl.constexpr,
    ):  # fmt: skip
        row, image = tl.program_id(0).to(tl.int64), tl.program_id(2).to(tl.int64)
        column = tl.program_id(1) * pixels + tl.arange(0, pixels)
        i, o = tl.arange(0, padded_inputs), tl.arange(0, padded_outputs)
        x += image * x_image
        context += image * context_image + row * context_row
        out += image * out_image + row * out_row

        features = tl.load(  # (pixels, C)
            context + column[:, None] * context_column + i[None, :] * context_channel,
            mask=(column < width)[:, None] & (i < inputs)[None, :],
            other=0.0,
        )
        total = tl.full((pixels, padded_outputs), 0.0, tl.float32)
        for tap in range(9):  # a loop at run time: unrolled, all kernels live at once and spill
            taps = tl.load(  # (C, C / 2)
                weight + tap * inputs * outputs + i[:, None] * outputs + o[None, :],
                mask=(i < inputs)[:, None] & (o < outputs)[None, :],
                other=0.0,
            )
            offset = tl.load(bias + tap * outputs + o, mask=o < outputs, other=0.0).to(tl.float32)
            kernel = tl.dot(features, taps, input_precision="ieee") + offset[None, :]  # (pixels, C / 2)
            seen_row = row + above + (tap // 3 - 1) * dilation
            seen = column + (tap % 3 - 1) * dilation
            end = tl.where((seen_row >= 0) & (seen_row < height), width, 0)  # rows outside are empty
            window = tl.load(
                x + seen_row * x_row + seen[:, None] * x_column + o[None, :] * x_channel,
                mask=((seen >= 0) & (seen < end))[:, None] & (o < outputs)[None, :],
                other=0.0,
            )
            total += kernel * window.to(tl.float32)
        tl.store(
            out + column[:, None] * out_column + o[None, :] * out_channel,
            total.to(out.dtype.element_ty),
            mask=(column < width)[:, None] & (o < outputs)[None, :],
        )


def filter_taps(
    x: Tensor, context: Tensor, weight: Tensor, bias: Tensor, above: int, dilation: int
) -> Tensor:
    """Every pixel and channel filtered with its own 3x3 kernel; what lies outside `x` is zero.

    Parameters
    ----------
    x : (M, C / 2, n, W) the features to filter.
    context : (M, C, m, W) what the kernels are made from; like `x` best channels-last. Strides may be any whose
        offsets within a row, channels included, fit into 32 bits.
    weight, bias : (9, C, C / 2) and (9, C / 2), contiguous: context to kernel, taps row by row.
    above : the row of `x` that the first row of `context` belongs to.

    Returns
    -------
    (M, C / 2, m, W) channels-last, in the precision of `x`, which all have; sums are float32.
    """
    (m, inputs, rows, width), outputs = context.shape, x.shape[1]
    out = torch.empty(
        m, outputs, rows, width, dtype=x.dtype, device=x.device, memory_format=torch.channels_last
    )
    with torch.cuda.device_of(x):
        _filter_taps[(rows, triton.cdiv(width, PIXELS), m)](
            x, context, weight, bias, out,
            x.shape[2], width, above,
            *x.stride(), *context.stride(), *out.stride(),
            dilation=dilation, inputs=inputs, outputs=outputs, pixels=PIXELS,
            padded_inputs=max(16, triton.next_power_of_2(inputs)),
            padded_outputs=max(16, triton.next_power_of_2(outputs)),
            num_warps=4,
        )  # fmt: skip
    return out


def self_check(device: torch.device, features: int, precision: torch.dtype, dilation: int) -> float:
    """The kernel's largest error on random numbers against the definition in float64, relative to the largest value."""
    m, rows, width, half = 2, 5, PIXELS + 6, features // 2
    generator = torch.Generator().manual_seed(0)
    x, context, weight, bias = (
        (torch.rand(shape, generator=generator) - 0.5).to(precision)
        for shape in ((m, rows, width, half), (m, rows - 1, width, features), (9, features, half), (9, half))
    )
    x, context = x.permute(0, 3, 1, 2), context.permute(0, 3, 1, 2)
    found = filter_taps(
        x.to(device), context.to(device), weight.to(device), bias.to(device), above=1, dilation=dilation
    )

    kernels = torch.einsum("mihw,tio->mothw", context.double(), weight.double())
    kernels += bias.double().T[:, :, None, None]  # (M, C / 2, 9, m, W)
    windows = F.unfold(x.double(), 3, dilation, padding=dilation)  # (M, 9 C / 2, n W)
    windows = windows.view(m, half, 9, rows, width)[:, :, :, 1:]
    wanted = (kernels * windows).sum(2)
    return float((found.cpu() - wanted).abs().max() / wanted.abs().max())


@cache
def usable(device: torch.device, features: int, precision: torch.dtype) -> bool:
    """Whether `filter_taps` pays, runs and gives the right numbers here. If a GPU fails it, that is said once."""
    if device.type != "cuda" or features * precision.itemsize > WIDEST:
        return False
    try:
        if triton is None:
            raise ImportError("triton is not installed")
        for dilation in (1, 3):
            error = self_check(device, features, precision, dilation)
            if not error < TOLERANCE[precision]:
                raise ArithmeticError(f"its self-check is {error:.1e} off")
    except torch.OutOfMemoryError:
        raise
    except Exception as problem:
        warnings.warn(f"RDE goes on without its fused kernel on {device}: {problem}", stacklevel=2)
        return False
    return True

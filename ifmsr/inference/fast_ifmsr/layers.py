"""The layers of `ifmsr.methods.ifmsr.network` over strips, in its names: same filters, folded and cut to fit caches."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifmsr.inference.fast_ifmsr import triton_filter
from ifmsr.inference.fast_ifmsr.maps import PatchMap
from ifmsr.inference.fast_ifmsr.strips import Filter, Strip, conv2d, convolve
from ifmsr.methods.ifmsr import network as plain

GATHERED = 64  # channels of one of MCPA's convolutions: wider ones are slower on CPUs


def folded(layer: nn.Module, precision: torch.dtype) -> Filter:
    """A convolution module as a plain filter: weight normalisation carried out."""
    return as_filter(layer.get_parameter("bias"), layer.weight, precision)  # type: ignore[arg-type]


def as_filter(bias: Tensor, weight: Tensor, precision: torch.dtype) -> Filter:
    """A channels-last filter in one precision."""
    weight = weight.detach().to(precision)
    bias = bias.detach().to(precision).contiguous()
    return Filter(weight.contiguous(memory_format=torch.channels_last), bias)


def exchange_halves(rgb: Strip, hsi: Strip) -> tuple[Strip, Strip]:
    """The channel split of two strips of the same rows; RGB features may be shared by all bands."""
    shared = rgb.x.expand(hsi.x.shape[0], -1, -1, -1)
    new_rgb, new_hsi = plain.exchange_halves(shared, hsi.x)
    return Strip(new_rgb, rgb.first, rgb.height), Strip(new_hsi, hsi.first, hsi.height)


class Unit:
    """Convolution residual learning."""

    reach = 2

    def __init__(self, unit: plain.Unit, precision: torch.dtype):
        self.first, self.second = folded(unit.first, precision), folded(unit.second, precision)

    def __call__(self, x: Strip) -> Strip:
        return convolve(convolve(x, self.first).relu_(), self.second) + x


class MCPA:
    """Multi-corresponding patch aggregation of some of a stream's channels, neighbour by neighbour.

    The parts of all channels add up to the whole; the one with the first channels has the bias.
    """

    def __init__(self, mcpa: plain.MCPA, channels: slice, precision: torch.dtype):
        fusion = mcpa.fusion.weight.detach()
        fusion = fusion.unflatten(1, (len(mcpa.gamma), -1)) * mcpa.gamma[:, None, None, None]
        part = fusion[:, :, channels]  # (C, K + 1, c, 3, 3)
        bias = mcpa.fusion.get_parameter("bias")
        together = max(1, GATHERED // part.shape[2])
        self.channels = channels
        self.filters: list[tuple[range, Filter]] = []  # each for some of the K + 1 neighbours
        for start in range(0, part.shape[1], together):
            members = range(start, min(start + together, part.shape[1]))
            own_bias = bias if channels.start == start == 0 else torch.zeros_like(bias)
            weight = part[:, members.start : members.stop].flatten(1, 2)
            self.filters.append((members, as_filter(own_bias, weight, precision)))

    def __call__(self, patches: PatchMap, chosen: Tensor, first: int, last: int) -> Strip:
        """Rows that fill whole patches; `chosen` (K + 1, rows, columns) are the patches to join, itself first."""
        m, p, c = patches.values.shape[0], patches.patch, patches.channels
        start, stop = patches.patch_rows(first, last)
        shape = (m, (stop - start) * p + 2, patches.columns * p)
        parts: list[Tensor] = []
        for members, kernel in self.filters:
            joined = torch.empty(*shape, len(members) * c, dtype=patches.values.dtype, device=patches.device)
            for place, neighbour in enumerate(members):
                patches.gather(start, stop, chosen[neighbour], joined[..., place * c : (place + 1) * c])
            if members.start == 0:
                own = joined[:, 1:-1, :, :c].permute(0, 3, 1, 2)
            fused = conv2d(joined.permute(0, 3, 1, 2), kernel, (0, 1))
            parts = [parts[0].add_(fused)] if parts else [fused]
        (result,) = parts
        result[:, self.channels] += own
        return patches.cropped(result, start, stop)


class DynamicFilter:
    """One branch of RDE, tap by tap; on GPUs that can, all taps in one kernel."""

    def __init__(self, branch: plain.DynamicFilter, precision: torch.dtype):
        self.dilation = branch.dilation
        self.context, self.fuse = folded(branch.context, precision), folded(branch.fuse, precision)
        weight, bias = branch.taps.weight, branch.taps.bias
        assert bias is not None
        self.taps = [as_filter(bias[tap::9], weight[tap::9], precision) for tap in range(9)]
        together = weight.detach().to(precision)[:, :, 0, 0].unflatten(0, (-1, 9))  # (C / 2, 9, C)
        self.weight = together.permute(1, 2, 0).contiguous()  # (9, C, C / 2)
        self.bias = torch.stack([kernel.bias for kernel in self.taps])  # type: ignore[misc]

    def __call__(self, x: Strip, rgb: Strip) -> Strip:
        first = x.first + self.dilation if x.first > 0 else 0
        last = x.last - self.dilation if x.last < x.height else x.last
        context, _ = convolve(rgb, self.context).common(x.rows(first, last))
        above = context.first - x.first
        if triton_filter.usable(x.x.device, context.x.shape[1], x.x.dtype):
            filtered = triton_filter.filter_taps(x.x, context.x, self.weight, self.bias, above, self.dilation)
        else:
            filtered = self._tap_by_tap(x.x, context.x, above)
        return convolve(Strip(filtered, context.first, x.height), self.fuse)

    def _tap_by_tap(self, x: Tensor, context: Tensor, above: int) -> Tensor:
        """What `triton_filter.filter_taps` does, in PyTorch."""
        step, (count, width) = self.dilation, context.shape[-2:]
        padded = F.pad(x, (step,) * 4)
        filtered = torch.zeros((), dtype=x.dtype, device=x.device)
        for tap, kernel in enumerate(self.taps):
            weight = conv2d(context, kernel, (0, 0))  # (M, C / 2, n, W)
            top, left = above + tap // 3 * step, tap % 3 * step
            window = padded[:, :, top : top + count, left : left + width]
            filtered = filtered.addcmul_(weight, window) if tap else weight.mul_(window)
        return filtered


class RDE:
    """RGB-induced detail enhancement."""

    reach = 5  # dilation 3 and two 3x3 convolutions

    def __init__(self, rde: plain.RDE, precision: torch.dtype):
        self.skip = rde.skip
        self.reduce, self.fuse = folded(rde.reduce, precision), folded(rde.fuse, precision)
        self.near, self.far = DynamicFilter(rde.near, precision), DynamicFilter(rde.far, precision)

    def __call__(self, hsi: Strip, rgb: Strip) -> Strip:
        x = convolve(hsi, self.reduce)
        far = self.far(x, rgb)
        near, kept = (
            strip.rows(far.first, far.last) for strip in (self.near(x, rgb), x if self.skip == "hsi" else rgb)
        )
        return convolve(Strip(torch.cat([kept.x, near.x, far.x], dim=1), far.first, far.height), self.fuse)


class CGM:
    """What a stage of the backbone has besides MCPA."""

    def __init__(self, stage: plain.CGM, precision: torch.dtype):
        self.rgb_unit1, self.hsi_unit1 = Unit(stage.rgb_unit1, precision), Unit(stage.hsi_unit1, precision)
        self.rgb_unit2, self.hsi_unit2 = Unit(stage.rgb_unit2, precision), Unit(stage.hsi_unit2, precision)
        self.rde = None if stage.rde is None else RDE(stage.rde, precision)


class DCFM:
    """Deep cross-modality feature modulation."""

    reach = Unit.reach

    def __init__(self, dcfm: plain.DCFM, precision: torch.dtype):
        self.rgb_reduce, self.hsi_reduce = (
            folded(dcfm.rgb_reduce, precision),
            folded(dcfm.hsi_reduce, precision),
        )
        self.alpha, self.beta = Unit(dcfm.alpha, precision), Unit(dcfm.beta, precision)

    def __call__(self, rgb: list[Strip], hsi: list[Strip]) -> Strip:
        guide, features = (
            convolve(
                Strip(torch.cat([strip.x for strip in strips], dim=1), strips[0].first, strips[0].height),
                kernel,
            )
            for strips, kernel in ((rgb, self.rgb_reduce), (hsi, self.hsi_reduce))
        )
        return features * self.alpha(guide) + self.beta(guide)

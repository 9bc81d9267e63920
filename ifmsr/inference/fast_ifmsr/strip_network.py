"""IFMSR near the hardware's limit: the same numbers as `ifmsr.methods.ifmsr.network.IFMSR`, in strips.

What makes it fast:

- weight normalisation and MCPA's patch weights are folded into plain filters;
- what does not depend on the band is computed once an image: the RGB head, the first RGB unit, the patch index,
  and that part of the first MCPA which only sees those features;
- feature maps are channels-last and go through the layers in strips that stay in a CPU's caches;
- MCPA gathers whole patches from a map that is stored patch by patch, so that the joined maps of all neighbours
  never exist; RDE filters tap by tap, or in one fused kernel on GPUs, so that neither unfolded features nor all
  kernels ever exist.

MCPA stays global: patches are matched over the whole image and gathered from anywhere in it, however little
memory there is. So the result depends neither on memory nor on the strips.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.inference.fast_ifmsr.layers import CGM, DCFM, MCPA, RDE, Unit, exchange_halves, folded
from ifmsr.inference.fast_ifmsr.maps import FeatureMap, PatchMap, Workspace
from ifmsr.inference.fast_ifmsr.strips import Strip, convolve
from ifmsr.inference.fast_ifmsr.thread_pool import ThreadPool
from ifmsr.methods.ifmsr import network as plain
from ifmsr.methods.ifmsr.network import IFMSR, IFMSRConfig, band_triplets, similar_patches
from ifmsr.progress import with_progress

Rows = Callable[[int, int], Strip]
"""Function (first, last) -> these rows of a feature map, as far as the image has them."""


def bytes_needed(config: IFMSRConfig, height: int, width: int, precision: torch.dtype) -> tuple[int, int]:
    """Bytes of the whole feature maps that `StripIFMSR` keeps: for the image, and for each band of a pass."""
    a_map = height * width * config.features * precision.itemsize
    return (3 if shares_mcpa(config) else 2) * a_map, (2 + 2 * config.stages) * a_map


def shares_mcpa(config: IFMSRConfig) -> bool:
    """Whether half of what the first MCPA joins comes from the RGB image alone."""
    return config.mcpa and config.split == "before"


class StripIFMSR:
    """One image on its way through a trained network.

    Parameters
    ----------
    net : the network, left as it is.
    lr, rgb : (1, B, h, w) and (1, 3, H, W) on the device to compute on.
    precision : of features and filters; heads and end convolution are always float32.
    workspace : where whole feature maps live.
    pool : who computes the strips of a layer.
    bands_per_pass : bands computed at once; 1 is best on a CPU.
    strip_pixels : about how many pixels of a band a strip has.

    Raises
    ------
    InputError : as `IFMSR.check`, and for images with fewer than K + 1 patches.
    """

    def __init__(
        self,
        net: IFMSR,
        lr: Tensor,
        rgb: Tensor,
        precision: torch.dtype,
        workspace: Workspace,
        pool: ThreadPool,
        bands_per_pass: int,
        strip_pixels: int,
    ):
        net.check(lr, rgb)
        self.config, self.lr, self.device = net.config, lr, lr.device
        self.precision, self.strip_pixels, self.bands_per_pass = precision, strip_pixels, bands_per_pass
        self.height, self.width = rgb.shape[-2:]
        self.rgb_head, self.hsi_head, self.end = (
            folded(layer, torch.float32) for layer in (net.rgb_head, net.hsi_head, net.end)
        )
        self.plain_stages: list[plain.CGM] = list(net.stages)  # type: ignore[arg-type]
        self.stages = [CGM(stage, precision) for stage in self.plain_stages]
        self.dcfm = None if net.dcfm is None else DCFM(net.dcfm, precision)

        self.patch = 3 * self.config.scale
        self.padded = -(-self.height // self.patch) * -(-self.width // self.patch) * self.patch**2
        self.workspace, self.pool = workspace, pool
        self.scratch = self._room(bands_per_pass), self._room(bands_per_pass)
        self.outputs = [(self._room(bands_per_pass), self._room(bands_per_pass)) for _ in self.stages]
        self._prepare(rgb)

    def __call__(self) -> Tensor:
        """All bands: (B, H, W) float32, not clipped."""
        triplets = band_triplets(self.lr.shape[1], self.device)
        passes = with_progress(triplets.split(self.bands_per_pass), "IFMSR")
        return torch.cat([self.bands(self.lr[0, group]) for group in passes])

    def _room(self, bands: int) -> Tensor:
        return self.workspace.take(bands * self.padded * self.config.features, self.precision)

    def _map(self, room: Tensor, bands: int) -> FeatureMap:
        return FeatureMap(room, (bands, self.height, self.width, self.config.features), self.device)

    def _patches(self, room: Tensor, bands: int, channels: int) -> PatchMap:
        return PatchMap(room, (bands, self.height, self.width, channels), self.patch, self.device)

    def _strips(self, work: Callable[[int, int], None]) -> None:
        """Call ``work(first, last)`` for runs of rows that make up the image; whole rows of patches, for `PatchMap`."""
        patches = self._patches(self.scratch[0], 1, 1)
        pieces = [patches.image_rows(*block) for block in patches.blocks(self.strip_pixels)]
        self.pool.each(pieces, work)

    # --- once an image -------------------------------------------------------------------------------------

    def _prepare(self, rgb: Tensor) -> None:
        """Everything that all bands share."""
        guide = rgb.contiguous(memory_format=torch.channels_last)
        shares = shares_mcpa(self.config)
        self.f0_rgb = self._map(self._room(1), 1)
        self.first_rgb = self._map(self.outputs[0][0] if shares else self._room(1), 1)

        def rgb_head(first: int, last: int) -> None:
            above, below = max(first - 1, 0), min(last + 1, self.height)
            head = convolve(Strip(guide[:, :, above:below], above, self.height), self.rgb_head)
            self.f0_rgb.write(head.rows(first, last))

        def first_unit(first: int, last: int) -> None:
            self.first_rgb.write(activated(self.stages[0].rgb_unit1, self.f0_rgb.strip, first, last))

        self._strips(rgb_head)
        self._strips(first_unit)

        self.mcpa: list[tuple[MCPA, MCPA]] = []
        self.bases: tuple[FeatureMap, FeatureMap] | None = None
        if not self.config.mcpa:
            return
        nearest = similar_patches(rgb, self.patch, self.config.neighbours)[0].T  # (K, L)
        itself = torch.arange(nearest.shape[1], device=self.device)[None]
        self.chosen = torch.cat([itself, nearest]).unflatten(1, (-(-self.height // self.patch), -1))
        half, everything = self.config.features // 2, slice(0, None)
        for index, stage in enumerate(self.plain_stages):
            channels = slice(half, None) if shares and index == 0 else everything
            self.mcpa.append(
                (
                    MCPA(stage.rgb_mcpa, channels, self.precision),
                    MCPA(stage.hsi_mcpa, channels, self.precision),
                )
            )
        if shares:
            kept, given = slice(half, None), slice(0, half)  # of the RGB features: each stream's first half
            beginning = self.plain_stages[0]
            self.bases = self._base(beginning.rgb_mcpa, kept), self._base(beginning.hsi_mcpa, given)

    def _base(self, mcpa: plain.MCPA, channels: slice) -> FeatureMap:
        """The first MCPA of a stream on its first half, which are `channels` of the RGB features."""
        half = self.config.features // 2
        patches, base = self._patches(self.scratch[0], 1, half), self._map(self._room(1), 1)
        aggregate = MCPA(mcpa, slice(0, half), self.precision)

        def cut(first: int, last: int) -> None:
            strip = self.first_rgb.strip(first, last)
            patches.write(Strip(strip.x[:, channels], first, self.height))

        self._strips(cut)
        self._strips(lambda first, last: base.write(aggregate(patches, self.chosen, first, last)))
        return base

    # --- once a pass of bands ------------------------------------------------------------------------------

    def bands(self, lr: Tensor) -> Tensor:
        """Some bands with their neighbours: (M, 3, h, w) -> (M, H, W)."""

        def f0_hsi(first: int, last: int) -> Strip:
            return self._hsi_head(lr, first, last)

        f_rgb: Rows = self.f0_rgb.strip
        f_hsi: Rows = f0_hsi
        all_rgb: list[Rows] = []
        all_hsi: list[Rows] = []
        for index in range(len(self.stages)):
            f_rgb, f_hsi = self._stage(index, f_rgb, f_hsi, lr.shape[0])
            all_rgb.append(f_rgb)
            all_hsi.append(f_hsi)

        reach = self.end.reach + (0 if self.dcfm is None else self.dcfm.reach)
        out = torch.empty(lr.shape[0], self.height, self.width, device=self.device)

        def modulate(first: int, last: int) -> None:
            above, below = first - reach, last + reach
            fused = all_hsi[-1](above, below)
            if self.dcfm is not None:
                skip = fused
                fused = self.dcfm(
                    *([rows(above, below) for rows in rows_of] for rows_of in (all_rgb, all_hsi))
                )
                fused = fused + skip if self.config.dcfm_skip else fused
            fused = fused + f0_hsi(above, below)
            band = convolve(Strip(fused.x.float(), fused.first, fused.height), self.end).rows(first, last)
            out[:, first:last] = band.x[:, 0]

        self._strips(modulate)
        return out

    def _hsi_head(self, lr: Tensor, first: int, last: int) -> Strip:
        """F0 of the HSI stream, which is cheaper to compute again than to keep."""
        scale, above, below = self.config.scale, max(first - 1, 0), min(last + 1, self.height)
        start = above // scale
        near = F.interpolate(lr[:, :, start : -(-below // scale)], scale_factor=scale, mode="nearest")
        rows = near[:, :, above - start * scale : below - start * scale]
        strip = Strip(rows.contiguous(memory_format=torch.channels_last), above, self.height)
        head = convolve(strip, self.hsi_head)
        return Strip(head.x.to(self.precision), head.first, head.height)

    def _stage(self, index: int, f_rgb: Rows, f_hsi: Rows, bands: int) -> tuple[Rows, Rows]:
        """One stage of the backbone, its layers one after the other over the whole image."""
        stage = self.stages[index]
        rgb_out, hsi_out = (self._map(room, bands) for room in self.outputs[index])
        self._mix(index, f_rgb, f_hsi, bands, rgb_out, hsi_out)

        rgb_unit2, hsi_unit2 = (self._map(room, bands) for room in self.scratch)

        def second_units(first: int, last: int) -> None:
            above, below = first - Unit.reach, last + Unit.reach
            rgb, hsi = rgb_out.strip(above, below), hsi_out.strip(above, below)
            if self.config.split == "after":
                rgb, hsi = exchange_halves(rgb, hsi)
            rgb_unit2.write((stage.rgb_unit2(rgb) + f_rgb(first, last)).rows(first, last))
            hsi_unit2.write((stage.hsi_unit2(hsi) + f_hsi(first, last)).rows(first, last))

        def enhance(first: int, last: int) -> None:
            rgb, hsi = (x.strip(first - RDE.reach, last + RDE.reach) for x in (rgb_unit2, hsi_unit2))
            if stage.rde is not None:
                f_induce = stage.rde(hsi, rgb)
                rgb, hsi = rgb + f_induce, hsi + f_induce
            rgb_out.write(rgb.rows(first, last))
            hsi_out.write(hsi.rows(first, last))

        self._strips(second_units)
        self._strips(enhance)
        return rgb_out.strip, hsi_out.strip

    def _mix(
        self, index: int, f_rgb: Rows, f_hsi: Rows, bands: int, rgb_out: FeatureMap, hsi_out: FeatureMap
    ) -> None:
        """The first units, the channel split if it comes first, and MCPA."""
        stage, half = self.stages[index], self.config.features // 2
        bases = self.bases if index == 0 else None
        mixed: tuple[PatchMap | FeatureMap, ...] = rgb_out, hsi_out
        if self.config.mcpa:
            channels = self.config.features if bases is None else half
            mixed = tuple(self._patches(room, bands, channels) for room in self.scratch)

        def first_units(first: int, last: int) -> None:
            hsi = activated(stage.hsi_unit1, f_hsi, first, last)
            if bases is not None:
                rgb, hsi = (Strip(part, first, self.height) for part in (hsi.x[:, half:], hsi.x[:, :half]))
            else:
                rgb = (
                    self.first_rgb.strip(first, last)
                    if index == 0
                    else activated(stage.rgb_unit1, f_rgb, first, last)
                )
                if self.config.split == "before":
                    rgb, hsi = exchange_halves(rgb, hsi)
            mixed[0].write(rgb)
            mixed[1].write(hsi)

        def aggregate(first: int, last: int) -> None:
            for stream, out in enumerate((rgb_out, hsi_out)):
                patches = mixed[stream]
                assert isinstance(patches, PatchMap)
                strip = self.mcpa[index][stream](patches, self.chosen, first, last)
                out.write(strip if bases is None else strip + bases[stream].strip(first, last))

        self._strips(first_units)
        if self.config.mcpa:
            self._strips(aggregate)


def activated(unit: Unit, features: Rows, first: int, last: int) -> Strip:
    """ReLU(Unit(features)), some rows of it."""
    return unit(features(first - unit.reach, last + unit.reach)).rows(first, last).relu_()

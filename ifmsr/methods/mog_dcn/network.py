"""MoG-DCN: model-guided deep unfolding (Dong et al., IEEE TIP 30, 2021), as in the released x8 program.

The LR cube is ``y = H x``, the RGB image ``P^T x``. Four unfolded stages estimate x; each has two passes of a denoising
U-Net, each followed by a gradient-like step. H, H^T, P and P^T are learned convolutions:

    Down, Up        H and H^T: 13 x 13, stride r
    ToRGB, ToHSI    P^T and P
    UNet            the denoiser, with the same weights in all eight passes
    f1 ... f8       input layers: f1 acts on the estimate, fk fuses it with features of earlier passes for pass k
    pass A, pass B  the steps after the first and the second U-Net pass of a stage

The network needs neither a blur nor a spectral response function. Choices:

- x4 was not published. It uses the same 13 x 13 kernels with stride 4, hence the same number of parameters.
- The program registers seven pairs (delta, eta) and uses two: pair 0 in each pass A, pair 3 in each pass B. Two PReLU
  slopes are unused as well. All are kept, so that the number of parameters is the program's.
- Up(Down(x) - y) is added, not subtracted: Up learns the sign.
- The number of bands replaces the program's literal 31; the numbers of features are the same.
- Initialisations other than ``"published"`` are ours, for trainings of minutes instead of days: see
  `MoGDCN.start_from`.

Shapes: N images, B bands, (H, W) = r * (h, w).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifmsr.methods.base import CubeConfig, Network, check_pair
from ifmsr.methods.mog_dcn.start import spectral_maps
from ifmsr.scenes.scene import Scene

Start = Literal["published", "projection", "subspace"]

ENTRY, FEATURES, DECODED = 64, 128, 512


def c3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size, or halves it rounding up."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1)


def carry(conv: nn.Module, channels: int, first: int = 0) -> None:
    """Set the first `channels` outputs of a 3 x 3 convolution to its inputs from index `first` on."""
    for parameter in conv.parameters():
        parameter[:channels] = 0
    conv.get_parameter("weight")[range(channels), range(first, first + channels), 1, 1] = 1


class Encoder(nn.Module):
    """One encoder level. (N, 64, H, W) -> features (N, 128, H, W) and the input of the next level at half the size."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(c3(ENTRY, ENTRY) for _ in range(3))
        self.out, self.down = c3(ENTRY, FEATURES), c3(FEATURES, ENTRY, stride=2)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for conv in self.convs:
            x = self.act(conv(x))
        features = self.out(x)
        return features, self.act(self.down(features))


class Bottom(nn.Module):
    """The level of lowest resolution. (N, 64, H, W) -> (N, 128, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(c3(ENTRY, ENTRY) for _ in range(3))
        self.out = c3(ENTRY, FEATURES)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = self.act(conv(x))
        return self.out(x)


class Decoder(nn.Module):
    """One decoder level: upsample by 2 to the size of `skip`, fuse the two, and apply the convolution `out`."""

    def __init__(self, inputs: int, out: nn.Conv2d):
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, FEATURES, 3, stride=2, padding=1)
        self.convs = nn.ModuleList(c3(n, FEATURES) for n in (2 * FEATURES, FEATURES, FEATURES))
        self.out = out
        self.act = nn.PReLU()

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = torch.cat([self.up(x, output_size=skip.shape[-2:]), skip], dim=1)  # (N, 256, H, W)
        for conv in self.convs:
            x = self.act(conv(x))
        return self.out(x)


class UNet(nn.Module):
    """The denoiser. (N, 64, H, W) of any size -> residual (N, B, H, W) and first-level features (N, 128, H, W)."""

    def __init__(self, bands: int):
        super().__init__()
        self.encoders = nn.ModuleList(Encoder() for _ in range(4))
        self.bottom = Bottom()
        self.decoders = nn.ModuleList(
            [
                Decoder(FEATURES, nn.Conv2d(FEATURES, DECODED, 1)),
                Decoder(DECODED, nn.Conv2d(FEATURES, DECODED, 1)),
                Decoder(DECODED, nn.Conv2d(FEATURES, DECODED, 1)),
                Decoder(DECODED, c3(FEATURES, bands)),
            ]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        skips = []
        for encoder in self.encoders:
            features, x = encoder(x)
            skips.append(features)
        x, first = self.bottom(x), skips[0]
        for decoder in self.decoders:
            x = decoder(x, skips.pop())
        return x, first


@dataclass(frozen=True)
class MoGConfig(CubeConfig):
    """Configuration of MoG-DCN; `start` is the initialisation, see `MoGDCN.start_from`."""

    start: Start = "published"


class MoGDCN(Network):
    """MoG-DCN, an unfolded network of four stages (Dong et al. 2021). Its loss is the mean absolute error.

    Parameters
    ----------
    bands : B.
    scale : r.
    start : initialisation, see `start_from`.

    Examples
    --------
    >>> net = MoGDCN(bands=31, scale=8)
    >>> sum(parameter.numel() for parameter in net.parameters())
    7070836
    >>> net(torch.rand(1, 31, 2, 3), torch.rand(1, 3, 16, 24)).shape
    torch.Size([1, 31, 16, 24])
    """

    title = "MoG-DCN"
    config: MoGConfig

    def __init__(self, bands: int = 31, scale: int = 4, start: Start = "published"):
        super().__init__()
        self.config = MoGConfig(bands, scale, start)
        self.down = nn.Conv2d(bands, bands, 13, stride=scale, padding=6)
        self.up = nn.ConvTranspose2d(bands, bands, 13, stride=scale, padding=6)
        self.to_rgb, self.to_hsi = c3(bands, 3), c3(3, bands)
        self.unet = UNet(bands)
        self.f1 = c3(bands, ENTRY)
        self.f2, self.f3, self.f4, self.f6, self.f8 = (c3(ENTRY + FEATURES, ENTRY) for _ in range(5))
        self.f5, self.f7 = c3(ENTRY + 2 * FEATURES, ENTRY), c3(ENTRY + 3 * FEATURES, ENTRY)
        self.delta = nn.Parameter(torch.full((7,), 0.1))
        self.eta = nn.Parameter(torch.full((7,), 0.9))
        self.idle_slopes = nn.Parameter(torch.full((2,), 0.25))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight)

    def start_from(self, scenes: Sequence[Scene]) -> None:
        """Initialise the network as a linear method, unless `start` is ``"published"`` (random weights).

        ``"projection"`` starts as z = x + ToHSI(rgb - ToRGB(x)), where x is the upsampled LR cube and ToRGB and ToHSI
        are the least-squares maps of `ifmsr.methods.mog_dcn.start.SpectralMaps`. ``"subspace"`` starts as P z, where
        the U-Net is initialised as the projection P that removes the spectral directions with more noise than signal.
        Down starts as the mean of a block (cropped to its kernel), Up as zero; delta and eta are set so that no other
        term contributes.

        Raises InputError if a scene has another number of bands, or no RGB image.
        """
        if self.config.start == "published":
            return
        bands, r = self.config.bands, self.config.scale
        maps = spectral_maps(scenes, bands, r, at_most=ENTRY // 2 if self.config.start == "subspace" else 0)
        with torch.no_grad():
            for module in (self.to_rgb, self.to_hsi, self.down, self.up):
                for parameter in module.parameters():
                    parameter.zero_()
            for conv, matrix in ((self.to_rgb, maps.to_rgb), (self.to_hsi, maps.detail_to_hsi)):
                conv.weight[:, :, 1, 1] = torch.from_numpy(matrix)
            block = slice(6, min(6 + r, 13))  # tap 6 reads the block's first pixel
            self.down.weight[range(bands), range(bands), block, block] = 1 / (block.stop - block.start) ** 2
            self.delta[0], self.eta[0] = 1, 0
            self.delta[3], self.eta[3] = 0.5, 1
            self.start_denoiser(torch.from_numpy(maps.noise).float())

    def start_denoiser(self, noise: Tensor) -> None:
        """Initialise the first level of the U-Net so that it removes the spectral directions `noise` (B, K).

        Two channels carry the component u of each direction, as u and -u. After n activations of negative slope a
        their difference is (1 + a^n) u. The other channels of the level stay random; the last convolution does not use
        them at first.
        """
        level, last = self.unet.encoders[0], self.unet.decoders[-1]
        assert isinstance(level, Encoder) and isinstance(last, Decoder)
        signed = torch.cat([noise, -noise], dim=1)  # (B, 2 K)
        channels, slope = signed.shape[1], level.act.weight.item()
        for conv in (self.f2, self.f3, self.f4, self.f5, self.f6, self.f7, self.f8, *level.convs, level.out):
            carry(conv, channels)
        carry(last.convs[0], channels, first=FEATURES)  # its first inputs come from the lower level
        for conv in last.convs[1:]:
            carry(conv, channels)
        for parameter in self.f1.parameters():
            parameter[:channels] = 0
        for parameter in last.out.parameters():
            parameter.zero_()
        self.f1.weight[:channels, :, 1, 1] = signed.T
        last.out.weight[:, :channels, 1, 1] = -signed / (1 + slope ** (len(level.convs) + len(last.convs)))

    def forward(self, lr: Tensor, rgb: Tensor) -> Tensor:
        """(N, B, h, w), (N, 3, H, W) -> (N, B, H, W), not clipped. Raises InputError if the shapes do not fit."""
        check_pair(lr, rgb, self.config.bands, self.config.scale)
        x = F.interpolate(lr, size=rgb.shape[-2:], mode="bicubic", align_corners=False)
        earlier: list[Tensor] = []  # (N, 128, H, W) from the first pass of each stage so far
        for first, second in ((None, self.f2), (self.f3, self.f4), (self.f5, self.f6)):
            v, features = self.denoise(x, first, earlier)
            z = self.pass_a(x, v, rgb)
            v, _ = self.denoise(z, second, [features])
            x = self.pass_b(x, v, lr, rgb)
            earlier.append(features)
        v, features = self.denoise(x, self.f7, earlier)
        earlier.clear()
        return self.denoise(self.pass_a(x, v, rgb), self.f8, [features])[0]

    def denoise(self, z: Tensor, entry: nn.Conv2d | None, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """One U-Net pass: returns the denoised z (N, B, H, W) and features (N, 128, H, W) for later passes."""
        x = self.f1(z)
        if entry is not None:
            x = entry(torch.cat([x, *features], dim=1))
        residual, first = self.unet(x)
        return residual + z, first

    def pass_a(self, x: Tensor, v: Tensor, rgb: Tensor) -> Tensor:
        """(1 - d - d e) z + d ToHSI(rgb - ToRGB(z)) + d (x - e v), with z = x, d = delta_0, e = eta_0."""
        d, e = self.delta[0], self.eta[0]
        return (1 - d - d * e) * x + d * self.to_hsi(rgb - self.to_rgb(x)) + d * (x - e * v)

    def pass_b(self, x: Tensor, v: Tensor, lr: Tensor, rgb: Tensor) -> Tensor:
        """(1 - d e) x + d ToHSI(rgb - ToRGB(x)) + d Up(Down(x) - lr) + d e v, with d = delta_3, e = eta_3."""
        d, e = self.delta[3], self.eta[3]
        back = self.up(self.down(x) - lr, output_size=x.shape[-2:])
        return (1 - d * e) * x + d * self.to_hsi(rgb - self.to_rgb(x)) + d * back + d * e * v

"""PZRes-Net, the progressive zero-centric residual network (Zhu et al., IEEE TIP 30, 2021).

A residual for all bands is built from coarse to fine along the spectrum: first for every fourth band, then for
every second, then for all. It is added to the bilinearly enlarged cube, and one more unit refines the spectra.
Every convolution of features sees inputs of spatial mean zero. The parts, in the order of the data:

    zero_mean       zero-mean normalisation
    SeparableUnit   1x1 convolution along the spectrum, 3x3 convolution in space
    Stage           one step of the progression: a dense block of eight units
    PZResNet        three stages and the refinement

Where paper and public program differ, this is the program: its spectral network alone, in the state of April 2021
that has the normalisation, without the four convolutions that it builds and never calls (194,783 of its 712,635
parameters). The paper adds a residual of mean zero; the program's has ``tanh + m`` with m >= 0, as here.

Shapes: N images, B bands, c of them in a stage, (H, W) = scale * (h, w).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifmsr.errors import InputError
from ifmsr.methods.base import CubeConfig, Network, check_pair

UNITS = 8  # of a stage's dense block


def zero_mean(x: Tensor) -> Tensor:
    """(N, C, H, W) less every channel's mean over the image; no scaling, nothing learned."""
    return x - x.mean((2, 3), keepdim=True)


def band_subset(bands: int, step: int) -> list[int]:
    """Every `step`-th of `bands`, the last one replaced by the last band.

    The program lists the subsets of 31 bands; this rule gives them, nested ones for any number of bands.

    Examples
    --------
    >>> band_subset(31, 4)
    [0, 4, 8, 12, 16, 20, 24, 30]
    """
    return [*list(range(0, bands, step))[:-1], bands - 1]


class SeparableUnit(nn.Module):
    """Spectral then spatial convolution, each of zero-mean input: (N, inputs, H, W) -> (N, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.spectral = nn.Conv2d(inputs, outputs, 1)
        self.spatial = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.spectral(zero_mean(x)))
        return self.spatial(zero_mean(x))


class Stage(nn.Module):
    """The residual of c bands, from their enlarged LR image and what is known in detail: (N, c, H, W).

    Parameters
    ----------
    inputs : channels of `detail`, the RGB image with the residual of the stage before.
    bands : c.
    spare : output channels that nothing reads. The program's last stage has one, from an earlier version with two
        branches; it is kept so that the weights have the published shapes.
    """

    def __init__(self, inputs: int, bands: int, spare: int = 0):
        super().__init__()
        self.bands = bands
        self.head = nn.Conv2d(inputs, bands, 3, padding=1)
        growth = 2 * bands
        self.dense = nn.ModuleList(SeparableUnit(i * growth, growth) for i in range(1, UNITS))
        self.last = SeparableUnit(UNITS * growth, bands + spare)

    def forward(self, enlarged: Tensor, detail: Tensor) -> Tensor:
        m = F.relu(self.head(detail))
        features = torch.cat([enlarged, m], dim=1)  # (N, 2c, H, W)
        for unit in self.dense:
            features = torch.cat([features, F.relu(unit(features))], dim=1)  # 2c channels more
        return torch.tanh(self.last(features)[:, : self.bands]) + m


class PZResNet(Network):
    """The whole network. Adding a constant to the RGB image changes nothing; added to `lr`, it comes out again.

    The refinement ends in a ReLU, as the program's: it can only add.

    Parameters
    ----------
    bands : B, at least 4.
    scale : any whole number; the parameters do not depend on it.

    Raises
    ------
    InputError : `bands` or `scale` is too small; in `forward`, the images do not fit them.

    Examples
    --------
    >>> net = PZResNet(bands=31, scale=4)
    >>> sum(parameter.numel() for parameter in net.parameters())
    517852
    >>> net(torch.rand(1, 31, 6, 6), torch.rand(1, 3, 24, 24)).shape
    torch.Size([1, 31, 24, 24])
    """

    title = "PZRes-Net"
    config: CubeConfig
    quarter_bands: Tensor
    half_bands: Tensor

    def __init__(self, bands: int = 31, scale: int = 4):
        super().__init__()
        for name, value, least in (("bands", bands, 4), ("scale", scale, 1)):
            if value < least:
                raise InputError(name, f"found {value}", f"Give a whole number of at least {least}")
        self.config = CubeConfig(bands, scale)
        quarter, half = (band_subset(bands, step) for step in (4, 2))
        self.register_buffer("quarter_bands", torch.tensor(quarter), persistent=False)
        self.register_buffer("half_bands", torch.tensor(half), persistent=False)
        self.stage1 = Stage(3, len(quarter))
        self.stage2 = Stage(len(quarter) + 3, len(half))
        self.stage3 = Stage(len(half) + 3, bands, spare=1)
        self.refine = SeparableUnit(bands, bands)

    def forward(self, lr: Tensor, rgb: Tensor) -> Tensor:
        return self.estimates(lr, rgb)[1]

    def estimates(self, lr: Tensor, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """The coarse and the refined cube, (N, B, H, W) each."""
        check_pair(lr, rgb, self.config.bands, self.config.scale)
        enlarged = F.interpolate(lr, scale_factor=self.config.scale, mode="bilinear")
        colour = zero_mean(rgb)
        residual = self.stage1(enlarged[:, self.quarter_bands], colour)
        residual = self.stage2(enlarged[:, self.half_bands], torch.cat([residual, colour], dim=1))
        residual = self.stage3(enlarged, torch.cat([residual, colour], dim=1))
        coarse = enlarged + residual
        return coarse, coarse + F.relu(self.refine(coarse))

    def loss(self, lr: Tensor, rgb: Tensor, truth: Tensor, bands: Tensor | None = None) -> Tensor:
        """Mean absolute error of the coarse cube plus that of the refined one."""
        coarse, refined = self.estimates(lr, rgb)
        return F.l1_loss(coarse.float(), truth) + F.l1_loss(refined.float(), truth)

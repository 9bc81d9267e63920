"""PZRes-Net, the progressive zero-centric residual network (Zhu et al., IEEE TIP 30, 2021).

A residual is estimated from coarse to fine along the spectrum: first for every fourth band, then for every second,
then for all. It is added to the bilinearly upsampled cube, and one more unit refines the spectra. The inputs of all
convolutions of features have zero spatial mean. The parts, in the order of the data flow:

    zero_mean       zero-mean normalisation
    SeparableUnit   1x1 convolution along the spectrum, 3x3 convolution in space
    Stage           one step of the progression: a dense block of eight units
    PZResNet        three stages and the refinement

Where paper and public program differ, this is the program: its spectral network alone, in the version of April 2021
with the normalisation, without the four convolutions that it creates and never calls (194,783 of its 712,635
parameters). The paper adds a residual of zero mean; the program's residual is ``tanh + m`` with m >= 0, as here.

Shapes: N images, B bands, c of them in a stage, (H, W) = scale * (h, w).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifmsr.errors import InputError
from ifmsr.methods.base import CubeConfig, Network, check_pair

UNITS = 8  # per dense block of a stage


def zero_mean(x: Tensor) -> Tensor:
    """Subtract each channel's spatial mean, (N, C, H, W) -> same; without scaling or learned parameters."""
    return x - x.mean((2, 3), keepdim=True)


def band_subset(bands: int, step: int) -> list[int]:
    """Indices of every `step`-th band, with the last index replaced by that of the last band.

    For 31 bands these are the subsets listed in the program; the rule gives nested subsets for any number of bands.

    Examples
    --------
    >>> band_subset(31, 4)
    [0, 4, 8, 12, 16, 20, 24, 30]
    """
    return [*list(range(0, bands, step))[:-1], bands - 1]


class SeparableUnit(nn.Module):
    """Spectral, then spatial convolution, both on zero-mean inputs. (N, inputs, H, W) -> (N, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.spectral = nn.Conv2d(inputs, outputs, 1)
        self.spatial = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.spectral(zero_mean(x)))
        return self.spatial(zero_mean(x))


class Stage(nn.Module):
    """One stage: the residual (N, c, H, W) of c bands, from their upsampled LR image and high-resolution features.

    Parameters
    ----------
    inputs : channels of `detail`, the RGB image and the residual of the previous stage.
    bands : c.
    spare : unused output channels. The program's last stage has one, from an earlier version with two branches; it is
        kept for the published shapes of the weights.
    """

    def __init__(self, inputs: int, bands: int, spare: int = 0):
        super().__init__()
        self.bands = bands
        self.head = nn.Conv2d(inputs, bands, 3, padding=1)
        growth = 2 * bands
        self.dense = nn.ModuleList(SeparableUnit(i * growth, growth) for i in range(1, UNITS))
        self.last = SeparableUnit(UNITS * growth, bands + spare)

    def forward(self, upsampled: Tensor, detail: Tensor) -> Tensor:
        m = F.relu(self.head(detail))
        features = torch.cat([upsampled, m], dim=1)  # (N, 2c, H, W)
        for unit in self.dense:
            features = torch.cat([features, F.relu(unit(features))], dim=1)  # adds 2c channels
        return torch.tanh(self.last(features)[:, : self.bands]) + m


class PZResNet(Network):
    """PZRes-Net, the progressive zero-centric residual network (Zhu et al. 2021).

    A constant added to the RGB image does not change the result; a constant added to `lr` is added to the result. The
    refinement ends in a ReLU, as in the program, so it can only increase values.

    Parameters
    ----------
    bands : B, at least 4.
    scale : any positive whole number; the parameters do not depend on it.

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
        upsampled = F.interpolate(lr, scale_factor=self.config.scale, mode="bilinear")
        guide = zero_mean(rgb)
        residual = self.stage1(upsampled[:, self.quarter_bands], guide)
        residual = self.stage2(upsampled[:, self.half_bands], torch.cat([residual, guide], dim=1))
        residual = self.stage3(upsampled, torch.cat([residual, guide], dim=1))
        coarse = upsampled + residual
        return coarse, coarse + F.relu(self.refine(coarse))

    def loss(self, lr: Tensor, rgb: Tensor, truth: Tensor, bands: Tensor | None = None) -> Tensor:
        """Mean absolute error of the coarse cube plus that of the refined one."""
        coarse, refined = self.estimates(lr, rgb)
        return F.l1_loss(coarse.float(), truth) + F.l1_loss(refined.float(), truth)

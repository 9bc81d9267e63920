"""MHF-net (Xie et al., CVPR 2019; IEEE TPAMI 44, 2022): an unfolded proximal gradient method.

The cube is X = Y A + Yhat B: a linear map of the RGB image Y plus a part of rank 12 that the colours do not show.
Each stage is one step of ``min_Yhat |C X - Z|^2 + f(Yhat)`` for the LR image Z, with every operator learned:

    E = C X - Z;   Yhat <- prox(Yhat - C^T E B^T);   X = Y A + Yhat B

The parts, in the names of the public program:

    DownSam    C, one set of filters for the whole network
    UpSam      C^T, its own filters in every stage, helped by the RGB image (ResBlock as `addF`)
    ResBlock   the proximal operator, the side information, and the last refinement
    MHFNet     K stages and the refinement

This is the program's variant with a fixed degradation (its CMHF), K = 20; the CVPR paper has K = 13. The program
knows x4, x16 and x32 and takes x8 for x16: x8 is an extension here, made of its 4-fold and its 2-fold step.
Normalisation uses the moments of the images at hand at test time too: give whole images, one at a time.

Shapes: N images, B bands, (H, W) = scale * (h, w).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifmsr.errors import InputError, whole
from ifmsr.methods.base import CubeConfig, Network, check_bands, check_pair
from ifmsr.scenes.scene import Scene

RANK = 12  # channels of Yhat
STEPS = {4: (4,), 8: (4, 2), 16: (4, 4), 32: (4, 4, 2)}  # how DownSam gets to each scale
FILTER_SIDE = {4: 6, 2: 3}  # of a 4-fold and a 2-fold step


@dataclass(frozen=True)
class MHFConfig(CubeConfig):
    """Fixes the network's shape; `stages` is K."""

    stages: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("stages", self.stages, least=2)
        if self.scale not in STEPS:
            raise InputError("scale", f"MHF-net has no x{self.scale}", f"Choose one of {list(STEPS)}")


def per_pixel(x: Tensor, matrix: Tensor) -> Tensor:
    """Every pixel's row vector times a (C, D) matrix: (N, C, H, W) -> (N, D, H, W)."""
    return F.conv2d(x, matrix.T[:, :, None, None])


class DownSam(nn.Module):
    """C: strided filters, the same for every channel; at first (about) the mean of each block."""

    def __init__(self, scale: int):
        super().__init__()
        self.steps = STEPS[scale]
        sides = [FILTER_SIDE[step] for step in self.steps]
        self.filters = nn.ParameterList(torch.full((1, 1, side, side), 1 / side**2) for side in sides)

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> itself and the result of every step, (N, C, h, w) the last one."""
        levels = [x]
        for step, weight in zip(self.steps, self.filters, strict=True):
            single = levels[-1].flatten(0, 1)[:, None]  # (N C, 1, H, W)
            # the program's TF "SAME" and slicing: 6 taps read pixels -1..4 of a block of 4, 3 taps -1..1
            smaller = F.conv2d(single, weight, stride=step, padding=1)
            levels.append(smaller[:, 0].unflatten(0, x.shape[:2]))
        return levels

    def forward(self, x: Tensor) -> Tensor:
        return self.pyramid(x)[-1]


class BatchMoments(nn.Module):
    """Batch normalisation that keeps no running averages: moments of the batch, in float32, at test time too."""

    def __init__(self, channels: int, gain: float):
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), gain))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x.float(), None, None, self.scale, self.shift, training=True, eps=1e-5)


class ResBlock(nn.Module):
    """Three times 3x3 convolution, normalisation, ReLU; plus the input. (N, C, H, W) -> same.

    With `side` channels of side information concatenated to the input it is the program's `addF`. The
    normalisation makes the convolutions' biases idle: they are there for the published shapes.
    """

    def __init__(self, channels: int, side: int = 0, gain: float = 1 / 20):
        super().__init__()
        wide = channels + side + 3
        layers: list[nn.Module] = []
        for inputs, outputs in ((channels + side, wide), (wide, wide), (wide, channels)):
            conv = nn.Conv2d(inputs, outputs, 3, padding=1)
            for parameter in conv.parameters():
                nn.init.trunc_normal_(parameter, std=0.1, a=-0.2, b=0.2)
            layers += [conv, BatchMoments(outputs, gain), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, side: Tensor | None = None) -> Tensor:
        return x + self.layers(x if side is None else torch.cat([x, side], dim=1))


class Up2(nn.Module):
    """Twice the size by a transposed convolution; at first every pixel spreads over 3 x 3, bands by themselves.

    TF "SAME": taps 0..2 of LR pixel i go to pixels 2i..2i + 2, and what leaves the image is cropped.
    """

    def __init__(self, bands: int):
        super().__init__()
        self.filter = nn.Parameter(torch.eye(bands)[:, :, None, None].repeat(1, 1, 3, 3) / 4)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.filter, stride=2)[..., :-1, :-1]


class UpSam(nn.Module):
    """C^T: DownSam's steps backwards, at the end of each the RGB image of that size, and a last blur."""

    def __init__(self, bands: int, scale: int):
        super().__init__()
        steps = STEPS[scale][::-1]
        self.up = nn.ModuleList(nn.Sequential(*[Up2(bands) for _ in range(step // 2)]) for step in steps)
        self.add = nn.ModuleList(ResBlock(bands, side=3, gain=1 / 100) for _ in steps)
        self.blur = nn.Parameter(torch.full((bands, 1, 4, 4), 1 / 16))

    def forward(self, x: Tensor, priors: Sequence[Tensor]) -> Tensor:
        """(N, B, h, w) and RGB images, the smallest first -> (N, B, H, W)."""
        for up, add, prior in zip(self.up, self.add, priors, strict=True):
            x = add(up(x), prior)
        return F.conv2d(F.pad(x, (1, 2, 1, 2)), self.blur, groups=x.shape[1])  # TF "SAME"


class MHFNet(Network):
    """The whole network. A is zero until `start_from`, which every training begins with.

    Parameters
    ----------
    bands : B.
    scale : 4, 8, 16 or 32.
    stages : K.

    Raises
    ------
    InputError : `bands`, `scale` or `stages` is none of these; in `forward`, the images do not fit them.

    Examples
    --------
    >>> net = MHFNet(bands=31, scale=4)
    >>> sum(parameter.numel() for parameter in net.parameters())
    1211047
    >>> net(torch.rand(1, 31, 6, 6), torch.rand(1, 3, 24, 24)).shape
    torch.Size([1, 31, 24, 24])
    """

    title = "MHF-net"
    config: MHFConfig

    def __init__(self, bands: int = 31, scale: int = 4, stages: int = 20):
        super().__init__()
        self.config = MHFConfig(bands, scale, stages)
        self.A = nn.Parameter(torch.zeros(3, bands))
        self.B = nn.Parameter(nn.init.trunc_normal_(torch.empty(RANK, bands), std=0.1, a=-0.2, b=0.2))
        self.downsam = DownSam(scale)
        self.upsam = nn.ModuleList(UpSam(bands, scale) for _ in range(stages - 1))
        self.prox = nn.ModuleList(ResBlock(RANK) for _ in range(stages - 1))
        self.refine = nn.Sequential(*[ResBlock(bands) for _ in range(4)])

    def start_from(self, scenes: Sequence[Scene]) -> None:
        """A becomes the least-squares map from colours to spectra, over all pixels, in double precision.

        Raises InputError if a scene has another number of bands, or no colour image.
        """
        gram, cross = np.zeros((3, 3)), np.zeros((3, self.config.bands))
        for scene in scenes:
            check_bands(scene, self.config.bands)
            y, x = (image.reshape(len(image), -1).astype(np.float64) for image in (scene.rgb(), scene.cube))
            gram, cross = gram + y @ y.T, cross + y @ x.T
        with torch.no_grad():
            self.A.copy_(torch.from_numpy(np.linalg.lstsq(gram, cross)[0]))

    def forward(self, lr: Tensor, rgb: Tensor) -> Tensor:
        for estimate in self.estimates(lr, rgb):  # only the last one is kept
            x = estimate
        return self.refine(x)

    def estimates(self, lr: Tensor, rgb: Tensor) -> Iterator[Tensor]:
        """Y A, then X of every stage but the last, (N, B, H, W) each."""
        check_pair(lr, rgb, self.config.bands, self.config.scale)
        priors = [level / 10 for level in reversed(self.downsam.pyramid(rgb)[:-1])]
        x = ya = per_pixel(rgb, self.A)
        yhat = torch.zeros((), device=lr.device)
        yield x
        for upsam, prox in zip(self.upsam, self.prox, strict=True):
            error = self.downsam(x) - lr  # E, (N, B, h, w)
            yhat = prox(yhat - per_pixel(upsam(error, priors), self.B.T))  # (N, 12, H, W)
            x = ya + per_pixel(yhat, self.B)
            yield x

    def loss(self, lr: Tensor, rgb: Tensor, truth: Tensor, bands: Tensor | None = None) -> Tensor:
        """Squared errors: of the output, with weight 0.1 of Y A and each X, with 0.01 of the last C X against Z."""
        estimates = list(self.estimates(lr, rgb))
        last = estimates[-1]
        inner = sum(F.mse_loss(estimate.float(), truth) for estimate in estimates)
        output = F.mse_loss(self.refine(last).float(), truth)
        return output + 0.1 * inner + 0.01 * F.mse_loss(self.downsam(last).float(), lr)

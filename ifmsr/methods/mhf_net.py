"""MHF-net (Xie et al., CVPR 2019; IEEE TPAMI 44, 2022): an unfolded proximal gradient method.

The cube is X = Y A + Yhat B: a linear map A of the RGB image Y plus a component Yhat B of rank 12, which the RGB image
does not determine. Each stage is one step of ``min_Yhat |C X - Z|^2 + f(Yhat)`` for the LR image Z, with learned
operators C (blur and decimation), C^T and prox:

    E = C X - Z;   Yhat <- prox(Yhat - C^T E B^T);   X = Y A + Yhat B

The parts, with the names of the public program:

    DownSam    C, with the same filters in all stages
    UpSam      C^T, with separate filters per stage and the RGB image as side information (ResBlock as `addF`)
    ResBlock   the proximal operator, the side information, and the final refinement
    MHFNet     K stages and the refinement

This is the program's variant for a fixed degradation (its CMHF) with K = 20; the CVPR paper has K = 13. The program
supports x4, x16 and x32, and treats x8 as x16. Here x8 is an extension: a 4-fold and a 2-fold step. Normalisation uses
the moments of the current batch at test time too, so whole images must be passed one at a time.

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
STEPS = {4: (4,), 8: (4, 2), 16: (4, 4), 32: (4, 4, 2)}  # factors of DownSam's steps at each scale
FILTER_SIDE = {4: 6, 2: 3}  # of a 4-fold and a 2-fold step


@dataclass(frozen=True)
class MHFConfig(CubeConfig):
    """Configuration of MHF-net; `stages` is K, at least 2. Raises InputError if a value is out of range."""

    stages: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("stages", self.stages, least=2)
        if self.scale not in STEPS:
            raise InputError("scale", f"MHF-net has no x{self.scale}", f"Choose one of {list(STEPS)}")


def per_pixel(x: Tensor, matrix: Tensor) -> Tensor:
    """Multiply each pixel's row vector by a (C, D) matrix: (N, C, H, W) -> (N, D, H, W)."""
    return F.conv2d(x, matrix.T[:, :, None, None])


class DownSam(nn.Module):
    """C, blur and decimation: strided filters shared by all channels, initialised to the mean of about one block."""

    def __init__(self, scale: int):
        super().__init__()
        self.steps = STEPS[scale]
        sides = [FILTER_SIDE[step] for step in self.steps]
        self.filters = nn.ParameterList(torch.full((1, 1, side, side), 1 / side**2) for side in sides)

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the input and the result of each step; the last one is (N, C, h, w)."""
        levels = [x]
        for step, weight in zip(self.steps, self.filters, strict=True):
            single = levels[-1].flatten(0, 1)[:, None]  # (N C, 1, H, W)
            # as TF "SAME" and slicing in the program: 6 taps cover pixels -1..4 of a block of 4, 3 taps -1..1
            smaller = F.conv2d(single, weight, stride=step, padding=1)
            levels.append(smaller[:, 0].unflatten(0, x.shape[:2]))
        return levels

    def forward(self, x: Tensor) -> Tensor:
        return self.pyramid(x)[-1]


class BatchMoments(nn.Module):
    """Batch normalisation without running averages: it uses the batch's moments, in float32, at test time too."""

    def __init__(self, channels: int, gain: float):
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), gain))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x.float(), None, None, self.scale, self.shift, training=True, eps=1e-5)


class ResBlock(nn.Module):
    """Residual block: three times 3x3 convolution, normalisation, ReLU; plus the input. (N, C, H, W) -> same.

    With `side` channels of side information concatenated to the input it is the program's `addF`. The biases of the
    convolutions have no effect before the normalisation; they are kept for the published number of parameters.
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
    """Upsampling by 2 with a transposed convolution, initialised to spread each pixel over 3 x 3 within its band.

    Padding as TF "SAME": taps 0..2 of LR pixel i are added to pixels 2i..2i + 2, and the excess is cropped.
    """

    def __init__(self, bands: int):
        super().__init__()
        self.filter = nn.Parameter(torch.eye(bands)[:, :, None, None].repeat(1, 1, 3, 3) / 4)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.filter, stride=2)[..., :-1, :-1]


class UpSam(nn.Module):
    """C^T: DownSam's steps in reverse order, each with a ResBlock for the RGB image of that size, and a final blur."""

    def __init__(self, bands: int, scale: int):
        super().__init__()
        steps = STEPS[scale][::-1]
        self.up = nn.ModuleList(nn.Sequential(*[Up2(bands) for _ in range(step // 2)]) for step in steps)
        self.add = nn.ModuleList(ResBlock(bands, side=3, gain=1 / 100) for _ in steps)
        self.blur = nn.Parameter(torch.full((bands, 1, 4, 4), 1 / 16))

    def forward(self, x: Tensor, priors: Sequence[Tensor]) -> Tensor:
        """(N, B, h, w) and RGB images in order of increasing size -> (N, B, H, W)."""
        for up, add, prior in zip(self.up, self.add, priors, strict=True):
            x = add(up(x), prior)
        return F.conv2d(F.pad(x, (1, 2, 1, 2)), self.blur, groups=x.shape[1])  # TF "SAME"


class MHFNet(Network):
    """MHF-net, an unfolded proximal gradient network (Xie et al. 2019).

    A is zero until `start_from`, which each training calls first.

    Parameters
    ----------
    bands : B.
    scale : 4, 8, 16 or 32.
    stages : K, at least 2.

    Raises
    ------
    InputError : `bands`, `scale` or `stages` is out of range; in `forward`, the images do not fit them.

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
        """Set A to the least-squares map from RGB values to spectra over all pixels, computed in double precision.

        Raises InputError if a scene has another number of bands, or no RGB image.
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
        """Yield Y A, then X of each stage except the last, (N, B, H, W) each."""
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
        """Sum of mean squared errors: the output, 0.1 times Y A and each X, and 0.01 times the last C X against Z."""
        estimates = list(self.estimates(lr, rgb))
        last = estimates[-1]
        inner = sum(F.mse_loss(estimate.float(), truth) for estimate in estimates)
        output = F.mse_loss(self.refine(last).float(), truth)
        return output + 0.1 * inner + 0.01 * F.mse_loss(self.downsam(last).float(), lr)

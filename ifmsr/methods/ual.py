"""UAL: unsupervised adaptation learning (Zhang et al., CVPR 2020), as in its released program.

UAL has two steps. The fusion network `UAL` is trained once on synthetic pairs. Then `adapt` trains a small `Adaptor`
on the fusion result of each image, together with a `BlurNet` that estimates this image's blur, from the observation
alone. `Adapted` combines both steps in one method. The parts of the fusion network:

    heads      three branches: a from the RGB image, b from both images, c from the upsampled LR cube
    branches   three convolutions per branch and stage, two stages
    Exchange   exchange of features between the branches: gate g, scale M and shift B
    tail       three convolutions on the features of the three branches

Choices that the paper and its program leave open:

- The adaptor starts from random weights, as in the program. The paper's is pre-trained on training scenes; these
  weights are not public.
- If the spectral response function is unknown, the RGB term of the adaptation's loss is omitted.
- The blur kernel is 32 x 32, as published, at even scales, and 33 x 33 at odd ones, where it must have a centre pixel.
- Adaptation starts from the fusion result clipped to [0, 1], as methods return it; the program's is not clipped.
- The number of bands replaces the program's literal 31; the numbers of features are the same.

Shapes: N images, B bands, C = 128 features, (H, W) = r * (h, w).
"""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifmsr.degradation.blurs import gaussian
from ifmsr.errors import InputError
from ifmsr.methods.base import CubeConfig, Method, Network, check_pair
from ifmsr.precision import Precision, tf32_off, usable_precision
from ifmsr.progress import with_progress
from ifmsr.scenes.scene import Array, Observation

C = 128


def c3(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def branch() -> nn.Sequential:
    """Three convolutions of one branch in one stage. (N, C, H, W) -> same."""
    return nn.Sequential(*(layer for _ in range(3) for layer in (c3(C, C), nn.ReLU(inplace=True))))


class Joint(nn.Module):
    """A 3 x 3 convolution of t_q = [o_a, o_b, o_c, mask_q]. (N, 3 C, H, W) and q -> (N, C, H, W).

    The mask has three constant channels: 0 in that of the target branch q, 1 in the others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = c3(3 * C + 3, C)

    def forward(self, o: Tensor, q: int) -> Tensor:
        return self.features(o) + self.mask(o, q)

    def features(self, o: Tensor) -> Tensor:
        """The contribution of the branches' features (N, 3 C, H, W), which is the same for every target."""
        return F.conv2d(o, self.conv.weight[:, : 3 * C], self.conv.bias, padding=1)

    def mask(self, o: Tensor, q: int) -> Tensor:
        """The contribution of the mask of target q, (1, C, H, W)."""
        maps = o.new_ones(1, 3, *o.shape[-2:])
        maps[:, q] = 0
        return F.conv2d(maps, self.conv.weight[:, 3 * C :], padding=1)


class Exchange(nn.Module):
    """Exchange of features between the three branches; one instance for both stages.

    ``o_q <- g_q o_q + (1 - g_q) (o_q M_q + B_q)`` with the gate g_q = sigmoid(G_q(t_q)). The scale M_q and the shift
    B_q are convolutions of J(t_q). All branches share J; G, M and B are separate per branch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.joint = Joint()
        self.shared = nn.Sequential(nn.ReLU(inplace=True), c3(C, C), nn.ReLU(inplace=True), c3(C, C))
        self.gates = nn.ModuleList(Joint() for _ in range(3))
        self.scales = nn.ModuleList(c3(C, C) for _ in range(3))
        self.shifts = nn.ModuleList(c3(C, C) for _ in range(3))

    def forward(self, o: Tensor) -> Tensor:
        """Features of the three branches, concatenated, (N, 3 C, H, W) -> same."""
        features = self.joint.features(o)
        return torch.cat([self.target(q, o, features) for q in range(3)], dim=1)

    def target(self, q: int, o: Tensor, features: Tensor) -> Tensor:
        """The updated features (N, C, H, W) of branch q; `features` is the result of J's first convolution of `o`."""
        o_q = o[:, q * C : (q + 1) * C]
        j = self.shared(features + self.joint.mask(o, q))
        modulated = o_q * self.scales[q](j) + self.shifts[q](j)
        gate = torch.sigmoid(self.gates[q](o, q))
        return torch.lerp(modulated, o_q, gate)


class UAL(Network):
    """UAL's fusion network with three branches (Zhang et al. 2020). Its loss is the mean absolute error.

    Parameters
    ----------
    bands : B.
    scale : r.

    Examples
    --------
    >>> net = UAL(bands=31, scale=4)
    >>> sum(parameter.numel() for parameter in net.parameters())
    7097695
    >>> net(torch.rand(1, 31, 2, 3), torch.rand(1, 3, 8, 12)).shape
    torch.Size([1, 31, 8, 12])
    """

    title = "UAL (fusion only)"
    config: CubeConfig

    def __init__(self, bands: int = 31, scale: int = 4):
        super().__init__()
        self.config = CubeConfig(bands, scale)
        self.heads = nn.ModuleList(
            nn.Sequential(c3(inputs, C // 2), nn.ReLU(inplace=True), c3(C // 2, C))
            for inputs in (3, bands + 3, bands)
        )
        self.stage1, self.stage2 = (nn.ModuleList(branch() for _ in "abc") for _ in range(2))
        self.exchange = Exchange()
        self.tail = nn.Sequential(
            *(c3(3 * C, 2 * C), nn.ReLU(inplace=True)),
            *(c3(2 * C, C), nn.ReLU(inplace=True), c3(C, bands)),
        )

    def forward(self, lr: Tensor, rgb: Tensor) -> Tensor:
        """(N, B, h, w), (N, 3, H, W) -> (N, B, H, W), not clipped. Raises InputError if the shapes do not fit."""
        check_pair(lr, rgb, self.config.bands, self.config.scale)
        up = F.interpolate(lr, size=rgb.shape[-2:], mode="bilinear", align_corners=False)
        inputs = (rgb, torch.cat([up, rgb], dim=1), up)
        i = torch.cat([head(x) for head, x in zip(self.heads, inputs, strict=True)], dim=1)  # (N, 3 C, H, W)
        o = i
        for stage in (self.stage1, self.stage2):
            o = torch.cat([conv(o_q) for conv, o_q in zip(stage, o.chunk(3, dim=1), strict=True)], dim=1)
            o = self.exchange(o)
        return self.tail(o + i)

    @classmethod
    def method_title(cls, variant: str) -> str:
        return cls.title if variant == "fusion" else Adapted.title

    def as_method(self, trained: Method, variant: str, device: str | None, precision: Precision) -> Method:
        """The network alone for the variant ``"fusion"``, otherwise with the adaptation to each image."""
        return trained if variant == "fusion" else Adapted(trained, device=device, precision=precision)


class Adaptor(nn.Module):
    """UAL's adaptor, a residual on the fusion result F: ``M f + (1 - M) Z + F``. (N, B, H, W) -> same."""

    def __init__(self, bands: int):
        super().__init__()
        self.h1, self.h2, self.f, self.z, self.m = (c3(bands, bands) for _ in range(5))

    def forward(self, fused: Tensor) -> Tensor:
        f = self.f(F.relu(self.h2(F.relu(self.h1(fused)))))
        z, m = self.z(F.relu(f)), torch.sigmoid(self.m(F.relu(f)))
        return m * f + (1 - m) * z + fused


class BlurNet(nn.Module):
    """The unknown blur and decimation, with one kernel and one offset for all bands. (N, B, H, W) -> (N, B, h, w).

    The border is replicated. `kernel` is a sampling kernel (see `ifmsr.degradation.blurs`), initialised as a Gaussian
    with a standard deviation of 6 pixels; it is not constrained to be non-negative or to sum to 1. `bias` starts
    uniformly distributed within 1/32 of zero.

    Raises InputError if `scale` exceeds the side of the kernel.
    """

    def __init__(self, scale: int):
        super().__init__()
        self.scale = scale
        side = 32 + scale % 2
        if not 1 <= scale <= side:
            raise InputError(
                "scale", f"found {scale}", f"UAL's blur kernel has a side of {side}: give 1 to {side}"
            )
        self.kernel = nn.Parameter(torch.from_numpy(gaussian(side, 6.0)).float())
        self.bias = nn.Parameter(torch.empty(1).uniform_(-1 / side, 1 / side))

    def forward(self, x: Tensor) -> Tensor:
        """Strided convolution, computed as a dense one on r x r phases, which is several times as fast on a CPU."""
        scale, side = self.scale, len(self.kernel)
        margin, lack = (side - scale) // 2, -side % scale  # `lack`: zero taps that complete the phases
        bands = x.flatten(0, 1)[:, None]  # (N B, 1, H, W)
        padded = F.pad(bands, (margin, margin + lack) * 2, mode="replicate")
        phases = F.pixel_unshuffle(padded, scale).contiguous(memory_format=torch.channels_last)
        taps = F.pixel_unshuffle(F.pad(self.kernel, (0, lack) * 2)[None, None], scale)  # (1, r^2, ., .)
        return F.conv2d(phases, taps, self.bias).squeeze(1).unflatten(0, x.shape[:2])


@dataclass(frozen=True)
class Adaptation:
    """The result of UAL's adaptation to one image.

    Attributes
    ----------
    sr : (B, H, W) float32 in [0, 1].
    curve : the terms of the loss before each step, (steps,) each: ``"lr"``, and ``"rgb"`` if the response is known.
    kernel : (k, k) the learned sampling kernel.
    """

    sr: Array
    curve: dict[str, Array]
    kernel: Array


@torch.inference_mode(False)
@torch.enable_grad()
@tf32_off()
def adapt(
    fused: Array,
    observation: Observation,
    steps: int = 1500,
    seed: int = 0,
    device: str | None = None,
    precision: Precision = "float32",
) -> Adaptation:
    """Fit an `Adaptor` and a `BlurNet` to one observation; the adaptor after the last step gives the result.

    Adam minimises ``|D(out) - lr| + |P out - rgb|``, mean absolute errors with the learned blur and decimation D and
    the spectral response function P; the second term is omitted if P is unknown. Learning rate and weight decay are
    9e-5 and 1e-3 for the adaptor, 1e-4 and 1e-5 for the blur. Gradients are enabled inside, also under
    `torch.no_grad`.

    Parameters
    ----------
    fused : (B, H, W) in [0, 1], the result of the fusion network; it is not changed.
    observation : the observation that `fused` was computed from.
    steps : of Adam.
    seed : of the initial weights; the same seed gives the same result.
    device : None: the GPU if there is one.
    precision : ``"bfloat16"`` computes the adaptor's residual under autocast where `device` can; the weights, the sum
        with `fused` and the losses stay float32.

    Raises
    ------
    InputError : `fused` does not fit the observation.
    """
    shape = (len(observation.lr), *observation.rgb.shape[1:])
    if fused.shape != shape:
        raise InputError("fused", f"its shape is {fused.shape}", f"For this observation it must be {shape}")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    start, lr, rgb = (torch.from_numpy(x)[None].to(where) for x in (fused, observation.lr, observation.rgb))
    srf = None if observation.srf is None else torch.from_numpy(observation.srf).to(where)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        adaptor, blur = Adaptor(len(fused)).to(where), BlurNet(observation.scale).to(where)
    optimizer = torch.optim.Adam(
        [
            {"params": adaptor.parameters(), "lr": 9e-5, "weight_decay": 1e-3},
            {"params": blur.parameters(), "lr": 1e-4, "weight_decay": 1e-5},
        ]
    )
    precision = usable_precision(precision, where)
    half = torch.autocast(where.type, torch.bfloat16, enabled=precision == "bfloat16")
    curve: dict[str, list[float]] = {"lr": []} if srf is None else {"lr": [], "rgb": []}
    for _ in with_progress(range(steps), "UAL adaptation"):
        with half:
            out = adaptor(start)
        terms = [F.l1_loss(blur(out), lr)]
        if srf is not None:
            terms.append(F.l1_loss(torch.einsum("cb,nbhw->nchw", srf, out), rgb))
        optimizer.zero_grad(set_to_none=True)
        torch.stack(terms).sum().backward()
        optimizer.step()
        for values, term in zip(curve.values(), terms, strict=True):
            values.append(term.item())
    with torch.no_grad(), half:
        sr = adaptor(start)[0].clamp(0, 1)
    return Adaptation(
        sr.cpu().numpy(),
        {name: np.array(values, np.float32) for name, values in curve.items()},
        blur.kernel.detach().cpu().numpy(),
    )


@dataclass
class Adapted:
    """UAL: a fusion method followed by the adaptation to each image (Zhang et al. 2020).

    Schedule and fingerprint are the fusion's, extended by the settings of the adaptation, so that results of different
    settings are distinguished.

    Attributes
    ----------
    fusion : the fusion method.
    steps, seed, device, precision : see `adapt`.
    last : the `Adaptation` of the last image.
    """

    fusion: Method
    steps: int = 1500
    seed: int = 0
    device: str | None = field(default=None, compare=False)
    precision: Precision = "float32"
    last: Adaptation | None = field(default=None, init=False, repr=False, compare=False)
    title = "UAL"

    @property
    def schedule(self) -> str:
        """The training of the fusion, and the steps of the adaptation."""
        return f"{self.fusion.schedule}; adapted to each image in {self.steps} steps, seed {self.seed}"

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the fusion's weights with the settings of the adaptation."""
        return f"{getattr(self.fusion, 'fingerprint', '')}+{self.steps}s{self.seed}"

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1]."""
        fused = self.fusion(observation)
        self.last = adapt(fused, observation, self.steps, self.seed, self.device, self.precision)
        return self.last.sr

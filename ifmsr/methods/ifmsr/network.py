"""IFMSR: the complete network, with the names of the paper's figures 1 to 3.

The hyperspectral cube is processed band by band, so any number of bands works. The input of each band is the band with
its two neighbours, the output is one high-resolution band. The parts, in the order of the data flow:

    Unit    convolution residual learning
    MCPA    multi-corresponding patch aggregation
    RDE     RGB-induced detail enhancement
    CGM     one stage of the backbone: Units, MCPA, channel split, RDE
    DCFM    deep cross-modality feature modulation
    IFMSR   heads, D stages, DCFM, end convolution

`from_released` reads the authors' checkpoints.

Shapes: N images, B bands, M = N * B bands of all images in one batch, C features, (H, W) = r * (h, w).
Where the paper's drawing (figures 1 to 3) and the released program differ, `IFMSRConfig` has both variants.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from ifmsr.errors import InputError, whole
from ifmsr.fields import check_fields
from ifmsr.methods.base import Network, check_pair
from ifmsr.methods.ifmsr.filtering import TAPS, filter_dynamically
from ifmsr.methods.ifmsr.patches import cut_patches, join_patches, similar_patches
from ifmsr.methods.ifmsr.released import released_name
from ifmsr.precision import Precision
from ifmsr.registry import resolve
from ifmsr.scenes.scene import Array, Observation


@dataclass(frozen=True)
class IFMSRConfig:
    """Configuration of IFMSR's architecture. The defaults are the released full configuration.

    Attributes
    ----------
    scale : magnification r; the side of MCPA's patches is 3r.
    features : C, the number of feature channels; even.
    stages : D, the number of stages of the backbone.
    neighbours : K, the number of similar patches that MCPA adds to each patch.
    mcpa, rde, dcfm : whether the network has these parts (the paper's ablations). Without DCFM the HSI features of the
        last stage are used alone.
    split : channel exchange ``"before"`` MCPA (released program) or ``"after"`` it (drawing).
    rde_skip : the features that RDE concatenates with its branches, ``"hsi"`` (released) or ``"rgb"`` (drawing).
    dcfm_skip : whether the backbone's last HSI features are added after DCFM: False (released), True (drawing).

    Raises
    ------
    InputError : a value is out of range or unknown.
    """

    scale: int = 4
    features: int = 64
    stages: int = 2
    neighbours: int = 3
    mcpa: bool = True
    rde: bool = True
    dcfm: bool = True
    split: Literal["before", "after"] = "before"
    rde_skip: Literal["hsi", "rgb"] = "hsi"
    dcfm_skip: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("scale", "stages", "neighbours"):
            whole(name, getattr(self, name), least=1)
        if self.features < 2 or self.features % 2:
            raise InputError("features", f"found {self.features}", "Give an even number: streams swap halves")


def conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    """A weight-normalised convolution that keeps the size."""
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    weight_norm(convolution)
    return convolution


class Unit(nn.Module):
    """Convolution residual learning: conv, ReLU, conv, plus the input. (M, C, H, W) -> same."""

    def __init__(self, features: int):
        super().__init__()
        self.first, self.second = conv(features, features), conv(features, features)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


class MCPA(nn.Module):
    """MCPA, multi-corresponding patch aggregation of one stream. (M, C, H, W), (M, L, K) -> (M, C, H, W).

    Each of the L patches is concatenated with its K most similar patches, each scaled by a learned weight, and a
    convolution fuses them.
    """

    def __init__(self, features: int, neighbours: int, patch: int):
        super().__init__()
        self.patch = patch
        self.gamma = nn.Parameter(torch.ones(neighbours + 1))
        self.fusion = conv((neighbours + 1) * features, features)

    def forward(self, x: Tensor, nearest: Tensor) -> Tensor:
        patches = cut_patches(x, self.patch)  # (M, L, C, p, p)
        m, count = patches.shape[:2]
        own = torch.arange(count, device=x.device)[:, None].expand(m, -1, -1)
        first = count * torch.arange(m, device=x.device)[:, None, None]  # index of each image's first patch
        group = torch.cat([own, nearest], dim=2) + first  # (M, L, K + 1)
        gathered = patches.flatten(0, 1).index_select(0, group.flatten())
        joined = join_patches(gathered.view(m, count, -1, self.patch, self.patch), *x.shape[-2:])
        # gamma scales the convolution's weights, which are far fewer than the features
        gamma = self.gamma.repeat_interleave(x.shape[1])[:, None, None]
        return x + F.conv2d(joined, gamma * self.fusion.weight, self.fusion.bias, padding=1)


class DynamicFilter(nn.Module):
    """One branch of RDE: 3x3 kernels per pixel and channel, generated from the RGB features."""

    def __init__(self, features: int, dilation: int):
        super().__init__()
        self.dilation = dilation
        self.context = nn.Conv2d(features, features, 3, padding=1)
        self.taps = nn.Conv2d(features, TAPS * features // 2, 1)
        self.fuse = nn.Conv2d(features // 2, features // 2, 3, padding=1)

    def kernels(self, rgb: Tensor) -> Tensor:
        """RGB features (M, C, H, W) -> kernels (M, C / 2, 9, H, W), the nine taps row by row."""
        return self.taps(self.context(rgb)).unflatten(1, (-1, TAPS))

    def forward(self, x: Tensor, rgb: Tensor) -> Tensor:
        return self.fuse(filter_dynamically(x, self.kernels(rgb), self.dilation))


class RDE(nn.Module):
    """RDE, RGB-induced detail enhancement: dynamic filters of dilation 1 and 3.

    HSI and RGB features (M, C, H, W) -> F_induce (M, C, H, W).
    """

    def __init__(self, features: int, skip: str):
        super().__init__()
        self.skip = skip
        self.reduce = nn.Conv2d(features, features // 2, 1)
        self.near, self.far = DynamicFilter(features, dilation=1), DynamicFilter(features, dilation=3)
        kept = features // 2 if skip == "hsi" else features
        self.fuse = nn.Conv2d(kept + features, features, 3, padding=1)

    def forward(self, hsi: Tensor, rgb: Tensor) -> Tensor:
        x = self.reduce(hsi)  # (M, C / 2, H, W)
        kept = x if self.skip == "hsi" else rgb
        return self.fuse(torch.cat([kept, self.near(x, rgb), self.far(x, rgb)], dim=1))


def exchange_halves(rgb: Tensor, hsi: Tensor) -> tuple[Tensor, Tensor]:
    """The channel split: each stream keeps half of its channels and receives half of the other's."""
    (rgb_low, rgb_high), (hsi_low, hsi_high) = rgb.chunk(2, dim=1), hsi.chunk(2, dim=1)
    return torch.cat([rgb_high, hsi_high], dim=1), torch.cat([rgb_low, hsi_low], dim=1)


class CGM(nn.Module):
    """CGM, one stage of the cross-modality fusion backbone. (F_rgb, F_hsi) -> (F_rgb, F_hsi), (M, C, H, W) each."""

    def __init__(self, config: IFMSRConfig):
        super().__init__()
        features = config.features
        self.split = config.split
        self.rgb_unit1, self.hsi_unit1 = Unit(features), Unit(features)
        self.rgb_unit2, self.hsi_unit2 = Unit(features), Unit(features)
        if config.mcpa:
            self.rgb_mcpa, self.hsi_mcpa = (MCPA(features, config.neighbours, 3 * config.scale) for _ in "ab")
        self.rde = RDE(features, config.rde_skip) if config.rde else None

    def forward(self, f_rgb: Tensor, f_hsi: Tensor, nearest: Tensor | None) -> tuple[Tensor, Tensor]:
        rgb, hsi = F.relu(self.rgb_unit1(f_rgb)), F.relu(self.hsi_unit1(f_hsi))
        if self.split == "before":
            rgb, hsi = exchange_halves(rgb, hsi)
        if nearest is not None:
            rgb, hsi = self.rgb_mcpa(rgb, nearest), self.hsi_mcpa(hsi, nearest)
        if self.split == "after":
            rgb, hsi = exchange_halves(rgb, hsi)
        rgb, hsi = self.rgb_unit2(rgb) + f_rgb, self.hsi_unit2(hsi) + f_hsi
        if self.rde is not None:
            f_induce = self.rde(hsi, rgb)
            rgb, hsi = rgb + f_induce, hsi + f_induce
        return rgb, hsi


class DCFM(nn.Module):
    """DCFM, deep cross-modality feature modulation: all stages' RGB features scale and shift the HSI features."""

    def __init__(self, features: int, stages: int):
        super().__init__()
        self.rgb_reduce, self.hsi_reduce = (conv(stages * features, features, kernel=1) for _ in "ab")
        self.alpha, self.beta = Unit(features), Unit(features)

    def modulation(self, rgb: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The scale alpha and the shift beta, (M, C, H, W) each."""
        guide = self.rgb_reduce(torch.cat(rgb, dim=1))
        return self.alpha(guide), self.beta(guide)

    def forward(self, rgb: list[Tensor], hsi: list[Tensor]) -> Tensor:
        alpha, beta = self.modulation(rgb)
        return self.hsi_reduce(torch.cat(hsi, dim=1)) * alpha + beta


def band_triplets(bands: int, device: torch.device | None = None) -> Tensor:
    """Indices (B, 3) of each band between its two neighbours; [1, 0, 2] and [B-2, B-1, B-3] at the ends."""
    middle = torch.arange(bands, device=device)
    left, right = middle - 1, middle + 1
    left[0], right[0] = 1, 2
    left[-1], right[-1] = bands - 2, bands - 3
    return torch.stack([left, middle, right], dim=1)


class IFMSR(Network):
    """IFMSR, the network of the paper's figure 1.

    Parameters
    ----------
    config : the architecture; None: the released full configuration at x4.

    Examples
    --------
    >>> net = IFMSR(IFMSRConfig(scale=4))
    >>> sum(parameter.numel() for parameter in net.parameters())
    1725458
    >>> net(torch.rand(1, 5, 6, 6), torch.rand(1, 3, 24, 24)).shape
    torch.Size([1, 5, 24, 24])
    """

    title = "IFMSR"
    bandwise = True
    config: IFMSRConfig

    @classmethod
    def build(cls, **config: Any) -> "IFMSR":
        return cls(IFMSRConfig(**config))

    def __init__(self, config: IFMSRConfig | None = None):
        super().__init__()
        self.config = config = config or IFMSRConfig()
        features = config.features
        self.hsi_head = nn.Conv2d(3, features, 3, padding=1)
        self.rgb_head = nn.Conv2d(3, features, 3, padding=1)
        self.stages = nn.ModuleList(CGM(config) for _ in range(config.stages))
        self.dcfm = DCFM(features, config.stages) if config.dcfm else None
        self.end = conv(features, 1)

    def start_with(self, trained: Network) -> None:
        """Copy the weights of `trained`; if its width divides this network's, it is widened first (see `widen`)."""
        if isinstance(trained, IFMSR):
            factor, rest = divmod(self.config.features, trained.config.features)
            if factor > 1 and not rest:
                trained = resolve("ifmsr.methods.ifmsr.widening:widen")(trained, factor)
        super().start_with(trained)

    def forward(self, lr: Tensor, rgb: Tensor, bands: Tensor | None = None) -> Tensor:
        """Super-resolve all bands, or the chosen ones, in one batch; used in training. Whole images: `run_network`.

        Parameters
        ----------
        lr : (N, B, h, w) low-resolution cubes in [0, 1], with at least 3 bands.
        rgb : (N, 3, H, W) RGB images in [0, 1].
        bands : indices of the bands to return; their neighbours are taken from all of `lr`. Default: all.

        Returns
        -------
        (N, B, H, W), not clipped.

        Raises
        ------
        InputError : fewer than 3 bands, or sizes that do not fit each other.
        """
        self.check(lr, rgb)
        triplets = band_triplets(lr.shape[1], lr.device)
        if bands is not None:
            triplets = triplets[bands]
        f0_rgb = self.rgb_head(rgb)
        nearest = None
        if self.config.mcpa:
            nearest = similar_patches(rgb, 3 * self.config.scale, self.config.neighbours)
        return self._super_resolve(lr[:, triplets], f0_rgb, nearest)

    def check(self, lr: Tensor, rgb: Tensor) -> None:
        """Raise InputError for fewer than 3 bands, or sizes that do not fit each other."""
        if lr.shape[1] < 3:
            raise InputError(
                "lr", f"{lr.shape[1]} bands", "IFMSR sees each band with two neighbours: give 3 or more"
            )
        check_pair(lr, rgb, lr.shape[1], self.config.scale)

    def _super_resolve(self, lr: Tensor, f0_rgb: Tensor, nearest: Tensor | None) -> Tensor:
        """Super-resolve b bands, each with its neighbours: (N, b, 3, h, w), (N, C, H, W), (N, L, K) -> (N, b, H, W)."""
        n, count = lr.shape[:2]
        upsampled = F.interpolate(lr.flatten(0, 1), scale_factor=self.config.scale, mode="nearest")
        f0_hsi = f_hsi = self.hsi_head(upsampled)  # (M, C, H, W)
        f_rgb = f0_rgb.repeat_interleave(count, dim=0)
        if nearest is not None:
            nearest = nearest.repeat_interleave(count, dim=0)

        all_rgb, all_hsi = [], []
        for stage in self.stages:
            f_rgb, f_hsi = stage(f_rgb, f_hsi, nearest)
            all_rgb.append(f_rgb)
            all_hsi.append(f_hsi)
        fused = f_hsi if self.dcfm is None else self.dcfm(all_rgb, all_hsi)
        if self.dcfm is not None and self.config.dcfm_skip:
            fused = fused + f_hsi
        return self.end(fused + f0_hsi).unflatten(0, (n, count)).squeeze(2)

    def run(
        self,
        observation: Observation,
        device: torch.device,
        precision: Precision = "float32",
        memory: int | None = None,
    ) -> Array:
        """Super-resolve one observation band by band in strips, with feature maps of at most `memory` bytes."""
        run_in_strips = resolve("ifmsr.inference.fast_ifmsr.run:run_in_strips")
        return run_in_strips(self, observation, device, precision, memory)


class IFMSRTestFamily(IFMSR):
    """IFMSR trained on random samples of the test degradations instead of the paper's wider family.

    The network is the same; the separate name distinguishes the two trainings in tables.
    """

    title = "IFMSR, test family"


def from_released(state_dict: Mapping[str, Any], scale: int) -> IFMSR:
    """Create an IFMSR with weights of the authors' released program.

    Parameters
    ----------
    state_dict : name -> array or tensor in the released naming, with or without the prefix ``module.``, or the whole
        checkpoint with this mapping under ``"model"``. The configuration is derived from the names and shapes.
    scale : the magnification of the training, which the weights do not contain.

    Raises
    ------
    InputError : names are missing or unexpected, or a shape is wrong; it lists them.
    """
    weights = state_dict.get("model", state_dict)
    weights = {name.removeprefix("module."): torch.as_tensor(np.asarray(w)) for name, w in weights.items()}
    if "hsi_head.weight" not in weights:
        raise InputError("state_dict", "hsi_head.weight is missing", "Give a checkpoint of the IFMSR program")
    stages = {name.split(".")[1] for name in weights if name.startswith("inter_body.")}
    gamma = weights.get("inter_body.0.FASplit.aggregate.rgb_gamma")
    net = IFMSR(
        IFMSRConfig(
            scale=scale,
            features=len(weights["hsi_head.weight"]),
            stages=max(len(stages), 1),
            neighbours=3 if gamma is None else len(gamma) - 1,
            mcpa=gamma is not None,
            rde=any(".ddpm." in name for name in weights),
            dcfm=any(name.startswith("casde.") for name in weights),
        )
    )
    wanted = {released_name(ours): (ours, tensor.shape) for ours, tensor in net.state_dict().items()}
    wrong = [f"missing {name}" for name in sorted(wanted.keys() - weights.keys())]
    wrong += [f"left over {name}" for name in sorted(weights.keys() - wanted.keys())]
    wrong += [
        f"{name} is {tuple(weights[name].shape)}, not {tuple(shape)}"
        for name, (_, shape) in wanted.items()
        if name in weights and weights[name].shape != shape
    ]
    if wrong:
        raise InputError("state_dict", "; ".join(wrong), "Give a checkpoint of the released configuration")
    net.load_state_dict({ours: weights[name] for name, (ours, _) in wanted.items()})
    return net

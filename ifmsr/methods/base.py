"""What a method is: three lines, so that classical and learned ones stand side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifmsr.degradation.blurs import Kernel
from ifmsr.errors import InputError, whole
from ifmsr.fields import check_fields
from ifmsr.precision import Precision
from ifmsr.registry import resolve
from ifmsr.scenes.scene import Array, Observation, Scene


class Method(Protocol):
    """Turns an Observation into a high-resolution cube.

    `title` is the name that tables and figures print, `schedule` says how it was trained ("" if it was not).
    """

    @property
    def title(self) -> str: ...

    @property
    def schedule(self) -> str: ...

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w) and (3, H, W) in, (B, H, W) float32 in [0, 1] out; the observation stays as it was."""
        ...


@runtime_checkable
class Oracle(Protocol):
    """A method that needs each observation's true point spread function (PSF), which is unknown for real images.

    An evaluation passes the PSF, and the method's title says so.
    """

    def with_kernel(self, kernel: Kernel) -> Method:
        """The method for observations with this `kernel` (see `ifmsr.degradation.blurs`)."""
        ...


@runtime_checkable
class TellsError(Protocol):
    """A method that can also predict the error of its result."""

    def with_error(self, observation: Observation) -> tuple[Array, Array]:
        """The cube (B, H, W) and the expected absolute error of each pixel (H, W), mean over bands."""
        ...


class Samples(Protocol):
    """What a network learns from: tuples of tensors, the arguments of its `loss`, the truth (B, H, W) last.

    Sample ``epoch * len(self) + number`` is a function of the configuration alone, so that every resumed training sees
    the same ones.
    """

    def __len__(self) -> int:
        """How many samples an epoch has."""
        ...

    def __getitem__(self, index: int) -> tuple[Tensor, ...]: ...


class Network(nn.Module):
    """What a learned method's network has besides its layers.

    Called ``net(lr, rgb)`` on (N, B, h, w) and (N, 3, H, W); returns (N, B, H, W), not clipped. Such a network needs a
    `title`, a constructor that takes `bands` and `scale` and sets `config`, and `forward`. One that is applied or
    trained in another way brings its own `run`, `samples` or `loss`.

    Attributes
    ----------
    title : the name that tables print.
    bandwise : whether it works band by band, so that bands can be chosen, batched and tiled (see `IFMSR`), and its
        parameters do not depend on their number. Otherwise its configuration has a number of `bands`.
    scale_free : whether one network serves every scale and number of bands (see `SubspaceNet`); its configuration
        names neither.
    config : a frozen dataclass, with a `scale` unless `scale_free`, from which `build` makes the network again. A
        network that annotates it (``config: MyConfig``) has the options of its trainings checked against its fields.
    """

    title: ClassVar[str]
    bandwise: ClassVar[bool] = False
    scale_free: ClassVar[bool] = False
    config: Any

    @classmethod
    def build(cls, **config: Any) -> Self:
        """The network of a configuration, as a mapping. Raises InputError if it does not keep one."""
        net = cls(**config)
        if not is_dataclass(getattr(net, "config", None)):
            problem = "its constructor sets no config, from which it can be built again"
            raise InputError(f"network {cls.__name__}", problem, "Set self.config = CubeConfig(bands, scale)")
        return net

    def start_from(self, scenes: Sequence[Scene]) -> None:
        """Whatever is computed from the training scenes before the first step; nothing by default."""

    def start_with(self, trained: "Network") -> None:
        """Take the weights of a trained network, of the same shape unless the method says otherwise.

        Raises RuntimeError if names or shapes differ.
        """
        self.load_state_dict(trained.state_dict())

    def loss(self, lr: Tensor, rgb: Tensor, truth: Tensor, bands: Tensor | None = None) -> Tensor:
        """What training minimises: the mean absolute error unless the method says otherwise.

        `bands` are the indices to learn from, for networks that are `bandwise`.
        """
        if bands is None:
            return F.l1_loss(self(lr, rgb).float(), truth)
        return F.l1_loss(self(lr, rgb, bands=bands).float(), truth[:, bands])

    @classmethod
    def samples(cls, scenes: Sequence[Scene], config: Any) -> Samples:
        """What it learns from: degraded patches of the scenes unless the method says otherwise.

        `config` is the training's, an `ifmsr.training.TrainConfig`.
        """
        return resolve("ifmsr.training.patches:Patches")(scenes, config)

    def run(
        self,
        observation: Observation,
        device: torch.device,
        precision: Precision = "float32",
        memory: int | None = None,
    ) -> Array:
        """One whole observation, (B, H, W) float32 in [0, 1]; here in one pass, computed in `precision`.

        Called by `ifmsr.inference.run_network`, which has put the network on `device`. `memory`: bytes that feature
        maps may take, for networks that work piece by piece.
        """
        lr, rgb = (torch.from_numpy(image)[None].to(device) for image in (observation.lr, observation.rgb))
        check_pair(lr, rgb, getattr(self.config, "bands", lr.shape[1]), observation.scale)
        with torch.autocast(device.type, torch.bfloat16, precision == "bfloat16"):
            sr = self(lr, rgb)[0]
        return sr.float().clamp(0, 1).cpu().numpy()

    def with_error(
        self, observation: Observation, device: torch.device, precision: Precision = "float32"
    ) -> tuple[Array, Array]:
        """As `run`, and the expected absolute error of each pixel (H, W), mean over bands.

        Raises InputError for networks that do not tell.
        """
        raise InputError("method", f"{self.title} does not tell its error", "Use subspace-net")

    @classmethod
    def method_title(cls, variant: str) -> str:
        """The printed name of the method that `as_method` makes."""
        return cls.title

    def as_method(self, trained: Method, variant: str, device: str | None, precision: Precision) -> Method:
        """The method made of this network once it is trained: the network alone unless it says otherwise.

        Parameters
        ----------
        trained : the network alone, as a method.
        variant : what follows the network's name in the method's: ``"fusion"`` of ``ual-fusion``; "" for ``ual``.
        """
        return trained


@dataclass(frozen=True)
class CubeConfig:
    """What fixes the shape of a network that sees the whole cube: its number of `bands`, and its `scale`."""

    bands: int = 31
    scale: int = 4

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("bands", "scale"):
            whole(name, getattr(self, name), least=1)


def check_bands(scene: Scene, bands: int) -> None:
    """Raise InputError unless the scene has as many bands as the network was made for."""
    if len(scene.cube) != bands:
        raise InputError(
            f"scene {scene.name}", f"{len(scene.cube)} bands", f"The network was made for {bands}"
        )


def check_pair(lr: Tensor, rgb: Tensor, bands: int, scale: int) -> None:
    """Raise InputError unless (N, bands, h, w) and (N, 3, scale h, scale w) belong together."""
    if lr.ndim != 4 or lr.shape[1] != bands:
        raise InputError(
            "lr",
            f"its shape is {tuple(lr.shape)}",
            f"Give (N, {bands}, h, w): the network was made for {bands} bands",
        )
    n, _, h, w = lr.shape
    if tuple(rgb.shape) != (n, 3, scale * h, scale * w):
        raise InputError(
            "rgb",
            f"its shape is {tuple(rgb.shape)} beside lr {tuple(lr.shape)}",
            f"At scale {scale} it must be {(n, 3, scale * h, scale * w)}",
        )

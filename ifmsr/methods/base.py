"""What a method is: three lines, so that classical and learned ones stand side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch.nn.functional as F
from torch import Tensor, nn

from ifmsr.degradation.blurs import Kernel
from ifmsr.errors import InputError
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
    """A method that must be told each observation's true sampling kernel first; real images have none.

    An evaluation tells it, and its title says so.
    """

    def with_kernel(self, kernel: Kernel) -> Method:
        """The method for observations with this `kernel` (see `ifmsr.degradation.blurs`)."""
        ...


class Network(nn.Module):
    """What a learned method's network has besides its layers.

    Called ``net(lr, rgb)`` on (N, B, h, w) and (N, 3, H, W); returns (N, B, H, W), not clipped.

    Attributes
    ----------
    title : the name that tables print.
    bandwise : whether it works band by band, so that bands can be chosen, batched and tiled (see `IFMSR`), and its
        parameters do not depend on their number. Otherwise its configuration has a number of `bands`.
    scale_free : whether one network serves every scale and number of bands (see `SubspaceNet`); its configuration
        names neither.
    config : a frozen dataclass, with a `scale` unless `scale_free`, from which `build` makes the network again.
    """

    title: ClassVar[str]
    bandwise: ClassVar[bool] = False
    scale_free: ClassVar[bool] = False
    config: Any

    @classmethod
    def build(cls, **config: Any) -> Self:
        """The network of a configuration, as a mapping."""
        return cls(**config)

    def start_from(self, scenes: Sequence[Scene]) -> None:
        """Whatever is computed from the training scenes before the first step; nothing by default."""

    def loss(self, lr: Tensor, rgb: Tensor, truth: Tensor, bands: Tensor | None = None) -> Tensor:
        """What training minimises: the mean absolute error unless the method says otherwise.

        `bands` are the indices to learn from, for networks that are `bandwise`.
        """
        if bands is None:
            return F.l1_loss(self(lr, rgb).float(), truth)
        return F.l1_loss(self(lr, rgb, bands=bands).float(), truth[:, bands])


@dataclass(frozen=True)
class CubeConfig:
    """What fixes the shape of a network that sees the whole cube: its number of `bands`, and its `scale`."""

    bands: int = 31
    scale: int = 4


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

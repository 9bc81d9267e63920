"""What a method is: three lines, so that classical and learned ones stand side by side."""

from typing import Any, ClassVar, Protocol

from torch import nn

from ifmsr.scenes.scene import Array, Observation


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


class Network(nn.Module):
    """What a learned method's network has besides its layers.

    Called ``net(lr, rgb, bands=None, bands_per_pass=None)`` on (N, B, h, w) and (N, 3, H, W); see `IFMSR`.

    Attributes
    ----------
    title : the name that tables print.
    config : a frozen dataclass with a `scale`, from which the network can be built again.
    working_floats : numbers held at most for one band and high-resolution pixel during inference.
    """

    title: ClassVar[str]
    config: Any
    working_floats: int

"""Base class of LTTR and CMS, which need a known blur kernel: assumed, estimated or true."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ifmsr.degradation.blurs import Kernel, assumed_blur
from ifmsr.degradation.kernels import estimate_kernel
from ifmsr.errors import InputError, check_choice
from ifmsr.scenes.scene import Array, Observation


@dataclass(frozen=True, eq=False)
class NonBlind:
    """Base class of training-free methods that need the spectral response function and the sampling kernel.

    LTTR and CMS assume periodic images. Real images are not periodic, so both images are padded with their border
    pixels, by as many LR pixels as the kernel extends beyond a block, and the result is cropped. The padding is our
    addition.

    Attributes
    ----------
    kernel : ``"assumed"``, the blur published with the method, whatever the observation's blur is; ``"estimated"``,
        kernel and shift from `ifmsr.degradation.kernels.estimate_kernel`; or the true kernel as an array (k, k), see
        `ifmsr.degradation.blurs`. The `title` says which.
    lr_weight : weight of the LR data term relative to the RGB data term. Both methods are published with 1 and
        without noise. None: 1 for the assumed blur, `noise_weight` for the other kernels, because with 1 a method
        with a matching kernel amplifies the LR cube's noise. The `title` gives weights other than 1.
    seed : of the clustering.

    Raises
    ------
    InputError : a setting is out of range.
    """

    kernel: Literal["assumed", "estimated"] | Kernel = "assumed"
    lr_weight: float | None = None
    seed: int = 0

    name: ClassVar[str]
    blur: ClassVar[str]  # its name among `ifmsr.degradation.blurs.ASSUMED`
    noise_weight: ClassVar[float]
    schedule: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if isinstance(self.kernel, str):
            check_choice("kernel", self.kernel, ("assumed", "estimated"))
        if self.lr_weight is not None and not self.lr_weight > 0:
            raise InputError("lr_weight", f"found {self.lr_weight}", "Give a number above zero")

    @property
    def source(self) -> str:
        """The origin of the kernel: ``"assumed"``, ``"estimated"`` or ``"true"``."""
        return self.kernel if isinstance(self.kernel, str) else "true"

    @property
    def default_weight(self) -> float:
        """The weight of the LR data term if `lr_weight` is None."""
        return 1.0 if self.source == "assumed" else self.noise_weight

    @property
    def weight(self) -> float:
        """The weight of the LR data term."""
        return self.default_weight if self.lr_weight is None else self.lr_weight

    @property
    def title(self) -> str:
        """The method's name, the origin of its kernel, and its LR weight if that is not 1."""
        kernel = "" if self.source == "assumed" else f", {self.source} kernel"
        weight = "" if self.weight == 1 else f", LR weight {self.weight:g}"
        return self.name + kernel + weight

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1]. Raises InputError if the response is unknown."""
        if observation.srf is None:
            raise InputError(
                "srf",
                f"{self.name} needs the RGB camera's spectral response, and it is unknown",
                "Give it, or use a method that works without, such as closed-form or a network",
            )
        lr, rgb = torch.from_numpy(observation.lr), torch.from_numpy(observation.rgb)
        srf, scale = torch.from_numpy(observation.srf), observation.scale
        kernel = self.sampling_kernel(lr, rgb, srf, scale)
        margin = -(-(len(kernel) - scale) // (2 * scale))  # LR pixels
        sr = self.fuse(continued(lr, margin), continued(rgb, margin * scale), srf, kernel)
        inside = slice(margin * scale, -margin * scale or None)
        return sr[:, inside, inside].clamp(0, 1).numpy()

    def sampling_kernel(self, lr: Tensor, rgb: Tensor, srf: Tensor, scale: int) -> Tensor:
        """The sampling kernel that the method uses for these images, (k, k) float32."""
        if not isinstance(self.kernel, str):
            return torch.from_numpy(self.kernel).float()
        if self.kernel == "assumed":
            return torch.from_numpy(assumed_blur(self.blur, scale)).float()
        return estimate_kernel(torch.tensordot(srf, lr, dims=1), rgb, scale)

    def fuse(self, lr: Tensor, rgb: Tensor, srf: Tensor, kernel: Tensor) -> Tensor:
        """(B, h, w), (3, H, W), (3, B), (k, k) -> (B, H, W), not clipped."""
        raise NotImplementedError


def continued(image: Tensor, margin: int) -> Tensor:
    """(C, H, W) -> (C, H + 2 margin, W + 2 margin), padded with the border pixels."""
    return F.pad(image[None], (margin,) * 4, mode="replicate")[0]


@dataclass(frozen=True)
class TrueKernel:
    """A non-blind method with each observation's true kernel (see `ifmsr.methods.base.Oracle`)."""

    method: NonBlind

    schedule: ClassVar[str] = ""

    @property
    def title(self) -> str:
        """The method's title with a true kernel."""
        return self.with_kernel(np.ones((1, 1))).title

    def with_kernel(self, kernel: Kernel) -> NonBlind:
        """The method for observations with this sampling kernel."""
        return replace(self.method, kernel=kernel)

    def __call__(self, observation: Observation) -> Array:
        """Raise InputError: an observation does not contain the true kernel."""
        raise InputError(
            "kernel",
            f"{self.title}: the true kernel was not given",
            "Call with_kernel(kernel) on simulated data",
        )

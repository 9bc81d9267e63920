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
    """A training-free method that needs the spectral response and a sampling kernel (see `ifmsr.degradation.blurs`).

    Both methods assume periodic images. Real ones are not, so both images are extended by their border pixels, by
    as many LR pixels as the kernel reaches beyond a block, and the result is cropped; this is our addition.

    Attributes
    ----------
    kernel : ``"assumed"``, the blur that the method's authors publish with it, whatever the observation's is;
        ``"estimated"``, kernel and shift as `ifmsr.degradation.kernels.estimate_kernel` finds them; or a
        kernel (k, k), the true one. The `title` tells the three apart.
    lr_weight : weight of the LR data term against the RGB data term. Both methods are published with 1 and
        without noise. Default: 1 for the assumed blur, `noise_weight` for the other kernels, because with 1 a
        method that knows the kernel deconvolves the LR cube's noise. A weight other than 1 shows in the `title`.
    seed : of the clustering.
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
        """Where the kernel comes from: ``"assumed"``, ``"estimated"`` or ``"true"``."""
        return self.kernel if isinstance(self.kernel, str) else "true"

    @property
    def default_weight(self) -> float:
        """The weight of the LR data term unless another one is asked for."""
        return 1.0 if self.source == "assumed" else self.noise_weight

    @property
    def weight(self) -> float:
        """The weight of the LR data term."""
        return self.default_weight if self.lr_weight is None else self.lr_weight

    @property
    def title(self) -> str:
        """The method's name, where its kernel comes from, and a weight other than the published one."""
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
        """(k, k) float32: the kernel that the method takes for that of these images."""
        if not isinstance(self.kernel, str):
            return torch.from_numpy(self.kernel).float()
        if self.kernel == "assumed":
            return torch.from_numpy(assumed_blur(self.blur, scale)).float()
        return estimate_kernel(torch.tensordot(srf, lr, dims=1), rgb, scale)

    def fuse(self, lr: Tensor, rgb: Tensor, srf: Tensor, kernel: Tensor) -> Tensor:
        """(B, h, w), (3, H, W), (3, B), (k, k) -> (B, H, W), not clipped."""
        raise NotImplementedError


def continued(image: Tensor, margin: int) -> Tensor:
    """(C, H, W) -> (C, H + 2 margin, W + 2 margin), the border pixels repeated."""
    return F.pad(image[None], (margin,) * 4, mode="replicate")[0]


@dataclass(frozen=True)
class TrueKernel:
    """A non-blind method that is given each observation's true kernel (see `ifmsr.methods.base.Oracle`)."""

    method: NonBlind

    schedule: ClassVar[str] = ""

    @property
    def title(self) -> str:
        """The title of the method with a true kernel."""
        return self.with_kernel(np.ones((1, 1))).title

    def with_kernel(self, kernel: Kernel) -> NonBlind:
        """The method for observations of this sampling kernel."""
        return replace(self.method, kernel=kernel)

    def __call__(self, observation: Observation) -> Array:
        """Raises InputError: an observation alone does not hold the true kernel."""
        raise InputError(
            "kernel",
            f"{self.title}: the true kernel was not given",
            "Call with_kernel(kernel) on simulated data",
        )

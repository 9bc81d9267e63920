"""Interfaces of methods: the protocol `Method`, and `Network`, the base class of learned methods."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifmsr.degradation.blurs import Kernel
from ifmsr.errors import InputError, InputWarning, whole
from ifmsr.fields import check_fields
from ifmsr.precision import Precision
from ifmsr.registry import resolve
from ifmsr.scenes.scene import Array, Observation, Scene


class Method(Protocol):
    """A super-resolution method: a callable that maps an `Observation` to a high-resolution cube.

    Attributes
    ----------
    title : the name in tables and figures.
    schedule : how it was trained; "" for training-free methods.
    """

    @property
    def title(self) -> str: ...

    @property
    def schedule(self) -> str: ...

    def __call__(self, observation: Observation) -> Array:
        """The HR cube (B, H, W), float32 in [0, 1], of an observation (B, h, w) and (3, H, W), which is not changed."""
        ...


@runtime_checkable
class Oracle(Protocol):
    """A method that needs each observation's true point spread function (PSF), which is unknown for real images.

    An evaluation on simulated data passes the PSF, and the method's title says so.
    """

    def with_kernel(self, kernel: Kernel) -> Method:
        """The method for observations with this `kernel` (see `ifmsr.degradation.blurs`)."""
        ...


@runtime_checkable
class RunsOnDevices(Protocol):
    """A training-free method that can also compute on a GPU."""

    def on(self, device: str | None) -> Method:
        """The method on `device`, by default the GPU if there is one. Raises InputError if there is no such device."""
        ...


@runtime_checkable
class PredictsError(Protocol):
    """A method that also predicts the error of its result."""

    def with_error(self, observation: Observation) -> tuple[Array, Array]:
        """The HR cube (B, H, W) and each pixel's expected absolute error (H, W), averaged over the bands."""
        ...


class Samples(Protocol):
    """Training samples of a network: tuples of tensors, the arguments of its `loss`; the truth (B, H, W) is the last.

    Sample ``epoch * len(self) + number`` depends on the configuration alone, so a resumed training gets the same ones.
    """

    def __len__(self) -> int:
        """The number of samples per epoch."""
        ...

    def __getitem__(self, index: int) -> tuple[Tensor, ...]: ...


class Network(nn.Module):
    """Base class of the networks of learned methods.

    ``net(lr, rgb)`` maps (N, B, h, w) and (N, 3, H, W) to (N, B, H, W), not clipped. A subclass needs a `title`, a
    constructor that takes `bands` and `scale` and sets `config`, and `forward`. It overrides `run`, `samples` or `loss`
    if it is applied or trained in another way.

    Attributes
    ----------
    title : the name in tables.
    bandwise : whether it processes each band separately, so that bands can be chosen, batched and tiled (see `IFMSR`).
        Its parameters then do not depend on the number of bands; otherwise its configuration has a field `bands`.
    scale_free : whether one network serves every scale and number of bands (see `SubspaceNet`); its configuration then
        has neither.
    blockwise : whether a block of a large image is solved as in the whole (see `ifmsr.inference.blocks`).
    config : a frozen dataclass, with a field `scale` unless `scale_free`, from which `build` creates the network again.
        If a subclass annotates it (``config: MyConfig``), training options are checked against its fields.
    """

    title: ClassVar[str]
    bandwise: ClassVar[bool] = False
    scale_free: ClassVar[bool] = False
    blockwise: ClassVar[bool] = False
    config: Any

    @classmethod
    def build(cls, **config: Any) -> Self:
        """Create a network from the entries of its configuration. Raises InputError if it sets no `config`."""
        net = cls(**config)
        if not is_dataclass(getattr(net, "config", None)):
            problem = "its constructor sets no config, from which it can be built again"
            raise InputError(f"network {cls.__name__}", problem, "Set self.config = CubeConfig(bands, scale)")
        return net

    def start_from(self, scenes: Sequence[Scene]) -> None:
        """Initialise the network from the training scenes before the first step; does nothing by default."""

    def start_with(self, trained: "Network") -> None:
        """Copy the weights of a trained network; of one for another number of bands, those of the same shape.

        An InputWarning says how many. Raises RuntimeError if names or shapes differ; for another number of bands, if no
        shape is the same.
        """
        weights, own = trained.state_dict(), self.state_dict()
        made_for, bands = (getattr(net.config, "bands", 0) for net in (trained, self))
        if made_for != bands and type(trained) is type(self):
            fitting = {
                name: weights[name] for name in own.keys() & weights if own[name].shape == weights[name].shape
            }
            if not fitting:
                raise RuntimeError(f"made for {made_for} bands, and no layer has the same shape for {bands}")
            doubt = (
                f"start: weights for {made_for} bands: {len(fitting)} of {len(own)} tensors have the same shape for "
                f"{bands} bands, the others start anew"
            )
            warnings.warn(doubt, InputWarning, stacklevel=2)
            weights = own | fitting
        self.load_state_dict(weights)

    def loss(self, lr: Tensor, rgb: Tensor, truth: Tensor, bands: Tensor | None = None) -> Tensor:
        """The training loss; by default the mean absolute error.

        Parameters
        ----------
        lr, rgb, truth : (N, B, h, w), (N, 3, H, W) and (N, B, H, W), in [0, 1].
        bands : indices of the bands that enter the loss, for `bandwise` networks; None: all.
        """
        if bands is None:
            return F.l1_loss(self(lr, rgb).float(), truth)
        return F.l1_loss(self(lr, rgb, bands=bands).float(), truth[:, bands])

    @classmethod
    def samples(cls, scenes: Sequence[Scene], config: Any) -> Samples:
        """The training samples; by default degraded patches of the scenes.

        `config` is an `ifmsr.training.TrainConfig`.
        """
        return resolve("ifmsr.training.patches:Patches")(scenes, config)

    def run(
        self,
        observation: Observation,
        device: torch.device,
        precision: Precision = "float32",
        memory: int | None = None,
    ) -> Array:
        """Super-resolve one whole observation; by default in one pass.

        `ifmsr.inference.run_network` calls it after moving the network to `device`.

        Parameters
        ----------
        precision : of the convolutions.
        memory : bytes that feature maps may take, for networks that process an image in parts.

        Returns
        -------
        (B, H, W) float32 in [0, 1].
        """
        lr, rgb = (torch.from_numpy(image)[None].to(device) for image in (observation.lr, observation.rgb))
        check_pair(lr, rgb, getattr(self.config, "bands", lr.shape[1]), observation.scale)
        with torch.autocast(device.type, torch.bfloat16, precision == "bfloat16"):
            sr = self(lr, rgb)[0]
        return sr.float().clamp(0, 1).cpu().numpy()

    def with_error(
        self, observation: Observation, device: torch.device, precision: Precision = "float32"
    ) -> tuple[Array, Array]:
        """The result of `run`, and each pixel's expected absolute error (H, W), averaged over the bands.

        Raises InputError if the network does not predict its error.
        """
        raise InputError("method", f"{self.title} does not predict its error", "Use subspace-net")

    @classmethod
    def method_title(cls, variant: str) -> str:
        """The title of the method that `as_method` returns."""
        return cls.title

    def as_method(self, trained: Method, variant: str, device: str | None, precision: Precision) -> Method:
        """The method that uses this trained network; by default the network alone.

        Parameters
        ----------
        trained : the network alone, as a method.
        variant : the part of the method's name after the network's: ``"fusion"`` in ``ual-fusion``, "" in ``ual``.
        device : where it runs; None: the GPU if there is one.
        precision : of the convolutions.
        """
        return trained


@dataclass(frozen=True)
class CubeConfig:
    """Configuration of a network that takes all bands at once: the number of `bands` and the `scale`."""

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
    """Raise InputError unless the shapes are (N, bands, h, w) and (N, 3, scale h, scale w)."""
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

"""A trained network as a method."""

from dataclasses import dataclass, field

from ifmsr.errors import InputError
from ifmsr.inference.networks import run_network, run_with_error
from ifmsr.methods.base import Network
from ifmsr.precision import Precision
from ifmsr.scenes.scene import Array, Observation


@dataclass
class Learned:
    """A trained network as a Method.

    `schedule` says how it was trained; `fingerprint` (start of the weights' SHA-256) identifies the training.
    """

    net: Network
    schedule: str
    fingerprint: str
    device: str | None = field(default=None, compare=False)
    precision: Precision = "float32"
    memory: int | None = field(default=None, compare=False)

    @property
    def title(self) -> str:
        """The network's printed name."""
        return self.net.title

    @property
    def blockwise(self) -> bool:
        """Whether the network solves a block of a large image as in the whole."""
        return self.net.blockwise

    def with_error(self, observation: Observation) -> tuple[Array, Array]:
        """The cube (B, H, W), and the absolute error (H, W) that the network expects in each pixel (band mean).

        Raises InputError for networks that do not predict it.
        """
        self._check_scale(observation)
        return run_with_error(self.net, observation, self.device, self.precision)

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1]. Raises InputError for another scale than trained."""
        self._check_scale(observation)
        return run_network(self.net, observation, self.device, self.precision, self.memory)

    def _check_scale(self, observation: Observation) -> None:
        if not self.net.scale_free and observation.scale != self.net.config.scale:
            raise InputError(
                "scale",
                f"{self.title} was trained for x{self.net.config.scale}",
                f"Use weights for x{observation.scale}",
            )

"""What a method is: three lines, so that classical and learned ones stand side by side."""

from typing import Protocol

from ifmsr.scenes.scene import Array, Observation


class Method(Protocol):
    """Turns an Observation into a high-resolution cube.

    `title` is the name that tables and figures print, `schedule` says how it was trained ("" if it was not).
    """

    title: str
    schedule: str

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w) and (3, H, W) in, (B, H, W) float32 in [0, 1] out; the observation stays as it was."""
        ...

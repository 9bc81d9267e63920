"""A method behind the assessment that `ifmsr.super_resolve` makes of every pair: what evaluations call ``auto``."""

from dataclasses import dataclass
from typing import ClassVar

from ifmsr.assessment import Assessment, assess_observation
from ifmsr.methods.base import Method
from ifmsr.methods.bicubic import Bicubic
from ifmsr.scenes.scene import Array, Observation


@dataclass(frozen=True)
class Assessed:
    """A method for guides as cameras deliver them: each pair is assessed and prepared first."""

    method: Method

    title: ClassVar[str] = "Auto"

    @property
    def schedule(self) -> str:
        """How the method behind it was trained."""
        return self.method.schedule

    @property
    def fingerprint(self) -> str:
        """The weights of the method behind it."""
        return str(getattr(self.method, "fingerprint", ""))

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1]."""
        assessment = assess_observation(observation)
        return usable_method(self.method, assessment)(assessment.observation)


def usable_method(method: Method, assessment: Assessment) -> Method:
    """`method`, or bicubic interpolation of the cube where the guide shows something else than the cube."""
    return method if assessment.related else Bicubic()

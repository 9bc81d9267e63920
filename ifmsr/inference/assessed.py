"""A method behind the assessment that `ifmsr.super_resolve` makes of every pair: what evaluations call ``auto``."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ifmsr.assessment import Assessment, assess_observation
from ifmsr.errors import InputError
from ifmsr.methods.base import Method, PredictsError
from ifmsr.methods.closed_form.chain import ClosedForm
from ifmsr.precision import float32_by_default
from ifmsr.scenes.scene import Array, Observation


@dataclass(frozen=True)
class Assessed:
    """A method for guides as cameras deliver them: each pair is assessed and prepared first."""

    method: Method

    title: ClassVar[str] = "Auto"

    @classmethod
    def of(cls, method: Method) -> "Assessed":
        """`method` behind an assessment; ``auto`` already is."""
        return method if isinstance(method, cls) else cls(method)

    @property
    def schedule(self) -> str:
        """How the method behind it was trained."""
        return self.method.schedule

    @property
    def fingerprint(self) -> str:
        """The weights of the method behind it."""
        return str(getattr(self.method, "fingerprint", ""))

    @property
    def blockwise(self) -> bool:
        """Whether the method behind it solves a block of a large image as in the whole."""
        return bool(getattr(self.method, "blockwise", False))

    def __call__(self, observation: Observation) -> Array:
        """(B, h, w), (3, H, W) -> (B, H, W) in [0, 1]."""
        return self.run(assess_observation(observation))

    def run(self, assessment: Assessment) -> Array:
        """(B, H, W) on the guide's pixels; the cube upsampled alone, by `ClosedForm`, if the guide is unrelated."""
        method = self.method if assessment.related else ClosedForm()
        return assessment.on_guide(method(assessment.observation))

    def run_with_error(self, assessment: Assessment) -> tuple[Array, Array]:
        """Likewise, and each pixel's expected absolute error (H, W): NaN, unknown, if the guide is unrelated.

        Raises InputError if the method does not predict its error.
        """
        if not isinstance(self.method, PredictsError):
            raise InputError(
                "with_error", f"{self.method.title} does not predict its error", "Use subspace-net"
            )
        if assessment.related:
            sr, error = self.method.with_error(assessment.observation)
            return assessment.on_guide(sr), assessment.on_guide(error[None])[0]
        sr = self.run(assessment)
        return sr, np.full(sr.shape[1:], np.nan, np.float32)


@float32_by_default()
def run_assessed(method: Assessed, assessment: Assessment, with_error: bool = False) -> tuple[Array, ...]:
    """The cube (B, H, W), and `with_error` each pixel's expected absolute error (H, W).

    Pixels without data are what they were in the delivered cube: NaN if they were marked as invalid or lie beyond it,
    and otherwise black or saturated.

    Raises InputError if the method does not predict its error.
    """
    results: tuple[Array, ...] = (
        method.run_with_error(assessment) if with_error else (method.run(assessment),)
    )
    measured = assessment.measured
    if measured is None:
        return results
    results = tuple(np.where(measured, result, np.float32(np.nan)) for result in results)
    if assessment.grid is None:
        delivered = assessment.delivered
        valid, scale = delivered.lr_valid, delivered.scale
        kept = ~measured if valid is None else ~measured & valid.repeat(scale, 0).repeat(scale, 1)
        values = delivered.lr.repeat(scale, 1).repeat(scale, 2)
        results = (np.where(kept, values, results[0]), *results[1:])
    return results

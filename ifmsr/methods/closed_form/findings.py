"""What is found once in a whole image, and then holds for every block of it."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from ifmsr.devices import CPU, here, moved
from ifmsr.scenes.scene import Observation

Finding = TypeVar("Finding")


class Findings:
    """Findings by name: found in the first image that they are asked of, the same for all later ones.

    Given to the steps of a method with a whole image, or a sample of it, and then with its blocks, they make the
    results of the blocks those of the whole. They are kept on the CPU and given on PyTorch's default device.

    Examples
    --------
    >>> found = Findings()
    >>> found.once("brightest", lambda: 0.8), found.once("brightest", lambda: 0.3)
    (0.8, 0.8)
    """

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return here(self._known[name])

    def __setitem__(self, name: str, finding: object) -> None:
        self._known[name] = moved(finding, CPU)

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def once(self, name: str, find: Callable[[], Finding]) -> Finding:
        """What is known by this name, or else what `find` gives, which is known from then on."""
        if name not in self:
            self[name] = find()
        known: Finding = self[name]
        return known


@dataclass(frozen=True)
class Block(Observation):
    """A part of an image, or a sample of it, with what was found in that image; a copy by `replace` has not."""

    found: Findings = field(init=False, repr=False, compare=False)

    @classmethod
    def of(cls, observation: Observation, found: Findings) -> "Block":
        """The same images with findings."""
        made = cls(**{part.name: getattr(observation, part.name) for part in fields(Observation)})
        object.__setattr__(made, "found", found)
        return made


def findings_of(observation: Observation) -> Findings:
    """A block's findings; none yet for an image of its own."""
    return observation.found if isinstance(observation, Block) else Findings()

"""Training samples: patches of truth scenes, augmented and freshly degraded (paper, section IV).

A sample is a pure function of (seed, epoch, number in the epoch), so any number of workers in any order, and
any resumed run, sees the same ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ifmsr.degradation.protocol import Degradation, draw_degradation
from ifmsr.errors import InputError
from ifmsr.scenes.scene import Array, Scene
from ifmsr.training.config import TrainConfig

Pixel = TypeVar("Pixel", bound=np.generic)


class Patches(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """`crops_per_scene` random crops of every scene, shuffled anew each epoch.

    Sample ``epoch * len(self) + number`` is (lr (B, s / r, s / r), rgb (3, s, s), truth (B, s, s)), s the patch's
    side. The degradation is a fresh draw of the preset; the colour image is made from the crop by the scene's
    own rule.

    Raises
    ------
    InputError : there is no scene, a scene is smaller than a patch, or band counts differ.
    """

    def __init__(self, scenes: Sequence[Scene], config: TrainConfig):
        side = config.side
        if not scenes:
            raise InputError("training scenes", "there are none", "Name at least one")
        for scene in scenes:
            if min(scene.cube.shape[1:]) < side:
                raise InputError(
                    f"scene {scene.name}",
                    f"{scene.cube.shape[1:]} pixels are smaller than a training patch of {side} x {side}",
                    "Leave it out of training or use a smaller scale",
                )
            if scene.cube.shape[0] != scenes[0].cube.shape[0]:
                raise InputError(
                    f"scene {scene.name}",
                    f"{scene.cube.shape[0]} bands, but {scenes[0].name} has {scenes[0].cube.shape[0]}",
                    "Train on scenes of one sensor at a time",
                )
        self.scenes, self.config = scenes, config

    def __len__(self) -> int:
        return self.config.crops_per_scene * len(self.scenes)

    def draw(self, index: int) -> "Draw":
        """Everything random about sample `index`."""
        config, (epoch, number) = self.config, divmod(index, len(self))
        order = np.random.default_rng((config.seed, epoch)).permutation(len(self))
        scene = int(order[number]) % len(self.scenes)
        rng = np.random.default_rng((config.seed, epoch, number))
        height, width = self.scenes[scene].cube.shape[1:]
        top, left = (int(rng.integers(length - config.side + 1)) for length in (height, width))
        moves = Moves.draw(rng) if config.augment else Moves()
        words = (config.seed, epoch, number, 1)
        degradation = draw_degradation(config.scale, config.degradation, words, config.alignment)
        return Draw(scene, top, left, moves, degradation)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        draw, side = self.draw(index), self.config.side
        crop = self.scenes[draw.scene].crop(draw.top, draw.left, side, side)
        truth, rgb = draw.moves(crop.cube), draw.moves(crop.rgb())
        lr = draw.degradation(truth, self.config.scale)
        return torch.from_numpy(lr), torch.from_numpy(rgb), torch.from_numpy(truth)


@dataclass(frozen=True)
class Moves:
    """Flips, then a roll by half the height, then quarter turns (counterclockwise) of square images."""

    flip_down: bool = False
    flip_across: bool = False
    roll: bool = False
    turns: int = 0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Flips, a roll, turns by +90 and -90 degrees, each with probability 1/2."""
        flip_down, flip_across, roll, turn_left, turn_right = (rng.random(5) < 0.5).tolist()
        return cls(flip_down, flip_across, roll, turn_left - turn_right)

    def __call__(self, image: NDArray[Pixel]) -> NDArray[Pixel]:
        """(..., s, s) -> the same shape, contiguous."""
        if self.flip_down:
            image = image[..., ::-1, :]
        if self.flip_across:
            image = image[..., ::-1]
        if self.roll:
            image = np.roll(image, image.shape[-2] // 2, axis=-2)
        return np.ascontiguousarray(np.rot90(image, self.turns, axes=(-2, -1)))


@dataclass(frozen=True)
class Draw:
    """One sample before its pixels are looked at: number of the scene, place of the crop, `moves`, `degradation`."""

    scene: int
    top: int
    left: int
    moves: Moves
    degradation: Degradation


def augment(truth: Array, rgb: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """The same drawn `Moves` for a cube and its colour image."""
    moves = Moves.draw(rng)
    return moves(truth), moves(rgb)

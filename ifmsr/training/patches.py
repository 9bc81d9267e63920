"""Training samples: random patches of the scenes, augmented and degraded (paper, section IV).

A sample is a pure function of (seed, epoch, number in the epoch). So the samples are the same for any number of workers
and for a resumed run.
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
    side. Every sample has a new random degradation of the preset; the RGB image is made from the crop by the scene's
    SRF or RGB bands.

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

    def draw(self, index: int) -> "SampleParameters":
        """The random parameters of sample `index`."""
        config, (epoch, number) = self.config, divmod(index, len(self))
        order = np.random.default_rng((config.seed, epoch)).permutation(len(self))
        scene = int(order[number]) % len(self.scenes)
        rng = np.random.default_rng((config.seed, epoch, number))
        height, width = self.scenes[scene].cube.shape[1:]
        top, left = (int(rng.integers(length - config.side + 1)) for length in (height, width))
        augmentation = Augmentation.draw(rng) if config.augment else Augmentation()
        words = (config.seed, epoch, number, 1)
        degradation = draw_degradation(config.scale, config.degradation, words, config.alignment)
        return SampleParameters(scene, top, left, augmentation, degradation)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        sample, side = self.draw(index), self.config.side
        crop = self.scenes[sample.scene].crop(sample.top, sample.left, side, side)
        truth, rgb = sample.augmentation(crop.cube), sample.augmentation(crop.rgb())
        lr = sample.degradation(truth, self.config.scale)
        return torch.from_numpy(lr), torch.from_numpy(rgb), torch.from_numpy(truth)


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of square images: flips, then a roll by half the height, then counterclockwise quarter turns."""

    flip_down: bool = False
    flip_across: bool = False
    roll: bool = False
    turns: int = 0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Random flips, a roll, turns by +90 and -90 degrees, each with probability 1/2."""
        flip_down, flip_across, roll, turn_left, turn_right = (rng.random(5) < 0.5).tolist()
        return cls(flip_down, flip_across, roll, turn_left - turn_right)

    def __call__(self, image: NDArray[Pixel]) -> NDArray[Pixel]:
        """Apply to an image (..., s, s). Returns a contiguous array of the same shape."""
        if self.flip_down:
            image = image[..., ::-1, :]
        if self.flip_across:
            image = image[..., ::-1]
        if self.roll:
            image = np.roll(image, image.shape[-2] // 2, axis=-2)
        return np.ascontiguousarray(np.rot90(image, self.turns, axes=(-2, -1)))


@dataclass(frozen=True)
class SampleParameters:
    """The random parameters of one sample: the scene's number, the crop's position, augmentation and degradation."""

    scene: int
    top: int
    left: int
    augmentation: Augmentation
    degradation: Degradation


def augment(truth: Array, rgb: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Apply one random augmentation to a cube and its RGB image."""
    augmentation = Augmentation.draw(rng)
    return augmentation(truth), augmentation(rgb)

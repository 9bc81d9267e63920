"""Training samples: patches of truth scenes, augmented and freshly degraded (paper, section IV).

A sample is a pure function of (seed, epoch, number in the epoch), so any number of workers in any order, and
any resumed run, sees the same ones.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ifmsr.degradation import draw_degradation
from ifmsr.errors import InputError
from ifmsr.scenes.scene import Array, Scene
from ifmsr.training.config import TrainConfig


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

    def scene_of(self, epoch: int, number: int) -> Scene:
        """The scene that a sample of an epoch is cut from."""
        order = np.random.default_rng((self.config.seed, epoch)).permutation(len(self))
        return self.scenes[order[number] % len(self.scenes)]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        config, (epoch, number) = self.config, divmod(index, len(self))
        scene = self.scene_of(epoch, number)
        rng = np.random.default_rng((config.seed, epoch, number))
        top, left = (int(rng.integers(length - config.side + 1)) for length in scene.cube.shape[1:])
        crop = scene.crop(top, left, config.side, config.side)
        truth, rgb = crop.cube, crop.rgb()
        if config.augment:
            truth, rgb = augment(truth, rgb, rng)
        words = (config.seed, epoch, number, 1)
        degradation = draw_degradation(config.scale, config.degradation, words, config.alignment)
        lr = degradation(truth, config.scale)
        return torch.from_numpy(lr), torch.from_numpy(rgb), torch.from_numpy(truth)


def augment(truth: Array, rgb: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Flips, a roll by half the height, turns by +90 and -90 degrees, each with probability 1/2."""
    both = np.concatenate([truth, rgb])
    flip_down, flip_across, roll, turn_left, turn_right = rng.random(5) < 0.5
    if flip_down:
        both = both[:, ::-1]
    if flip_across:
        both = both[:, :, ::-1]
    if roll:
        both = np.roll(both, both.shape[1] // 2, axis=1)
    both = np.rot90(both, int(turn_left) - int(turn_right), axes=(1, 2))
    return np.ascontiguousarray(both[:-3]), np.ascontiguousarray(both[-3:])

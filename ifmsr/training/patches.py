"""Training samples: patches of truth scenes, augmented and freshly degraded (paper, section IV).

A sample is a pure function of (seed, epoch, number in the epoch), so any number of workers in any order, and
any resumed run, sees the same ones.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ifmsr.degradation import Alignment, Preset, draw_degradation
from ifmsr.errors import InputError
from ifmsr.scenes.scene import Array, Scene

LR_SIDE = 12


class Patches(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """`crops_per_scene` random crops of every scene, shuffled anew each epoch.

    Sample ``epoch * len(self) + number`` is (lr (B, 12, 12), rgb (3, 12r, 12r), truth (B, 12r, 12r)). The
    degradation is a fresh draw of `preset`; the colour image is made from the crop by the scene's own rule.

    Raises
    ------
    InputError : there is no scene, a scene is smaller than a patch, or band counts differ.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        scale: int,
        crops_per_scene: int,
        seed: int,
        alignment: Alignment,
        preset: Preset = "train",
    ):
        side = LR_SIDE * scale
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
        self.scenes, self.scale, self.seed = scenes, scale, seed
        self.alignment, self.preset = alignment, preset
        self.crops_per_scene, self.side = crops_per_scene, side

    def __len__(self) -> int:
        return self.crops_per_scene * len(self.scenes)

    def scene_of(self, epoch: int, number: int) -> Scene:
        """The scene that a sample of an epoch is cut from."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self))
        return self.scenes[order[number] % len(self.scenes)]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        epoch, number = divmod(index, len(self))
        scene = self.scene_of(epoch, number)
        rng = np.random.default_rng((self.seed, epoch, number))
        top, left = (int(rng.integers(length - self.side + 1)) for length in scene.cube.shape[1:])
        crop = scene.crop(top, left, self.side, self.side)
        truth, rgb = augment(crop.cube, crop.rgb(), rng)
        degradation = draw_degradation(self.scale, self.preset, (self.seed, epoch, number, 1), self.alignment)
        lr = degradation(truth, self.scale)
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

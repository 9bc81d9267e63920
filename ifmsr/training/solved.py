"""Training samples for SubspaceNet: crops of scenes super-resolved by the training-free method ``closed-form``.

``closed-form`` needs whole images. So in every epoch each scene is degraded and super-resolved once, with a random
scale, kernel, noise level, spectral response function (SRF) and choice of bands, and all crops are cut from the result.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from ifmsr.degradation.protocol import draw_degradation
from ifmsr.errors import InputError
from ifmsr.methods.subspace_net.network import GRID, Prepared, prepare
from ifmsr.scenes.scene import Array, Observation, Scene
from ifmsr.training.config import TrainConfig
from ifmsr.training.motion import moving
from ifmsr.training.patches import Augmentation, Patches

USUAL_SCALES, OTHER_SCALES, USUAL = (4, 8), (2, 3, 6, 12, 16), 0.8
SCALES = (*USUAL_SCALES, *OTHER_SCALES)
LEAST_BANDS = 8
LEAST_LEVEL = 1e-4  # lower bound of the mean absolute error that the loss is normalised by
WIDE = 0.4  # probability of a degradation outside the test family
MOVING = 0.25  # probability that part of the scene moves from band to band


class SolvedPatches(Dataset[tuple[Tensor, ...]]):
    """`crops_per_scene` crops of every scene in random order; each epoch degrades and super-resolves the scenes again.

    Sample ``epoch * len(self) + number`` is (smooth, detail, conditions, to_bands, closed, level, truth): crops of
    `Prepared`, the mean absolute error of ``closed-form``, and a crop of the truth in the unit of `Prepared`. A scene
    with fewer bands than others is padded with zeros. All results of an epoch are kept in memory: about 0.1 GB per CAVE
    scene.

    With the degradation ``"test"`` all degradations are of the test family and the SRF is known. With ``"train"`` a
    share of `WIDE` is of the training family in either alignment, with the SRF known, that of another camera or
    unknown, or with fewer bands; and in a share of `MOVING`, part of the scene moves from band to band
    (`ifmsr.training.motion`).

    Raises
    ------
    InputError : as `Patches`; the patch's side is no multiple of 4, or a scene cropped to a multiple of some scale is
        smaller than a patch.
    """

    def __init__(self, scenes: Sequence[Scene], config: TrainConfig):
        self.plain = Patches(scenes, config)
        if config.side % GRID:
            raise InputError("patch_side", f"{config.side} is no multiple of {GRID}", "Give one")
        for scene in scenes:
            least = min(side - side % scale for side in scene.cube.shape[1:] for scale in SCALES)
            if least < config.side:
                raise InputError(
                    f"scene {scene.name}",
                    f"cropped to a multiple of a scale it has {least} pixels, less than a patch of {config.side}",
                    "Leave it out of training or give a smaller patch_side",
                )
        self.scenes, self.config = scenes, config
        self.epoch = -1
        self.solved: dict[int, tuple[Prepared, Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.plain)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        epoch, number = divmod(index, len(self))
        order = np.random.default_rng((self.config.seed, epoch)).permutation(len(self))
        prepared, level, truth = self.solve(epoch, int(order[number]) % len(self.scenes))
        rng = np.random.default_rng((self.config.seed, epoch, number))
        side = self.config.side
        top, left = (int(rng.integers(length - side + 1)) for length in truth.shape[1:])
        window = (..., slice(top, top + side), slice(left, left + side))
        smooth, detail, closed, truth = (
            image[window].contiguous() for image in (prepared.smooth, prepared.detail, prepared.closed, truth)
        )
        return smooth, detail, prepared.conditions, prepared.to_bands, closed, level, truth

    def solve(self, epoch: int, number: int) -> tuple[Prepared, Tensor, Tensor]:
        """Scene `number` in this epoch: network inputs, mean absolute error of ``closed-form``, and truth (B, H, W).

        All in the unit of the network's inputs, in which the LR cube's largest value is 1.
        """
        if epoch != self.epoch:
            self.epoch, self.solved = epoch, {}
        if number not in self.solved:
            words = (self.config.seed, epoch, number, 7)
            truth, observation = observe(self.scenes[number], self.config, words)
            missing = len(self.scenes[number].cube) - len(truth)
            prepared = prepare(observation)
            truth = truth / np.float32(prepared.solution.pair.lr_unit)
            level = (prepared.closed - torch.from_numpy(truth)).abs().mean().clamp_min(LEAST_LEVEL)
            self.solved[number] = (
                prepared._replace(
                    to_bands=F.pad(prepared.to_bands, (0, 0, 0, missing)),
                    closed=F.pad(prepared.closed, (0, 0, 0, 0, 0, missing)),
                ),
                level,
                F.pad(torch.from_numpy(truth), (0, 0, 0, 0, 0, missing)),
            )
        return self.solved[number]


def observe(scene: Scene, config: TrainConfig, words: tuple[int, ...]) -> tuple[Array, Observation]:
    """A truth (B, H, W) made from `scene` by augmentation, motion and a choice of bands; and its observation."""
    rng = np.random.default_rng(words)
    scale = int(rng.choice(USUAL_SCALES if rng.random() < USUAL else OTHER_SCALES))
    scene = scene.crop_to_multiple(scale)
    augmentation = Augmentation.draw(rng) if config.augment else Augmentation()
    augmentation = replace(augmentation, roll=False)  # a roll would leave a seam
    cube, rgb, srf = augmentation(scene.cube), augmentation(scene.rgb()), scene.srf
    wide = config.degradation != "test" and rng.random() < WIDE
    if srf is not None and config.degradation != "test" and rng.random() < MOVING:
        cube = moving(cube, rng)
        rgb = np.tensordot(srf, cube, axes=1)
    if wide:
        alignment = str(rng.choice(["released", "centred"]))
        degradation = draw_degradation(scale, "train", (*words, 1), alignment)  # type: ignore[arg-type]
        kind = rng.choice(["known", "other", "unknown", "bands"], p=[0.4, 0.3, 0.15, 0.15])
        if kind == "other" and srf is not None:
            srf = another_camera(srf, rng)
            rgb = np.tensordot(srf, cube, axes=1).astype(np.float32)
        elif kind != "known":
            srf = None
        if kind == "bands" and len(cube) > LEAST_BANDS:
            kept = int(rng.integers(LEAST_BANDS, len(cube)))
            cube = np.ascontiguousarray(cube[np.sort(rng.permutation(len(cube))[:kept])])
    else:
        degradation = draw_degradation(scale, "test", (*words, 1), config.alignment)
    return cube, Observation(degradation(cube, scale), rgb.clip(0, 1), scale, srf)


def another_camera(srf: Array, rng: np.random.Generator) -> Array:
    """An SRF (3, B) whose curves are shifted by up to two bands and up to 30 % wider or narrower.

    A curve that would fall outside the bands stays unchanged.
    """
    bands = np.arange(srf.shape[1])
    curves = []
    for curve in srf:
        centre = (curve * bands).sum()
        positions = centre + (bands - centre - rng.uniform(-2, 2)) * np.exp(rng.uniform(-0.25, 0.25))
        moved = np.interp(positions, bands, curve, left=0, right=0)
        curves.append(moved if moved.sum() > 0.1 else curve)
    changed = np.stack(curves)
    return (changed / changed.sum(1, keepdims=True)).astype(np.float32)

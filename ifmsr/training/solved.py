"""Training samples of networks that start from the closed form: crops of whole scenes that it has solved.

The closed form needs whole images, which are worth more than one crop each. So every epoch degrades and solves every
scene once, with its own scale, kernel, noise, response and bands, and cuts all its crops from that.
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
from ifmsr.training.patches import Moves, Patches

USUAL_SCALES, OTHER_SCALES, USUAL = (4, 8), (2, 3, 6, 12, 16), 0.8
SCALES = (*USUAL_SCALES, *OTHER_SCALES)
LEAST_BANDS = 8
LEAST_LEVEL = 1e-4  # of an error that errors are counted relative to
WIDE = 0.4  # share of draws beyond the test family
MOVING = 0.25  # share of draws in which part of the scene moves from band to band


class SolvedPatches(Dataset[tuple[Tensor, ...]]):
    """`crops_per_scene` crops of every scene, solved anew each epoch, in random order.

    Sample ``epoch * len(self) + number`` is (smooth, detail, conditions, to_bands, closed, level, truth): crops of
    `Prepared`, its mean absolute error, and crops of the scene in the unit of `Prepared`. A scene with fewer bands than
    the others in its epoch has zeros for the missing ones. All solved scenes of an epoch are held: about 0.1 GB per
    CAVE scene.

    With the degradation ``"test"`` every draw is of the test family and the camera known. With ``"train"`` most are;
    the others are of the training family in either alignment, with some scenes seen by another camera, by an
    unknown one, or through fewer bands; and in a quarter of all draws, part of the scene moves from band to band
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
        """Scene `number` as this epoch has it, the closed form's mean absolute error, and the truth (B, H, W).

        All in the unit of the closed form's pair of images.
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
    """A truth (B, H, W) made of `scene`: turned, perhaps moving, perhaps with fewer bands; and what is seen of it."""
    rng = np.random.default_rng(words)
    scale = int(rng.choice(USUAL_SCALES if rng.random() < USUAL else OTHER_SCALES))
    scene = scene.crop_to_multiple(scale)
    moves = replace(Moves.draw(rng), roll=False) if config.augment else Moves()  # a roll's seam is no image
    cube, rgb, srf = moves(scene.cube), moves(scene.rgb()), scene.srf
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
    """(3, B) a response whose curves are shifted by up to two bands and up to 30 % wider or narrower.

    A curve that would leave the bands stays as it is.
    """
    bands = np.arange(srf.shape[1])
    curves = []
    for curve in srf:
        centre = (curve * bands).sum()
        places = centre + (bands - centre - rng.uniform(-2, 2)) * np.exp(rng.uniform(-0.25, 0.25))
        moved = np.interp(places, bands, curve, left=0, right=0)
        curves.append(moved if moved.sum() > 0.1 else curve)
    changed = np.stack(curves)
    return (changed / changed.sum(1, keepdims=True)).astype(np.float32)

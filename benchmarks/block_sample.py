"""What it costs to estimate from a sample: scenes side by side, solved in blocks and as a whole.

Sixteen training scenes of CAVE, the middle 384 x 384 pixels of each, are one image of 1536 x 1536 pixels, degraded as
one. A sample sees parts of them only, so this is a hard case; the response is unknown.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.common import cave, write_rows
from ifmsr import metrics
from ifmsr.assessment import assess_observation
from ifmsr.degradation.protocol import degrade
from ifmsr.inference.api import load_method
from ifmsr.inference.assessed import Assessed, run_assessed
from ifmsr.inference.blocks import Blocks
from ifmsr.scenes import DataSet, Scene

SCALE, ACROSS, SIDE = 4, 4, 384
METHODS = ("closed-form", "subspace-net")


def side_by_side(data: DataSet) -> Scene:
    """The scenes of the training part of ``figure4`` in one image."""
    names = data.split("figure4").train[: ACROSS**2]
    scenes = [data.load(name).crop_to_multiple(SCALE, SIDE) for name in names]
    rows = [[scene.cube for scene in scenes[first : first + ACROSS]] for first in range(0, ACROSS**2, ACROSS)]
    return Scene("side by side", np.block(rows), srf=scenes[0].srf)


def measured(name: str, scene: Scene) -> list[dict[str, Any]]:
    """PSNR and SAM of a method with estimates from the whole image and from a sample."""
    observation = replace(degrade(scene, SCALE), srf=None)
    method = load_method(name, SCALE)
    whole = run_assessed(Assessed.of(method), assess_observation(observation))[0]
    sampled = Blocks(observation.lr, observation.rgb, SCALE, method).whole()[0]
    return [
        {
            "method": name,
            "estimates": estimates,
            "psnr": metrics.psnr(scene.cube, sr),
            "sam": metrics.sam(scene.cube, sr),
        }
        for estimates, sr in (("whole image", whole), ("sample", sampled))
    ]


def main() -> None:
    """Measure both methods."""
    if (data := cave()) is not None:
        scene = side_by_side(data)
        write_rows("block_sample", [row for name in METHODS for row in measured(name, scene)])

"""What a study will cost: hours, memory and disk of each row, from measured costs and published sizes of the data."""

from collections.abc import Iterable
from dataclasses import replace
from math import ceil, prod
from typing import Any

import pandas as pd
import torch

from ifmsr.experiments.calibration import Subject, subjects
from ifmsr.experiments.costs import Costs
from ifmsr.experiments.study_rows import StudyRow
from ifmsr.scenes.sizes import Sizes, split_sizes
from ifmsr.training import TrainConfig, build_network
from ifmsr.training.state import VALIDATION_SIDE

FLOAT, HALF = 4, 2  # bytes of a number
CHECKPOINT = 3  # numbers per weight in a checkpoint: the weight and Adam's two moments
GIGABYTE = 1e9
HOUR = 3600


def plan(rows: Iterable[StudyRow], costs: Costs) -> pd.DataFrame:
    """One line per row: its name, `train_hours`, `hours` in total, `memory_gb` of its process, `disk_gb` of its folder.

    Rows are planned from the beginning, whether they are finished or not.

    Raises
    ------
    InputError : a row's costs were not measured, or its data set has no published sizes and is not here.
    """
    return pd.DataFrame([_line(row, costs) for row in rows])


def _line(row: StudyRow, costs: Costs) -> dict[str, Any]:
    sizes = split_sizes(row.data, row.split)
    stages = list(zip(subjects(row)[3:], row.stages(), strict=True))
    training = [_training(subject, config, sizes, costs) for subject, config in stages]
    evaluation = _evaluation(row, sizes, costs)
    train = sum(seconds for seconds, _, _ in training)
    start = costs.seconds("run", Subject("run"), 0, 0)
    parts = [*training, evaluation]
    return {
        "row": row.name,
        "train_hours": train / HOUR,
        "hours": (start + train + evaluation[0]) / HOUR,
        "memory_gb": max(memory for _, memory, _ in parts) / GIGABYTE,
        "disk_gb": sum(disk for _, _, disk in parts) / GIGABYTE,
    }


def _evaluation(row: StudyRow, sizes: Sizes, costs: Costs) -> tuple[float, float, float]:
    """Seconds, bytes of memory and bytes on disk of the test scenes; the observations are taken as incompressible."""
    seconds = memory = disk = 0.0
    scene, method = subjects(row)[1:3]
    for part, subject in (("scene", scene), ("method", method)):
        for side in sizes.test:
            seconds += costs.seconds(part, subject, prod(side), sizes.bands)
            memory = max(memory, 1e6 * costs.megabytes(part, subject, prod(side), sizes.bands))
    for side in sizes.test:
        disk += prod(side) * (HALF * sizes.bands + FLOAT * (3 + sizes.bands / row.scale**2))
    return seconds, memory, disk


def _training(
    subject: Subject, config: TrainConfig, sizes: Sizes, costs: Costs
) -> tuple[float, float, float]:
    """Seconds, bytes of memory and bytes on disk of one stage of a training."""
    bands, scenes = sizes.bands, len(sizes.train)
    seen, steps = config.bands_per_step or bands, 1
    if config.steps == "per-band":
        seen, steps = 1, bands
    pixels = config.batch * config.side**2
    batches = ceil(scenes * config.crops_per_scene / config.batch)
    epoch = sum(costs.seconds("epoch", subject, prod(side), bands) for side in sizes.train)
    epoch += batches * costs.seconds("samples", subject, pixels, bands)
    epoch += batches * steps * costs.seconds("step", subject, pixels, seen)
    for side in sizes.validation:
        crop = prod(min(length, VALIDATION_SIDE) for length in side)
        epoch += costs.seconds("validation", subject, crop, bands)
    memory = 1e6 * costs.megabytes("step", subject, pixels, seen) + sizes.training_bytes
    with torch.device("meta"):  # shapes alone
        net = build_network(replace(config, start=""), bands)
    weights = sum(parameter.numel() for parameter in net.parameters())
    copies = CHECKPOINT + (1 if config.average else 0)
    return config.epochs * epoch, memory, weights * (HALF + FLOAT * copies)

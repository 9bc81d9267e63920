"""Training on a data set's split, with a manifest."""

import os
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from ifmsr.devices import choose_device
from ifmsr.errors import InputError
from ifmsr.files import remove
from ifmsr.ownership import owned
from ifmsr.paths import ROOT
from ifmsr.runs import MANIFEST, Run, read_manifest
from ifmsr.scenes import Scene, open_dataset
from ifmsr.training.config import TrainConfig, stored_identity
from ifmsr.training.loop import WEIGHTS, train
from ifmsr.training.processes import joined
from ifmsr.training.state import CHECKPOINT, read_checkpoint, start_anew, start_digest


def train_on_split(
    config: TrainConfig,
    dataset: str,
    split: str,
    out: str | Path,
    root: str | Path | None = None,
    resume: bool = True,
    device: str | None = None,
    workers: int = 0,
    compile: bool = False,
) -> Path:
    """Train on a split's training scenes, log the PSNR of its validation scenes, and leave a finished run in `out`.

    Returns the weights' path. With `resume`, a stopped run of the same configuration goes on and a finished one is left
    as it is; without, its checkpoint and manifest are removed first, so that a later call cannot resume it by mistake.
    Test scenes are never read. The manifest names the precision that was used, and its `data` holds the SHA-256 of
    every scene and of the initial weights.

    Raises the errors of `train` and `open_dataset`.
    """
    out = Path(out)
    with joined(device) as processes:
        data = open_dataset(dataset, root)
        chosen = data.split(split)

        def about(config: TrainConfig) -> dict[str, Any]:
            return {
                "dataset": dataset,
                "split": split,
                "scenes": list(chosen.train),
                "validation": list(chosen.validation),
                "training": config.identity(),
            }

        def learn(run: Run | None) -> Path:
            scenes, validation = (
                [data.load(name) for name in names] for names in (chosen.train, chosen.validation)
            )
            if run:
                run.update(data={scene.name: _digest(scene) for scene in [*scenes, *validation]})
                if config.start:
                    run.update(data={config.start: start_digest(config)})
                run.record(WEIGHTS)
                run.record("log.csv")
            return train(config, scenes, validation, out, resume, device, workers, compile)

        if resume and _finished(out, about(config)):
            return out / WEIGHTS
        config = config.on(choose_device(device))
        if resume and _finished(out, about(config)):
            return out / WEIGHTS
        processes.wait()  # for all to have looked before the first changes the folder
        if not processes.first:
            return learn(None)
        with owned(out, "trains"):
            if resume:
                read_checkpoint(
                    out, config, chosen.train, torch.device("cpu")
                )  # raises before the old manifest is removed
            else:
                start_anew(out)  # before reading the scenes, which takes long enough to be interrupted
                remove(out / MANIFEST)
            with Run(out, about(config), [config.seed]) as run:
                return learn(run)


def train_in_stages(
    stages: Sequence[TrainConfig], dataset: str, split: str, out: str | Path, **how: Any
) -> Path:
    """Train configurations (`ifmsr.training.stages`) one after the other, each from the weights of the one before.

    Returns the path of the last one's weights. The last is trained in `out`, the others before it in ``<out>/stage-1``,
    ``<out>/stage-2`` and so on. Each is a run of its own: `how` are the keyword arguments of `train_on_split`, whose
    errors are raised.
    """
    weights: Path | None = None
    for number, config in enumerate(stages, 1):
        folder = Path(out) / f"stage-{number}" if number < len(stages) else Path(out)
        start = os.path.relpath(weights, ROOT) if weights else config.start
        weights = train_on_split(replace(config, start=start), dataset, split, folder, **how)
    if weights is None:
        raise InputError("stages", "there is none", "Give at least one configuration")
    return weights


def _digest(scene: Scene) -> str:
    """SHA-256 of a scene's values."""
    return sha256(scene.cube.tobytes()).hexdigest()


def _finished(out: Path, about: dict[str, Any]) -> bool:
    """Whether `out` holds this run, finished and with all files intact.

    Raises InputError if a file is damaged and there is no checkpoint to write it again from.
    """
    if not (out / WEIGHTS).exists() or not (out / MANIFEST).exists():
        return False
    try:
        found = read_manifest(out)["config"]
        return bool({**found, "training": stored_identity(found.get("training", {}))} == about)
    except InputError:
        if (out / CHECKPOINT).exists():
            return False
        raise

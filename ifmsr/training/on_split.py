"""Train on a data set's split and leave a finished run."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from ifmsr.inference.devices import choose_device
from ifmsr.runs import MANIFEST, Run, read_manifest
from ifmsr.scenes import open_dataset
from ifmsr.training.config import TrainConfig
from ifmsr.training.loop import train
from ifmsr.training.state import read_checkpoint


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
    """Train on a split's training scenes, watch its validation scenes, and leave a finished run in `out`.

    Returns the weights' path. With `resume`, a run of the same configuration that was stopped goes on, and a
    finished one is left as it is. The manifest names the precision that the device computed in. Test scenes are never
    read. Raises what `train` and `open_dataset` raise.
    """
    out = Path(out)
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

    weights = out / "weights.safetensors"
    finished = resume and weights.exists() and (out / MANIFEST).exists()
    done = read_manifest(out)["config"] if finished else None
    if done == about(config):
        return weights
    config = config.on(choose_device(device))
    if done == about(config):
        return weights
    if resume:
        read_checkpoint(out, config, chosen.train, torch.device("cpu"))  # refuse before the old manifest goes
    with Run(out, about(config), [config.seed]) as run:
        scenes, validation = (
            [data.load(name) for name in names] for names in (chosen.train, chosen.validation)
        )
        run.tell(
            data={scene.name: sha256(scene.cube.tobytes()).hexdigest() for scene in [*scenes, *validation]}
        )
        weights = train(config, scenes, validation, out, resume, device, workers, compile)
        run.record(weights.name)
        run.record("log.csv")
    return weights

"""Train on a data set's split and leave a finished run."""

from hashlib import sha256
from pathlib import Path

import torch

from ifmsr.runs import MANIFEST, Run, read_manifest
from ifmsr.scenes import open_dataset
from ifmsr.training.config import TrainConfig
from ifmsr.training.loop import train
from ifmsr.training.state import read_checkpoint, start_digest


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
    finished one is left as it is. Test scenes are never read. The manifest's `data` holds the SHA-256 of every scene
    and of the weights that the training starts from. Raises what `train` and `open_dataset` raise.
    """
    out = Path(out)
    data = open_dataset(dataset, root)
    chosen = data.split(split)
    about = {
        "dataset": dataset,
        "split": split,
        "scenes": list(chosen.train),
        "validation": list(chosen.validation),
        "training": config.identity(),
    }
    weights = out / "weights.safetensors"
    finished = weights.exists() and (out / MANIFEST).exists()
    if resume and finished and read_manifest(out)["config"] == about:
        return weights
    if resume:
        read_checkpoint(out, config, chosen.train, torch.device("cpu"))  # refuse before the old manifest goes
    with Run(out, about, [config.seed]) as run:
        scenes, validation = (
            [data.load(name) for name in names] for names in (chosen.train, chosen.validation)
        )
        run.tell(
            data={scene.name: sha256(scene.cube.tobytes()).hexdigest() for scene in [*scenes, *validation]}
        )
        if config.start:
            run.tell(data={config.start: start_digest(config)})
        run.record(weights.name)
        run.record("log.csv")
        train(config, scenes, validation, out, resume, device, workers, compile)
    return weights

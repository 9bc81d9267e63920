"""Weights that the project ships, each with a card that says where they come from."""

import json
import shutil
from pathlib import Path

from ifmsr.errors import InputError
from ifmsr.evaluation import summary
from ifmsr.files import sha256, write_atomically, write_text
from ifmsr.paths import WEIGHTS
from ifmsr.runs import read_manifest
from ifmsr.tables import DIGITS, read_rows
from ifmsr.weights import load_weights


def ship(training: str | Path, evaluation: str | Path, folder: str | Path = WEIGHTS) -> Path:
    """Copy a training's weights to ``<folder>/<network>-x<scale>.safetensors`` and write their card.

    Parameters
    ----------
    training : a finished run of `ifmsr.training.train_on_split`.
    evaluation : a finished evaluation of exactly these weights, for the measured metrics.

    Returns
    -------
    The card's path: JSON with data, split, scenes, training configuration, schedule, git commit, metrics and
    SHA-256.

    Raises
    ------
    InputError : a run is unfinished, or the evaluation's rows are of other weights.
    """
    training, evaluation = Path(training), Path(evaluation)
    made, measured = read_manifest(training), read_manifest(evaluation)
    source = training / "weights.safetensors"
    net, metadata = load_weights(source)
    digest = sha256(source)
    rows = read_rows(evaluation)
    rows = rows[rows["weights"] == digest[:12]]
    if rows.empty:
        raise InputError(evaluation, f"no row of the weights {digest[:12]}", f"Evaluate {source} first")
    name = f"{metadata['network']}-x{net.config.scale}"
    target = Path(folder) / f"{name}.safetensors"
    with source.open("rb") as content:
        write_atomically(target, lambda file: shutil.copyfileobj(content, file))
    means = summary(rows).iloc[0]
    card = {
        "weights": target.name,
        "sha256": digest,
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "schedule": metadata["schedule"],
        **made["config"],
        "git": made["git"],
        "versions": made["versions"],
        "machine": made["machine"],
        "seconds": made["seconds"],
        "measured": {
            **{
                key: measured["config"][key]
                for key in ("dataset", "split", "scale", "preset", "alignment", "seeds")
            },
            "scenes": sorted(rows["scene"].unique()),
            **{metric: round(float(means[metric]), 4) for metric in DIGITS},
        },
    }
    return write_text(target.with_suffix(".json"), json.dumps(card, indent=2) + "\n")

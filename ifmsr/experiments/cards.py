"""Shipped weights and their cards, JSON files with the origin of the weights."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ifmsr.errors import InputError
from ifmsr.files import sha256, write_atomically, write_text
from ifmsr.inference.api import shipped_name
from ifmsr.paths import WEIGHTS, weights_folders
from ifmsr.runs import MANIFEST, read_manifest
from ifmsr.study.evaluation import summary
from ifmsr.study.names import DIGITS
from ifmsr.study.rows import read_rows
from ifmsr.weights import digest_on, load_weights


def ship(
    training: str | Path, evaluations: Sequence[str | Path], folder: str | Path = WEIGHTS, name: str = ""
) -> Path:
    """Copy the weights of a training to ``<folder>/<name>.safetensors`` and write their card.

    Parameters
    ----------
    training : a finished run of `ifmsr.training.train_on_split`.
    evaluations : finished evaluations of exactly these weights, for the measured metrics.
    folder : where the weights and the card are written.
    name : by default the name that `ifmsr.inference.api.load_method` looks for.

    Returns
    -------
    The path of the card: JSON with data, split, scenes, training configuration, schedule, git commit, metrics and
    SHA-256, and the SHA-256 of the weights that the training started from (`start_sha256`), because their file may
    have changed since.

    Raises
    ------
    InputError : a run is unfinished, the evaluation's rows are of other weights, or the training's manifest does not
        contain the SHA-256 of the weights that it started from.
    """
    source = Path(training) / "weights.safetensors"
    made, digest = read_manifest(training), sha256(source)
    training_config = dict(made["config"]["training"])
    if start := training_config["start"]:
        if start not in made["data"]:
            problem = f"it does not say what {start} held when the training started from it"
            raise InputError(Path(training) / MANIFEST, problem, "Train again")
        training_config["start_sha256"] = made["data"][start]
    net, metadata = load_weights(source)
    results = [line for evaluation in evaluations for line in measured(Path(evaluation), digest)]
    if not name:
        name = shipped_name(metadata["network"], 0 if net.scale_free else net.config.scale)
    target = Path(folder) / f"{name}.safetensors"
    with source.open("rb") as content:
        write_atomically(target, lambda file: shutil.copyfileobj(content, file))
    card = {
        "weights": target.name,
        "sha256": digest,
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "schedule": metadata["schedule"],
        **made["config"],
        "training": training_config,
        "git": made["git"],
        "versions": made["versions"],
        "machine": made["machine"],
        "seconds": made["seconds"],
        "measured": results,
    }
    return write_text(target.with_suffix(".json"), json.dumps(card, indent=2) + "\n")


def find(fingerprint: str) -> Path | None:
    """The shipped weights with this fingerprint (see `ifmsr.inference.learned.Learned`), or None if there are none."""
    cards = [card for folder in weights_folders() for card in sorted(folder.glob("*.json"))]
    for card in cards if fingerprint else ():
        weights = card.with_suffix(".safetensors")
        if digest_on(card).startswith(fingerprint) and weights.is_file():
            return weights
    return None


def measured(evaluation: Path, digest: str) -> list[dict[str, Any]]:
    """The task and the mean metrics per method of an evaluation of the weights with this SHA-256.

    Raises InputError if it has no rows of these weights.
    """
    config = read_manifest(evaluation)["config"]
    rows = read_rows(evaluation)
    rows = rows[rows["weights"].str.startswith(digest[:12])]
    if rows.empty:
        raise InputError(evaluation, f"no row of the weights {digest[:12]}", "Evaluate them first")
    task = {key: config[key] for key in ("dataset", "split", "scale", "preset", "alignment", "seeds")}
    return [
        {
            "method": method,
            **task,
            "scenes": sorted(rows.loc[rows["method"] == method, "scene"].unique()),
            **{metric: round(float(means[metric]), 4) for metric in DIGITS},
        }
        for method, means in summary(rows).iterrows()
    ]

"""The ablation study of IFMSR: one training per variant, each of which differs from the full network in one setting."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ifmsr.devices import choose_device
from ifmsr.errors import InputError
from ifmsr.files import write_text
from ifmsr.inference.api import load_method
from ifmsr.runs import Run
from ifmsr.scenes import open_dataset
from ifmsr.study.evaluation import Task, evaluate
from ifmsr.study.names import DIGITS
from ifmsr.training import build_network, train_on_split
from ifmsr.training.config import TrainConfig, with_settings


@dataclass(frozen=True)
class Variant:
    """One variant of the ablation study.

    Attributes
    ----------
    question : the group of variants that it belongs to.
    changes : settings that differ from the full network's training, see `ifmsr.training.config.with_settings`.
    """

    question: str
    changes: Mapping[str, Any] = field(default_factory=dict)


FULL = "full"
VARIANTS = {
    FULL: Variant("parts"),
    "MCPA+RDE": Variant("parts", {"options.dcfm": False}),
    "MCPA": Variant("parts", {"options.dcfm": False, "options.rde": False}),
    "none": Variant("parts", {"options.dcfm": False, "options.rde": False, "options.mcpa": False}),
    "1 stage": Variant("stages", {"options.stages": 1}),
    **{f"{n} stages": Variant("stages", {"options.stages": n}) for n in (3, 4)},
    "1 neighbour": Variant("patches", {"options.neighbours": 1}),
    **{f"{n} neighbours": Variant("patches", {"options.neighbours": n}) for n in (2, 4, 5)},
    "split after MCPA": Variant("reading", {"options.split": "after"}),
    "RDE passes RGB on": Variant("reading", {"options.rde_skip": "rgb"}),
    "skip over DCFM": Variant("reading", {"options.dcfm_skip": True}),
    "beta2 of the text": Variant("optimiser", {"beta2": 0.99}),
    "Muon": Variant("optimiser", {"optimizer": "muon"}),
    "per-band steps": Variant("optimiser", {"steps": "per-band", "bands_per_step": 0}),
    "wide training": Variant("degradation", {"degradation": "train"}),
    "centred": Variant("alignment", {"alignment": "centred"}),
    "seed 1": Variant("seed", {"seed": 1}),
    "seed 2": Variant("seed", {"seed": 2}),
}
"""Variant name -> variant. Each name except ``full`` says what differs from ``full``. The intended base is the preset
``ablation``: the released network with fewer features, batched steps, beta2 0.999, released alignment, seed 0.
``"reading"`` is the question in which the paper's drawing and the released program differ."""
NAME = re.compile(r"[\w+][\w+. -]{0,59}")
"""Form of a variant's name, which becomes the name of a folder."""


def ablate(
    base: TrainConfig,
    variants: Sequence[str] | Mapping[str, Variant],
    dataset: str,
    split: str,
    out: str | Path,
    root: str | Path | None = None,
    side: int = 0,
    device: str | None = None,
    seeds: Sequence[int] = (),
) -> pd.DataFrame:
    """Train and evaluate variants of IFMSR and compare them with the full network.

    The folder `out` gets one training per variant and seed, one evaluation per alignment and, last, ``ablations.csv``
    and ``manifest.json``. Finished parts are not repeated.

    Parameters
    ----------
    base : the training of the full network. All variants use its patches in the same order.
    variants : names of `VARIANTS`, or variants of your own by name; the one called ``full`` is what the others are
        compared with.
    dataset, split, root : the data; `root` None: the default folder.
    out : folder of the results.
    side : evaluate only the central `side` x `side` pixels of each test scene; 0: whole scenes.
    device : None: the GPU if there is one.
    seeds : train every variant with each of them, but for variants that are another seed; none: with the base's, or the
        variant's own.

    Returns
    -------
    One row per training: question, variant, seed, alignment, parameters, steps, patch_bands (number of bands of patches
    used in training), training_seconds, val_psnr (last epoch), best_val_psnr (best epoch), the five metrics, and
    `difference`, the PSNR minus that of ``full`` in dB, with `seeds` of the same seed; empty for another alignment,
    which is another task.

    Raises
    ------
    InputError : a name is not in `VARIANTS` or cannot be a folder's, a change is no setting of the training, or the
        training or its data are not available.
    """
    chosen = _trainings(_chosen(variants), seeds)
    out, base = Path(out), base.on(choose_device(device))
    data = open_dataset(dataset, root)
    train = data.split(split).train
    bands = len(data.load(train[0]).cube)
    configs = {name: configuration(base, variant, bands) for name, (_, variant) in chosen.items()}
    about = {
        "dataset": dataset,
        "split": split,
        "side": side,
        "base": base.identity(),
        "variants": list(chosen),
    }
    alignments = dict.fromkeys(config.alignment for config in configs.values())
    tasks = [Task(dataset, split, base.scale, alignment=alignment, side=side) for alignment in alignments]
    with Run(out, about, sorted({config.seed for config in configs.values()})) as run:
        trained = {
            name: train_on_split(config, dataset, split, out / folder(name), root, device=device)
            for name, config in configs.items()
        }
        rows = []
        for task in tasks:
            methods = {
                name: load_method("ifmsr", base.scale, trained[name], device)
                for name, config in configs.items()
                if config.alignment == task.alignment
            }
            rows.append(evaluate(task, methods, out / f"evaluation-{task.alignment}", root))
        means = pd.concat(rows).groupby("method")[[*DIGITS]].mean()
        table = pd.DataFrame(
            [
                {"question": variant.question, "variant": plain, "training": name}
                | _line(configs[name], bands, len(train), trained[name])
                for name, (plain, variant) in chosen.items()
            ]
        )
        table = table.join(means, on="training").drop(columns="training")
        if FULL in chosen:
            table["difference"] = table["PSNR"] - _psnr_of_full(table, bool(seeds))
        write_text(run.record("ablations.csv"), table.to_csv(index=False, float_format="%.6g"))
    return table


def _chosen(variants: Sequence[str] | Mapping[str, Variant]) -> Mapping[str, Variant]:
    """The variants by name. Raises InputError for a name that is unknown or cannot be a folder's."""
    if isinstance(variants, Mapping):
        if wrong := [name for name in variants if not NAME.fullmatch(name)]:
            problem = f"{wrong[0]!r} cannot be the name of a folder"
            raise InputError("variants", problem, "Use letters, digits, blanks and + . - _, at most 60")
        if len({folder(name) for name in variants}) < len(variants):
            raise InputError("variants", "two names share a folder", "Let them differ in more than a blank")
        return variants
    if unknown := sorted(set(variants) - set(VARIANTS)):
        raise InputError(
            "variants", f"there is no {', '.join(unknown)}", f"Choose from {', '.join(VARIANTS)}"
        )
    return {name: VARIANTS[name] for name in variants}


def _trainings(variants: Mapping[str, Variant], seeds: Sequence[int]) -> dict[str, tuple[str, Variant]]:
    """Name of each training -> the variant's name and the variant, with one of the seeds if there are any."""
    if not seeds:
        return {name: (name, variant) for name, variant in variants.items()}
    others = {name: variant for name, variant in variants.items() if "seed" not in variant.changes}
    if not others:
        raise InputError("variants", "they only differ in their seed", "Leave out the seeds, or name others")
    return {
        name if seed == seeds[0] else f"{name} seed {seed}": (
            name,
            replace(variant, changes={**variant.changes, "seed": seed}),
        )
        for seed in seeds
        for name, variant in others.items()
    }


def _psnr_of_full(table: pd.DataFrame, by_seed: bool) -> pd.Series:
    """For each row the PSNR of the full network in the same alignment, and `by_seed` of the same seed; else NaN."""
    keys = ["alignment", "seed"] if by_seed else ["alignment"]
    full = table[table["variant"] == FULL].set_index(keys)["PSNR"].rename("full")
    return table.join(full, on=keys)["full"]


def configuration(base: TrainConfig, variant: Variant, bands: int) -> TrainConfig:
    """The training configuration of a variant.

    With one step per band, the number of patches is reduced, so that the number of bands of patches is the same.
    """
    config = with_settings(base, variant.changes)
    if config.steps != base.steps:
        crops = round(base.crops_per_scene * (base.bands_per_step or bands) / bands)
        config = with_settings(config, {"crops_per_scene": max(crops, 1)})
    return config


def folder(variant: str) -> str:
    """The name of a variant's training folder."""
    return variant.replace(" ", "-")


def _line(config: TrainConfig, bands: int, scenes: int, weights: Path) -> dict[str, Any]:
    """What a trained variant cost, and its PSNR on the validation scenes."""
    log = pd.read_csv(weights.parent / "log.csv")
    seen = config.bands_per_step or bands
    return {
        "seed": config.seed,
        "alignment": config.alignment,
        "parameters": sum(parameter.numel() for parameter in build_network(config).parameters()),
        "steps": int(log["step"].iloc[-1]),
        "patch_bands": config.epochs * scenes * config.crops_per_scene * seen,
        "training_seconds": log["seconds"].iloc[-1],
        "val_psnr": log["val_psnr"].iloc[-1],
        "best_val_psnr": log["val_psnr"].max(),
    }

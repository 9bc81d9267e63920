"""Named training configurations: the paper's, those that the competitors published, and short ones."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ifmsr.errors import check_choice
from ifmsr.methods.registry import NETWORKS
from ifmsr.training.config import TrainConfig, with_settings

PAPER = TrainConfig()

PRESETS = {
    "paper": PAPER,
    "released": TrainConfig(crops_per_scene=16, beta2=0.999),
    "quick": TrainConfig(
        start="results/weights/ifmsr-x4.safetensors",
        epochs=5,
        crops_per_scene=96,
        batch=4,
        learning_rate=5e-4,
        decay_every=2,
        beta2=0.999,
        steps="batched",
        bands_per_step=4,
        degradation="test",
    ),
    "smoke": TrainConfig(
        options={"features": 4},
        epochs=3,
        crops_per_scene=96,
        batch=1,
        learning_rate=4e-3,
        decay_every=1,
        beta2=0.999,
        steps="batched",
        bands_per_step=4,
        degradation="test",
    ),
    "ablation": TrainConfig(
        options={"features": 16},
        epochs=8,
        crops_per_scene=24,
        batch=8,
        learning_rate=1e-3,
        decay="cosine",
        decay_by=0.02,
        beta2=0.999,
        steps="batched",
        bands_per_step=2,
        degradation="test",
        precision="bfloat16",
    ),
    "pzres-net": TrainConfig(
        network="pzres-net",
        epochs=1000,
        crops_per_scene=16,
        batch=6,
        patch_side=128,
        learning_rate=1e-3,
        decay="cosine",
        decay_by=0.01,
        beta2=0.999,
        steps="batched",
        degradation="pzres-net",
    ),
    "mhf-net": TrainConfig(
        network="mhf-net",
        epochs=31,
        crops_per_scene=1000,
        batch=10,
        patch_side=96,
        decay_by=0.1,
        decay_every=25,
        beta2=0.999,
        steps="batched",
        degradation="mhf-net",
    ),
    "mog-dcn": TrainConfig(
        network="mog-dcn",
        epochs=100_500,
        crops_per_scene=1,
        batch=4,
        patch_side=96,
        augment=False,
        decay_by=1.0,
        beta2=0.999,
        weight_decay=1e-8,
        steps="batched",
        degradation="mog-dcn",
    ),
    "ual": TrainConfig(
        network="ual",
        epochs=150,
        crops_per_scene=128,
        batch=6,
        patch_side=128,
        decay_by=0.7,
        decay_every=10,
        beta2=0.999,
        steps="batched",
        degradation="ual",
    ),
}
"""Training configurations by name.

``paper``: the paper's text. ``released``: the released program's defaults. ``quick``: fine-tunes the shipped weights
for a new sensor, minutes on a CPU. ``smoke``: trains a tiny network from scratch in seconds, to test the installation.
``ablation``: trains a narrow network in one to four minutes on a CPU core, for `ifmsr.experiments.ablations`.
``ifmsr-test-family``: trains on the test family by Muon with one step per band on two patches, the best use of a few
hours on a CPU core. It is the last of three stages, see `stages`. ``ifmsr-wide``: goes on from there with the paper's
wide range of degradations.

A competitor's name: its published recipe, with its blur and without noise. Random crops replace the fixed grids of
PZRes-Net and UAL, and the augmentation is the paper's where the competitor has any. MoG-DCN's 100,500 epochs have one
crop per scene. ``common-<name>``: see `common`. ``subspace-net``: the project's own network, trained on crops of
scenes that the training-free method ``closed-form`` has super-resolved (`ifmsr.training.solved`)."""


def common(own: TrainConfig) -> TrainConfig:
    """A competitor's optimiser under the paper's protocol: the paper's samples and number of epochs."""
    return replace(
        own,
        epochs=PAPER.epochs,
        crops_per_scene=PAPER.crops_per_scene,
        batch=PAPER.batch,
        patch_side=PAPER.patch_side,
        augment=PAPER.augment,
        degradation=PAPER.degradation,
        decay_every=round(own.decay_every * PAPER.epochs / own.epochs) or 1,
    )


PRESETS |= {f"common-{name}": common(own) for name, own in PRESETS.items() if own.network == name}
PRESETS["ifmsr-test-family"] = TrainConfig(
    network="ifmsr-test-family",
    epochs=14,
    crops_per_scene=1,
    batch=2,
    optimizer="muon",
    learning_rate=2e-4,
    decay="cosine",
    decay_by=0.0,
    beta2=0.999,
    average=0.999,
    degradation="test",
    precision="bfloat16",
)
PRESETS["ifmsr-wide"] = replace(
    PRESETS["ifmsr-test-family"],
    network="ifmsr",
    degradation="train",
    epochs=8,
    crops_per_scene=2,
    precision="float32",
)
PRESETS["subspace-net"] = TrainConfig(
    network="subspace-net",
    epochs=100,
    crops_per_scene=128,
    batch=8,
    patch_side=128,
    learning_rate=5e-4,
    decay="cosine",
    decay_by=0.01,
    beta2=0.999,
    gradient_clip=1.0,
    steps="batched",
)


NARROW: tuple[Mapping[str, Any], ...] = (
    {"options.features": 16, "epochs": 14, "crops_per_scene": 4, "learning_rate": 1e-3, "decay_by": 0.4},
    {"options.features": 32, "epochs": 7, "crops_per_scene": 4, "learning_rate": 3e-4, "decay_by": 0.6},
)
EARLIER_STAGES: dict[str, tuple[Mapping[str, Any], ...]] = {
    "ifmsr-test-family": NARROW,
    "ifmsr-wide": (
        *({**settings, "degradation": "test"} for settings in NARROW),
        {"degradation": "test", "epochs": 14, "crops_per_scene": 1},
    ),
}
"""Preset -> how the stages before its last differ from it, see `stages`."""


def preset_names() -> tuple[str, ...]:
    """Every name that `preset` accepts: those of `PRESETS`, and each network that none of them trains."""
    trained = {config.network for config in PRESETS.values()}
    return (*PRESETS, *(name for name in NETWORKS if name not in trained))


def preset(name: str) -> TrainConfig:
    """The training configuration called `name`.

    A network without a preset gets one under its name: the paper's, with one optimiser step per batch on all bands.

    Raises InputError for an unknown name.
    """
    check_choice("preset", name, preset_names())
    return PRESETS[name] if name in PRESETS else replace(PAPER, network=name, steps="batched")


def stages(name: str) -> tuple[TrainConfig, ...]:
    """The configurations to train one after the other, each from the weights of the one before; the last is `preset`.

    IFMSR on the test family has three: a narrow network learns most in a fraction of the time and is then widened
    without a change of its output (`ifmsr.methods.ifmsr.widen`). ``ifmsr-wide`` has a fourth; all other presets have
    one.

    Raises InputError for an unknown name.
    """
    last = preset(name)
    return (*(with_settings(last, settings) for settings in EARLIER_STAGES.get(name, ())), last)

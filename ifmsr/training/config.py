"""How a network is trained: every choice that decides the outcome, besides the scenes.

Two ways to step through the bands of a batch, both named because they are not the same optimisation:

``per-band``
    as the released program: one optimiser step for each band of each batch, so one pass over a CAVE batch is
    31 steps, each seeing 16 patches of one band.
``batched``
    one step a batch on the mean loss of all bands, or of `bands_per_step` bands drawn at random.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ifmsr.degradation import Alignment, Preset
from ifmsr.errors import InputError, check_choice
from ifmsr.inference import Precision
from ifmsr.methods import NETWORKS

Steps = Literal["per-band", "batched"]


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a training besides the scenes.

    Attributes
    ----------
    network, options : which of `ifmsr.methods.NETWORKS`, and its configuration without the scale.
    start : a weights file to fine-tune instead of starting from the seed, counted from the project's root.
        The networks' parameters do not depend on the scale or the number of bands, so weights of another
        sensor or scale will do.
    epochs, crops_per_scene, batch : the schedule; a batch holds patches of 12r x 12r pixels.
    learning_rate, halve_every : Adam's step, halved every so many epochs.
    beta2 : 0.99 in the paper's text, 0.999 in the released program.
    steps, bands_per_step : see the module's docstring; `bands_per_step` 0 means all bands.
    degradation, alignment : what patches go through, see `ifmsr.degradation`. ``"train"`` is the paper's wide
        draw; ``"test"`` draws from the test family, for trainings too short to learn more than that.
    precision : ``"bfloat16"`` computes the network under autocast; weights stay float32.
    checkpoint_every : seconds between checkpoints; it changes nothing else.
    """

    network: str = "ifmsr"
    options: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""
    scale: int = 4
    epochs: int = 200
    crops_per_scene: int = 64
    batch: int = 16
    learning_rate: float = 1e-4
    halve_every: int = 30
    beta2: float = 0.99
    steps: Steps = "per-band"
    bands_per_step: int = 0
    degradation: Preset = "train"
    alignment: Alignment = "released"
    precision: Precision = "float32"
    seed: int = 0
    checkpoint_every: float = 300

    def __post_init__(self) -> None:
        check_choice("network", self.network, tuple(NETWORKS))
        for name, kind in (
            ("steps", Steps),
            ("degradation", Preset),
            ("alignment", Alignment),
            ("precision", Precision),
        ):
            check_choice(name, getattr(self, name), get_args(kind))
        for name in ("scale", "epochs", "crops_per_scene", "batch", "halve_every"):
            if getattr(self, name) < 1:
                raise InputError(name, f"found {getattr(self, name)}", "Give a whole number of at least 1")

    def schedule(self, scenes: int) -> str:
        """The schedule in one line, as tables print it beside the row."""
        bands = f"{self.bands_per_step} random bands" if self.bands_per_step else "all bands"
        step = "one step a band" if self.steps == "per-band" else f"one step on {bands}"
        start = f"fine-tuned from {Path(self.start).stem}: " if self.start else ""
        return (
            f"{start}{self.epochs} epochs x {scenes} scenes x {self.crops_per_scene} patches, batch {self.batch}, "
            f"{step}, {self.precision}, {self.degradation} degradation, {self.alignment} alignment, seed {self.seed}"
        )

    def identity(self) -> dict[str, Any]:
        """The part that decides the outcome, in plain types: what checkpoints and manifests compare."""
        return {**asdict(replace(self, checkpoint_every=0)), "options": dict(self.options)}


PRESETS = {
    "paper": TrainConfig(),
    "released": TrainConfig(crops_per_scene=16, beta2=0.999),
    "quick": TrainConfig(
        start="results/weights/ifmsr-x4.safetensors",
        epochs=5,
        crops_per_scene=96,
        batch=4,
        learning_rate=5e-4,
        halve_every=2,
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
        halve_every=1,
        beta2=0.999,
        steps="batched",
        bands_per_step=4,
        degradation="test",
    ),
}
"""``paper``: its text. ``released``: the program's defaults where they differ. ``quick``: fine-tunes the shipped
weights for a new sensor, minutes on a CPU. ``smoke``: a tiny network from nothing, seconds, to see that all works."""


def with_settings(config: TrainConfig, settings: Mapping[str, Any]) -> TrainConfig:
    """`config` with some fields changed; ``options.<name>`` changes one of the network's.

    Raises
    ------
    InputError : a field does not exist, or its value has the wrong type.
    """
    known = {entry.name: getattr(config, entry.name) for entry in fields(config)}
    options = dict(config.options)
    changed: dict[str, Any] = {}
    for name, value in settings.items():
        if name.startswith("options."):
            options[name.removeprefix("options.")] = value
        elif name not in known or name == "options":
            raise InputError(name, "a training has no such setting", f"Choose from {', '.join(known)}")
        elif not isinstance(value, (int, float) if isinstance(known[name], float) else type(known[name])):
            kind = type(known[name]).__name__
            raise InputError(name, f"{value!r} is not of type {kind}", f"Give a value like {known[name]!r}")
        else:
            changed[name] = value
    return replace(config, options=options, **changed)

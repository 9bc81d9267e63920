"""How a network is trained: every choice that decides the outcome, besides the scenes.

Two ways to step through the bands of a batch, both named because they are not the same optimisation:

``per-band``
    as the released program: one optimiser step for each band of each batch, so one pass over a CAVE batch is
    31 steps, each seeing 16 patches of one band.
``batched``
    one step a batch on the mean loss of all bands, or of `bands_per_step` bands drawn at random.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from math import cos, pi
from pathlib import Path
from typing import Any, Literal, Self, get_type_hints

import torch

from ifmsr.degradation.protocol import Alignment, Preset
from ifmsr.errors import InputError, check_choice, did_you_mean, real, shown, whole
from ifmsr.fields import check_fields
from ifmsr.methods.registry import NETWORKS
from ifmsr.precision import Precision, usable_precision

Steps = Literal["per-band", "batched"]
Decay = Literal["steps", "cosine"]
USUAL_BANDS = 31  # of a configuration that is checked before the scenes are known
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a training besides the scenes.

    Attributes
    ----------
    network, options : which of `ifmsr.methods.NETWORKS`, and its configuration without the scale.
    start : a weights file to fine-tune instead of starting from the seed, counted from the project's root.
        The networks' parameters do not depend on the scale or the number of bands, so weights of another
        sensor or scale will do; IFMSR also takes those of a narrower IFMSR and widens them.
    epochs, crops_per_scene, batch : the schedule.
    patch_side : a patch's side in high-resolution pixels, a multiple of the scale; 0 means 12r, the paper's.
    augment : flips, roll and quarter turns, see `ifmsr.training.patches.augment`.
    learning_rate, decay, decay_by, decay_every : Adam's step. ``"steps"`` multiplies it by `decay_by` every
        `decay_every` epochs; ``"cosine"`` lets it fall from step to step, to `decay_by` times itself at the end.
    beta2 : 0.99 in the paper's text, 0.999 in the released program.
    weight_decay : Adam's, added to the gradient.
    gradient_clip : a gradient of larger norm is scaled down to it; 0 means no limit.
    average : decay of a moving average of the weights, from those at the start on, taken after each step; the average
        is what is validated and kept. 0 keeps the last weights.
    steps, bands_per_step : see the module's docstring; `bands_per_step` 0 means all bands.
    degradation, alignment : what patches go through, see `ifmsr.degradation.protocol`. ``"train"`` is the paper's wide
        draw; ``"test"`` draws from the test family, for trainings too short to learn more than that.
    precision : ``"bfloat16"`` computes the network under autocast; weights stay float32. See `on` for devices that
        cannot.
    checkpoint_every : seconds between checkpoints; it changes nothing else.

    Raises
    ------
    InputError : a value has the wrong type or is out of range, or the network has no such option.
    """

    network: str = "ifmsr"
    options: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""
    scale: int = 4
    epochs: int = 200
    crops_per_scene: int = 64
    batch: int = 16
    patch_side: int = 0
    augment: bool = True
    learning_rate: float = 1e-4
    decay: Decay = "steps"
    decay_by: float = 0.5
    decay_every: int = 30
    beta2: float = 0.99
    weight_decay: float = 0.0
    gradient_clip: float = 0.0
    average: float = 0.0
    steps: Steps = "per-band"
    bands_per_step: int = 0
    degradation: Preset = "train"
    alignment: Alignment = "released"
    precision: Precision = "float32"
    seed: int = 0
    checkpoint_every: float = 300

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice("network", self.network, tuple(NETWORKS))
        for name in ("scale", "epochs", "crops_per_scene", "batch", "decay_every"):
            whole(name, getattr(self, name), least=1)
        for name in ("patch_side", "bands_per_step"):
            whole(name, getattr(self, name), least=0)
        whole("seed", self.seed, 0, LARGEST_SEED)
        for name in ("learning_rate", "weight_decay", "gradient_clip", "checkpoint_every"):
            real(name, getattr(self, name), least=0)
        real("decay_by", self.decay_by, 0, 1)
        for name in ("beta2", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(
                    name, f"found {getattr(self, name)}", "Give a decay below 1 like 0.999, or 0"
                )
        object.__setattr__(self, "options", self._checked_options())
        if self.patch_side % self.scale:
            raise InputError(
                "patch_side", f"{self.patch_side} is no multiple of scale {self.scale}", "Give one, or 0"
            )
        if not NETWORKS[self.network].bandwise and (self.steps == "per-band" or self.bands_per_step):
            raise InputError(
                "steps",
                f"{self.network} sees all bands at once",
                'Give steps="batched" and bands_per_step=0',
            )

    def _checked_options(self) -> dict[str, Any]:
        """`options`, each of the type that the network's configuration gives it.

        Raises InputError, naming the option, for what the configuration does not know or does not take.
        """
        kind = configuration(self.network)
        if kind is None:
            return dict(self.options)
        known = option_names(self.network)
        for name in self.options:
            if name not in known:
                raise _unknown(f"options.{name}", self.network)
        given = {"scale": self.scale, "bands": USUAL_BANDS}
        shape = {entry.name: given[entry.name] for entry in fields(kind) if entry.name in given}
        try:
            built = kind(**shape, **self.options)
        except InputError as error:
            where = f"options.{error.where}" if error.where in self.options else error.where
            raise InputError(where, error.problem, error.fix) from error
        except (TypeError, ValueError) as error:
            raise InputError(
                "options", f"{self.network} does not take them ({error})", "Change them"
            ) from error
        return {name: getattr(built, name) for name in self.options}

    @property
    def side(self) -> int:
        """A patch's side in high-resolution pixels."""
        return self.patch_side or 12 * self.scale

    def learning_rate_at(self, epochs: float) -> float:
        """Adam's step after so many epochs; whole ones count for ``"steps"``."""
        if self.decay == "steps":
            return self.learning_rate * self.decay_by ** (int(epochs) // self.decay_every)
        cosine = (1 + cos(pi * min(epochs / self.epochs, 1))) / 2
        return self.learning_rate * (self.decay_by + (1 - self.decay_by) * cosine)

    def schedule(self, scenes: int) -> str:
        """The schedule in one line, as tables print it beside the row."""
        bands = f"{self.bands_per_step} random bands" if self.bands_per_step else "all bands"
        step = "one step a band" if self.steps == "per-band" else f"one step on {bands}"
        weights = Path(self.start)  # a training's own are called "weights" in a folder that tells more
        name = weights.parent.name if weights.stem == "weights" else weights.stem
        start = f"fine-tuned from {name}: " if self.start else ""
        patches = f"{self.crops_per_scene} patches" + (f" of {self.side}²" if self.patch_side else "")
        options = "".join(f", {name} {value}" for name, value in self.options.items())
        average = f", average {self.average:g}" if self.average else ""
        return (
            f"{start}{self.epochs} epochs x {scenes} scenes x {patches}, batch {self.batch}, "
            f"{step}, {self.precision}, {self.degradation} degradation, {self.alignment} alignment, seed {self.seed}"
            f"{average}{options}"
        )

    def on(self, device: torch.device) -> Self:
        """The same training in a precision that `device` can compute in, see `ifmsr.precision.usable_precision`."""
        return replace(self, precision=usable_precision(self.precision, device))

    def identity(self) -> dict[str, Any]:
        """The part that decides the outcome, in plain types: what checkpoints and manifests compare."""
        return {**asdict(replace(self, checkpoint_every=0)), "options": dict(self.options)}


def with_settings(config: TrainConfig, settings: Mapping[str, Any]) -> TrainConfig:
    """`config` with some fields changed; ``options.<name>`` changes one of the network's.

    Raises
    ------
    InputError : a field does not exist, or its value has the wrong type or is out of range.
    """
    if not isinstance(settings, Mapping):
        raise InputError("settings", f"found {shown(settings)}", "Give a mapping of names to values")
    known = {entry.name for entry in fields(config)} - {"options"}
    options = dict(config.options)
    changed: dict[str, Any] = {}
    for name, value in settings.items():
        if str(name).startswith("options."):
            options[name.removeprefix("options.")] = value
        elif name in known:
            changed[name] = value
        else:
            raise _unknown(name, config.network)
    return replace(config, options=options, **changed)


def configuration(network: str) -> Any:
    """The dataclass that a network's class annotates its `config` with, or None."""
    kind = get_type_hints(NETWORKS[network])["config"]
    return kind if is_dataclass(kind) else None


def option_names(network: str) -> list[str]:
    """What the configuration of `network` has besides the scale and the bands, which training gives it."""
    kind = configuration(network)
    names = [entry.name for entry in fields(kind)] if kind else []
    return [name for name in names if name not in ("scale", "bands")]


def _unknown(name: object, network: str) -> InputError:
    """The error for a setting that neither a training nor its network has."""
    known = [entry.name for entry in fields(TrainConfig) if entry.name != "options"]
    known += [f"options.{option}" for option in option_names(network)]
    where = name if isinstance(name, str) else shown(name)
    return InputError(
        where, "there is no such setting", f"{did_you_mean(name, known)}Choose one of {', '.join(known)}"
    )

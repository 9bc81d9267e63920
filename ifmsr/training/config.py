"""The configuration of a training: every choice that decides the outcome, besides the scenes.

Two ways to optimise over the bands of a batch, which lead to different results:

``per-band``
    one optimiser step per band of each batch, as in the released program: a batch of CAVE takes 31 steps, each on
    16 patches of one band.
``batched``
    one optimiser step per batch on the mean loss of all bands, or of `bands_per_step` random bands.
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
Optimizer = Literal["adam", "muon"]
USUAL_BANDS = 31  # assumed when a configuration is checked before the scenes are known
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a training besides the scenes.

    Attributes
    ----------
    network, options : a name in `ifmsr.methods.NETWORKS`, and that network's options except the scale.
    start : a weights file to fine-tune instead of random initial weights, relative to the project's root. Those of
        another scale fit. Those for another number of bands fit IFMSR and SubspaceNet wholly, the competitors where a
        layer has the same shape, PZRes-Net nowhere. IFMSR also takes those of a narrower IFMSR and widens them.
    epochs, crops_per_scene, batch : the schedule.
    patch_side : a patch's side in high-resolution pixels, a multiple of the scale; 0: 12 times the scale, as in the
        paper.
    augment : whether to flip, roll and rotate patches, see `ifmsr.training.patches.augment`.
    optimizer : ``"adam"``, the paper's, or ``"muon"``, which uses Adam only for what is no kernel of a hidden layer
        (`ifmsr.training.muon`).
    learning_rate, decay, decay_by, decay_every : ``"steps"`` multiplies the learning rate by `decay_by` every
        `decay_every` epochs; ``"cosine"`` lowers it from step to step to `decay_by` times its initial value.
    beta2 : 0.99 in the paper's text, 0.999 in the released program.
    weight_decay : Adam's, added to the gradient.
    gradient_clip : maximum gradient norm (0: off).
    average : decay of an exponential moving average (EMA) of the weights, updated after each step; the averaged weights
        are validated and saved. 0: off.
    steps, bands_per_step : see the module's docstring; `bands_per_step` 0 means all bands.
    degradation, alignment : of the patches, see `ifmsr.degradation.protocol`. ``"train"`` is the paper's wide range of
        random degradations; ``"test"`` is its narrower test range, for trainings too short to learn more.
    precision : ``"bfloat16"`` computes the network under autocast; weights stay float32. See `on` for devices without
        bfloat16.
    checkpoint_every : seconds between checkpoints; it does not affect the result.

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
    optimizer: Optimizer = "adam"
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
                f"{self.network} takes all bands at once",
                'Give steps="batched" and bands_per_step=0',
            )

    def _checked_options(self) -> dict[str, Any]:
        """`options`, each of the type that the network's configuration gives it.

        Raises InputError, naming the option, for an unknown option or an invalid value.
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
                "options", f"{self.network} does not accept them ({error})", "Change them"
            ) from error
        return {name: getattr(built, name) for name in self.options}

    @property
    def side(self) -> int:
        """A patch's side in high-resolution pixels."""
        return self.patch_side or 12 * self.scale

    def learning_rate_at(self, epochs: float) -> float:
        """The learning rate after so many epochs; ``"steps"`` counts completed epochs only."""
        if self.decay == "steps":
            return self.learning_rate * self.decay_by ** (int(epochs) // self.decay_every)
        cosine = (1 + cos(pi * min(epochs / self.epochs, 1))) / 2
        return self.learning_rate * (self.decay_by + (1 - self.decay_by) * cosine)

    def schedule(self, scenes: int) -> str:
        """The schedule in one line, as tables print it beside a method's row."""
        bands = f"{self.bands_per_step} random bands" if self.bands_per_step else "all bands"
        step = "one step per band" if self.steps == "per-band" else f"one step on {bands}"
        weights = Path(self.start)
        name = weights.parent.name if weights.stem == "weights" else weights.stem
        start = f"fine-tuned from {name}: " if self.start else ""
        patches = f"{self.crops_per_scene} patches" + (f" of {self.side}²" if self.patch_side else "")
        options = "".join(f", {name} {value}" for name, value in self.options.items())
        ema = f", EMA {self.average:g}" if self.average else ""
        optimizer = ", Muon" if self.optimizer == "muon" else ""
        return (
            f"{start}{self.epochs} epochs x {scenes} scenes x {patches}, batch {self.batch}, "
            f"{step}, {self.precision}, {self.degradation} degradation, {self.alignment} alignment, seed {self.seed}"
            f"{optimizer}{ema}{options}"
        )

    def on(self, device: torch.device) -> Self:
        """The configuration in a precision that `device` supports, see `ifmsr.precision.usable_precision`."""
        return replace(self, precision=usable_precision(self.precision, device))

    def identity(self) -> dict[str, Any]:
        """The fields that decide the outcome, in plain types; checkpoints and manifests compare them."""
        return {**asdict(replace(self, checkpoint_every=0)), "options": dict(self.options)}


def stored_identity(stored: Mapping[str, Any]) -> dict[str, Any]:
    """An `identity` that was stored, with the defaults of the fields that its program did not have yet."""
    return {**TrainConfig().identity(), **stored}


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
    """The dataclass of a network's `config`, or None if it has none."""
    kind = get_type_hints(NETWORKS[network])["config"]
    return kind if is_dataclass(kind) else None


def option_names(network: str) -> list[str]:
    """The options of `network`, without the scale and the number of bands, which the training sets."""
    kind = configuration(network)
    names = [entry.name for entry in fields(kind)] if kind else []
    return [name for name in names if name not in ("scale", "bands")]


def _unknown(name: object, network: str) -> InputError:
    """The error for an unknown setting."""
    known = [entry.name for entry in fields(TrainConfig) if entry.name != "options"]
    known += [f"options.{option}" for option in option_names(network)]
    where = name if isinstance(name, str) else shown(name)
    return InputError(
        where, "there is no such setting", f"{did_you_mean(name, known)}Choose one of {', '.join(known)}"
    )

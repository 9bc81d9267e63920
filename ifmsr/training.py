"""One training loop for every learned method.

Two ways to step through the bands of a batch, both named because they are not the same optimisation:

``per-band``
    as the released program: one optimiser step for each band of each batch, so one pass over a CAVE batch is
    31 steps, each seeing 16 patches of one band.
``batched``
    one step a batch on the mean loss of all bands, or of `bands_per_step` bands drawn at random.
"""

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from tqdm.auto import tqdm

from ifmsr import metrics
from ifmsr.degradation import Alignment, check_choice, degrade
from ifmsr.errors import InputError
from ifmsr.files import write_atomically, write_text
from ifmsr.inference import Precision, choose_device, run_network
from ifmsr.methods import NETWORKS
from ifmsr.patches import Patches
from ifmsr.scenes.scene import Scene
from ifmsr.weights import save_weights

Steps = Literal["per-band", "batched"]
VALIDATION_SIDE = 96
PATIENCE = 5  # non-finite losses in a row before training stops


class TrainingError(RuntimeError):
    """Training cannot go on; the last good checkpoint is kept."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a training besides the scenes.

    Attributes
    ----------
    network, options : which of `ifmsr.methods.NETWORKS`, and its configuration without the scale.
    epochs, crops_per_scene, batch : the schedule; a batch holds patches of 12r x 12r pixels.
    learning_rate, halve_every : Adam's step, halved every so many epochs.
    beta2 : 0.99 in the paper's text, 0.999 in the released program.
    steps, bands_per_step : see the module's docstring; `bands_per_step` 0 means all bands.
    alignment : of the training kernels, see `ifmsr.degradation`.
    precision : ``"bfloat16"`` computes the network under autocast; weights stay float32.
    checkpoint_every : seconds between checkpoints; it changes nothing else.
    """

    network: str = "ifmsr"
    options: Mapping[str, Any] = field(default_factory=dict)
    scale: int = 4
    epochs: int = 200
    crops_per_scene: int = 64
    batch: int = 16
    learning_rate: float = 1e-4
    halve_every: int = 30
    beta2: float = 0.99
    steps: Steps = "per-band"
    bands_per_step: int = 0
    alignment: Alignment = "released"
    precision: Precision = "float32"
    seed: int = 0
    checkpoint_every: float = 300

    def __post_init__(self) -> None:
        check_choice("network", self.network, tuple(NETWORKS))
        for name, kind in (("steps", Steps), ("alignment", Alignment), ("precision", Precision)):
            check_choice(name, getattr(self, name), get_args(kind))
        for name in ("scale", "epochs", "crops_per_scene", "batch", "halve_every"):
            if getattr(self, name) < 1:
                raise InputError(name, f"found {getattr(self, name)}", "Give a whole number of at least 1")

    def schedule(self, scenes: int) -> str:
        """The schedule in one line, as tables print it beside the row."""
        bands = f"{self.bands_per_step} random bands" if self.bands_per_step else "all bands"
        step = "one step a band" if self.steps == "per-band" else f"one step on {bands}"
        return (
            f"{self.epochs} epochs x {scenes} scenes x {self.crops_per_scene} patches, batch {self.batch}, "
            f"{step}, {self.precision}, {self.alignment} alignment, seed {self.seed}"
        )


PRESETS = {
    "paper": TrainConfig(),
    "released": TrainConfig(crops_per_scene=16, beta2=0.999),
    "quick": TrainConfig(
        options={"features": 16},
        epochs=12,
        crops_per_scene=96,
        batch=8,
        learning_rate=2e-3,
        halve_every=4,
        beta2=0.999,
        steps="batched",
        bands_per_step=8,
    ),
}
"""``paper``: its text. ``released``: the program's defaults where they differ. ``quick``: minutes on a CPU."""


def build_network(config: TrainConfig) -> nn.Module:
    """The untrained network of a configuration, initialised from its seed."""
    torch.manual_seed(config.seed)
    return NETWORKS[config.network](scale=config.scale, **config.options)


def train(
    config: TrainConfig,
    scenes: Sequence[Scene],
    validation: Sequence[Scene],
    out: str | Path,
    resume: bool = True,
    device: str | None = None,
    workers: int = 0,
) -> Path:
    """Train a network and return the path of its weights, ``out/weights.safetensors``.

    Writes ``log.csv`` (one row an epoch), TensorBoard events if it is installed, and ``checkpoint.pt``. A run
    that was killed at any moment goes on from its last checkpoint and ends, on a CPU, bit for bit as if it
    had not been; a finished one returns at once. Ctrl-C and SIGTERM write a checkpoint first.

    Parameters
    ----------
    scenes : the training scenes.
    validation : scenes for the log's PSNR (centre crops, test degradation). They choose nothing: the weights
        are those of the last epoch. Never give test scenes.
    out : the run's folder.
    resume : False starts anew even if the folder holds a checkpoint.
    workers : processes that prepare samples; they change the speed only.

    Raises
    ------
    InputError : the folder holds a checkpoint of another configuration, or the scenes cannot be used.
    TrainingError : the loss was NaN or infinite several steps in a row.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    state = _State(config, out, choose_device(device))
    if resume:
        state.restore()
    patches = Patches(scenes, config.scale, config.crops_per_scene, config.seed, config.alignment)
    batches = -(-len(patches) // config.batch)
    bar = tqdm(
        total=config.epochs * batches,
        initial=state.epoch * batches + state.batch,
        desc=f"{config.network} x{config.scale}",
        mininterval=2,
    )
    with bar, _stop_requests() as stop, _tensorboard(out) as board:
        while state.epoch < config.epochs:
            numbers = range(state.epoch * len(patches), (state.epoch + 1) * len(patches))
            rest = Subset(patches, numbers[state.batch * config.batch :])
            loader = DataLoader(rest, config.batch, num_workers=workers, pin_memory=state.device.type == "cuda")
            for batch in loader:
                state.learn(*batch)
                bar.update()
                bar.set_postfix(loss=f"{state.mean_loss:.4f}", PSNR=f"{state.last_psnr:.2f}")
                state.checkpoint_if_due()
                if stop:
                    state.save_checkpoint()
                    raise KeyboardInterrupt if stop[0] == signal.SIGINT else SystemExit(128 + stop[0])
            row = state.finish_epoch(validation)
            for name in ("loss", "val_psnr"):
                board(name, row[name], state.epoch)
    weights = out / "weights.safetensors"
    return save_weights(weights, state.net, config.network, config.schedule(len(scenes)))


class _State:
    """Everything that a resumed run has to find again, and the three things that change it."""

    def __init__(self, config: TrainConfig, out: Path, device: torch.device):
        self.config, self.out, self.device = config, out, device
        self.net = build_network(config).to(device)
        self.optimizer = torch.optim.Adam(
            self.net.parameters(), config.learning_rate, betas=(0.9, config.beta2), eps=1e-8
        )
        self.epoch = self.batch = self.bad_in_a_row = 0
        self.losses: list[float] = []
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0
        self.started = self.saved = perf_counter()

    @property
    def mean_loss(self) -> float:
        return float(np.mean(self.losses)) if self.losses else float("nan")

    @property
    def last_psnr(self) -> float:
        return self.rows[-1]["val_psnr"] if self.rows else float("nan")

    def learn(self, lr: Tensor, rgb: Tensor, truth: Tensor) -> None:
        """One batch: one optimiser step, or one a band."""
        self.net.train()
        lr, rgb, truth = (x.to(self.device, non_blocking=True) for x in (lr, rgb, truth))
        for bands in self._bands(truth.shape[1]):
            bands = bands.to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, self.config.precision == "bfloat16"):
                loss = F.l1_loss(self.net(lr, rgb, bands=bands).float(), truth[:, bands])
            self.optimizer.zero_grad(set_to_none=True)
            if not self._finite(value := loss.item()):
                continue
            loss.backward()
            self.optimizer.step()
            self.losses.append(value)
        self.batch += 1

    def _bands(self, total: int) -> Sequence[Tensor]:
        if self.config.steps == "per-band":
            return torch.arange(total).split(1)
        chosen = self.config.bands_per_step or total
        rng = np.random.default_rng((self.config.seed, self.epoch, self.batch, 2))
        return [torch.from_numpy(np.sort(rng.permutation(total)[:chosen]))]

    def _finite(self, loss: float) -> bool:
        self.bad_in_a_row = 0 if np.isfinite(loss) else self.bad_in_a_row + 1
        if self.bad_in_a_row == PATIENCE:
            raise TrainingError(
                f"the loss was NaN or infinite {PATIENCE} steps in a row, last in batch {self.batch} of epoch "
                f"{self.epoch}. The last good checkpoint is in {self.out}: lower the learning rate and resume."
            )
        return self.bad_in_a_row == 0

    def finish_epoch(self, validation: Sequence[Scene]) -> dict[str, float]:
        """Validate, log, halve the learning rate when it is time, checkpoint."""
        now = perf_counter()
        self.seconds, self.started = self.seconds + now - self.started, now
        row = {
            "epoch": self.epoch + 1,
            "step": int(self.optimizer.state[next(self.net.parameters())]["step"]),
            "lr": self.optimizer.param_groups[0]["lr"],
            "loss": self.mean_loss,
            "val_psnr": validation_psnr(self.net, validation, self.config, self.device),
            "seconds": round(self.seconds, 1),
        }
        self.rows.append(row)
        self.epoch, self.batch, self.losses = self.epoch + 1, 0, []
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * 0.5 ** (self.epoch // self.config.halve_every)
        self.save_checkpoint()
        write_text(self.out / "log.csv", pd.DataFrame(self.rows).to_csv(index=False))
        return row

    def checkpoint_if_due(self) -> None:
        if perf_counter() - self.saved > self.config.checkpoint_every:
            self.save_checkpoint()

    def save_checkpoint(self) -> None:
        content = {
            "config": _identity(self.config),
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "epoch": self.epoch,
            "batch": self.batch,
            "losses": self.losses,
            "rows": self.rows,
            "seconds": self.seconds + perf_counter() - self.started,
        }
        write_atomically(self.out / "checkpoint.pt", lambda file: torch.save(content, file))
        self.saved = perf_counter()

    def restore(self) -> None:
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return
        try:
            content = torch.load(path, map_location=self.device, weights_only=True)
            random = content["random"].cpu()
        except Exception as error:
            raise InputError(path, f"not a checkpoint ({error})", "Delete it to start anew") from error
        if content["config"] != _identity(self.config):
            ours = _identity(self.config)
            changed = [name for name in ours if content["config"].get(name) != ours[name]]
            raise InputError(
                path,
                f"it belongs to a training with other {', '.join(changed)}",
                "Choose another folder, or resume=False to overwrite it",
            )
        self.net.load_state_dict(content["net"])
        self.optimizer.load_state_dict(content["optimizer"])
        torch.set_rng_state(random)
        self.epoch, self.batch, self.seconds = content["epoch"], content["batch"], content["seconds"]
        self.losses, self.rows = content["losses"], content["rows"]


def _identity(config: TrainConfig) -> dict[str, Any]:
    """The part of a configuration that decides the outcome, in plain types."""
    return {**asdict(replace(config, checkpoint_every=0)), "options": dict(config.options)}


def validation_psnr(
    net: nn.Module, scenes: Sequence[Scene], config: TrainConfig, device: torch.device
) -> float:
    """Mean PSNR over the scenes' centre crops under the test degradation; NaN without scenes."""
    values = []
    for scene in scenes:
        crop = centre_crop(scene, VALIDATION_SIDE, config.scale)
        observation = degrade(crop, config.scale, "test", config.seed, config.alignment)
        sr = run_network(net, observation, str(device), config.precision)
        values.append(metrics.psnr(crop.cube, sr))
    return float(np.mean(values)) if values else float("nan")


def centre_crop(scene: Scene, side: int, scale: int) -> Scene:
    """The middle of a scene, at most `side` x `side` and a multiple of `scale`."""
    height, width = (min(side, length) // scale * scale for length in scene.cube.shape[1:])
    top, left = (scene.cube.shape[1] - height) // 2, (scene.cube.shape[2] - width) // 2
    return scene.crop(top, left, height, width)


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """A list that receives SIGINT or SIGTERM once, so that the step under way can end; the second one kills."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(number, before[number])

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _tensorboard(out: Path) -> Iterator[Any]:
    """A function (name, value, step) that writes TensorBoard events, or does nothing without TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        yield lambda *_: None
        return
    with SummaryWriter(str(out / "tensorboard")) as writer:
        yield writer.add_scalar

"""One training loop for every learned method."""

import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from tqdm.auto import tqdm

from ifmsr.errors import whole
from ifmsr.files import make_folder
from ifmsr.inference.devices import choose_device
from ifmsr.methods.base import Samples
from ifmsr.methods.registry import NETWORKS
from ifmsr.ownership import owned
from ifmsr.scenes.scene import Scene
from ifmsr.training.config import TrainConfig
from ifmsr.training.on_device import Batches, OnDevice
from ifmsr.training.patches import Patches
from ifmsr.training.state import State, start_anew
from ifmsr.weights import save_weights

WEIGHTS = "weights.safetensors"


@torch.inference_mode(False)
@torch.enable_grad()
def train(
    config: TrainConfig,
    scenes: Sequence[Scene],
    validation: Sequence[Scene],
    out: str | Path,
    resume: bool = True,
    device: str | None = None,
    workers: int = 0,
    compile: bool = False,
) -> Path:
    """Train a network and return the path of its weights, ``out/weights.safetensors``.

    Writes ``log.csv`` (one row per epoch), TensorBoard events if TensorBoard is installed, and ``checkpoint.pt``. A
    run that was killed resumes from its last checkpoint; on a CPU its weights and log are then bit for bit those of
    an uninterrupted run. A finished run returns at once. Ctrl-C and SIGTERM write a checkpoint first.

    Parameters
    ----------
    scenes : the training scenes.
    validation : scenes for the log's PSNR (centre crops, test degradation). They select nothing: the weights are
        those of the last epoch. Never give test scenes.
    out : the run's folder.
    resume : False removes the folder's checkpoint and starts again. Existing weights stay until new ones replace
        them.
    workers : processes that prepare samples; they affect the speed only. Unused where the scenes fit into the GPU's
        memory, since the samples are then made on the GPU (`ifmsr.training.on_device`).
    compile : whether PyTorch compiles the network (minutes, once per process): faster, equal up to rounding.

    Raises
    ------
    InputError : the folder holds a checkpoint of another configuration, or the scenes, the folder or the device
        cannot be used.
    TrainingError : the loss was NaN or infinite several steps in a row.
    """
    out = Path(out)
    make_folder(out)
    whole("workers", workers, least=0)
    where = choose_device(device)
    config = config.on(where)
    patches = samples(scenes, config)
    with owned(out, "trains"):
        if not resume:
            start_anew(out)
        batches = -(-len(patches) // config.batch)
        state = State(config, scenes, out, where, compile, batches)
        state.restore()
        learn(state, patches, batches_on(where, patches, config.batch, workers), validation)
        return save_weights(out / WEIGHTS, state.trained, config.network, config.schedule(len(scenes)))


def learn(
    state: State,
    patches: Samples,
    make_batches: Callable[[Sequence[int]], Batches],
    validation: Sequence[Scene],
) -> None:
    """Train from where `state` stands to the end of its schedule; a stop request writes a checkpoint first."""
    config, batches = state.config, state.batches
    bar = tqdm(
        total=config.epochs * batches,
        initial=state.epoch * batches + state.batch,
        desc=f"{config.network} x{config.scale}",
        mininterval=2,
    )
    with bar, _stop_requests() as stop, _tensorboard(state.out) as board:
        while state.epoch < config.epochs:
            numbers = range(state.epoch * len(patches), (state.epoch + 1) * len(patches))
            with closing(make_batches(numbers[state.batch * config.batch :])) as remaining:
                for batch in remaining:
                    state.learn(*batch)
                    bar.set_postfix(
                        loss=f"{state.mean_loss:.4f}", PSNR=f"{state.last_psnr:.2f}", refresh=False
                    )
                    bar.update()
                    state.checkpoint_if_due()
                    if stop:
                        state.save_checkpoint()
                        raise KeyboardInterrupt if stop[0] == signal.SIGINT else SystemExit(128 + stop[0])
            row = state.finish_epoch(validation)
            for name in ("loss", "val_psnr"):
                board(name, row[name], state.epoch)


def samples(scenes: Sequence[Scene], config: TrainConfig) -> Samples:
    """The training samples of the configuration's network."""
    return NETWORKS[config.network].samples(scenes, config)


def batches_on(
    device: torch.device, patches: Samples, batch: int, workers: int
) -> Callable[[Sequence[int]], Batches]:
    """A function that maps sample numbers to batches, the truth last.

    Samples of `Patches` are made on the GPU if the scenes fit into its memory, all others on the CPU.
    """
    if device.type == "cuda" and type(patches) is Patches:
        if OnDevice.fits(patches.scenes, device):
            return OnDevice(patches, device).batches
        warnings.warn(
            f"the scenes take more than half of {device}'s free memory: the samples are made on the CPU "
            f"({workers} worker processes)",
            stacklevel=3,
        )
    return partial(loaded, patches, batch, workers, device.type == "cuda")


def loaded(patches: Samples, batch: int, workers: int, pinned: bool, numbers: Sequence[int]) -> Batches:
    """The samples `numbers` in batches, made on the CPU."""
    chosen: Subset[tuple[Tensor, ...]] = Subset(patches, numbers)  # type: ignore[arg-type]
    yield from DataLoader(chosen, batch, num_workers=workers, pin_memory=pinned)


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """A list that records the first SIGINT or SIGTERM, so that the current step can end; a second one kills."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

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

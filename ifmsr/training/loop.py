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

    Writes ``log.csv`` (one row an epoch), TensorBoard events if it is installed, and ``checkpoint.pt``. A run
    that was killed at any moment goes on from its last checkpoint and ends, on a CPU, bit for bit as if it
    had not been, its log included; a finished one returns at once. Ctrl-C and SIGTERM write a checkpoint first.

    Parameters
    ----------
    scenes : the training scenes.
    validation : scenes for the log's PSNR (centre crops, test degradation). They choose nothing: the weights
        are those of the last epoch. Never give test scenes.
    out : the run's folder.
    resume : False starts anew even if the folder holds a checkpoint, which is removed first. Weights that are
        there stay until the new ones replace them.
    workers : processes that prepare samples; they change the speed only. Without meaning on a GPU that holds the
        scenes: it makes the pixels of its samples itself (`ifmsr.training.on_device`).
    compile : whether PyTorch compiles the network (minutes, once a process): faster, and equal to rounding.

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
    if not resume:
        start_anew(out)
    batches = -(-len(patches) // config.batch)
    state = State(config, scenes, out, where, compile, batches)
    state.restore()
    make_batches = batches_on(state.device, patches, config.batch, workers)
    bar = tqdm(
        total=config.epochs * batches,
        initial=state.epoch * batches + state.batch,
        desc=f"{config.network} x{config.scale}",
        mininterval=2,
    )
    with bar, _stop_requests() as stop, _tensorboard(out) as board:
        while state.epoch < config.epochs:
            numbers = range(state.epoch * len(patches), (state.epoch + 1) * len(patches))
            with closing(make_batches(numbers[state.batch * config.batch :])) as rest:
                for batch in rest:
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
    return save_weights(out / WEIGHTS, state.trained, config.network, config.schedule(len(scenes)))


def samples(scenes: Sequence[Scene], config: TrainConfig) -> Samples:
    """What the configuration's network learns from."""
    return NETWORKS[config.network].samples(scenes, config)


def batches_on(
    device: torch.device, patches: Samples, batch: int, workers: int
) -> Callable[[Sequence[int]], Batches]:
    """Sample numbers -> batches, the truth last: made on a GPU if it holds the scenes, else on the CPU.

    A GPU makes the pixels of `Patches`; other samples come from the CPU.
    """
    if device.type == "cuda" and type(patches) is Patches:
        if OnDevice.fits(patches.scenes, device):
            return OnDevice(patches, device).batches
        warnings.warn(
            f"the scenes take more than half of {device}'s free memory: the CPU makes the samples "
            f"({workers} worker processes)",
            stacklevel=3,
        )
    return partial(loaded, patches, batch, workers, device.type == "cuda")


def loaded(patches: Samples, batch: int, workers: int, pinned: bool, numbers: Sequence[int]) -> Batches:
    """Samples `numbers`, batch by batch, made on the CPU."""
    chosen: Subset[tuple[Tensor, ...]] = Subset(patches, numbers)  # type: ignore[arg-type]
    yield from DataLoader(chosen, batch, num_workers=workers, pin_memory=pinned)


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """A list that receives SIGINT or SIGTERM once, so that the step under way can end; the second one kills."""
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

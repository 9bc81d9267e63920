"""One training loop for every learned method."""

import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from ifmsr.devices import choose_device
from ifmsr.errors import whole
from ifmsr.files import make_folder
from ifmsr.methods.base import Samples
from ifmsr.methods.registry import NETWORKS
from ifmsr.ownership import owned
from ifmsr.scenes.scene import Scene
from ifmsr.training.config import TrainConfig
from ifmsr.training.on_device import Batches, OnDevice
from ifmsr.training.patches import Patches
from ifmsr.training.processes import joined
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

    Processes that ``torchrun`` starts train together (`ifmsr.training.processes`): each learns from its part of every
    batch, and the result is that of one process up to rounding. A training may resume with another number of them.

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
    RunFailed : another process of the training was killed.
    """
    out = Path(out)
    make_folder(out)
    whole("workers", workers, least=0)
    with joined(device) as processes:
        where = choose_device(device)
        config = config.on(where)
        patches = samples(scenes, config)
        with owned(out, "trains") if processes.first else nullcontext():
            if not resume:
                if processes.first:
                    start_anew(out)
                processes.wait()
            batches = -(-len(patches) // config.batch)
            state = State(config, scenes, out, where, compile, batches, processes)
            state.restore()
            learn(state, patches, batches_on(where, patches, workers), validation)
            if processes.first:
                save_weights(out / WEIGHTS, state.trained, config.network, config.schedule(len(scenes)))
            processes.wait()
    return out / WEIGHTS


def learn(
    state: State,
    patches: Samples,
    make_batches: Callable[[Sequence[Sequence[int]]], Batches],
    validation: Sequence[Scene],
) -> None:
    """Train from where `state` stands to the end of its schedule; a stop request writes a checkpoint first."""
    config, batches, processes = state.config, state.batches, state.processes
    bar = tqdm(
        total=config.epochs * batches,
        initial=state.epoch * batches + state.batch,
        desc=f"{config.network} x{config.scale}",
        mininterval=2,
        disable=not processes.first,
    )
    with bar, _stop_requests() as stop, _tensorboard(state.out if processes.first else None) as board:
        while state.epoch < config.epochs:
            numbers = range(state.epoch * len(patches), (state.epoch + 1) * len(patches))
            remaining = in_batches(numbers[state.batch * config.batch :], config.batch)
            parts = [processes.part(batch) for batch in remaining]
            with closing(make_batches(parts)) as made:
                for batch, tensors in zip(remaining, made, strict=True):
                    state.learn(*tensors, share=processes.share(len(batch)))
                    bar.set_postfix(
                        loss=f"{state.mean_loss:.4f}", PSNR=f"{state.last_psnr:.2f}", refresh=False
                    )
                    bar.update()
                    state.checkpoint_if_due()
                    if number := processes.largest(max(stop, default=0)):
                        state.save_checkpoint()
                        processes.wait()  # torchrun kills the others as soon as one has ended
                        if number == signal.SIGINT and processes.first:
                            raise KeyboardInterrupt
                        raise SystemExit(128 + number)
            row = state.finish_epoch(validation)
            for name in ("loss", "val_psnr"):
                board(name, row[name], state.epoch)


def samples(scenes: Sequence[Scene], config: TrainConfig) -> Samples:
    """The training samples of the configuration's network."""
    return NETWORKS[config.network].samples(scenes, config)


def in_batches(numbers: Sequence[int], size: int) -> list[Sequence[int]]:
    """Sample numbers in batches of `size`; the last may be smaller."""
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


def batches_on(
    device: torch.device, patches: Samples, workers: int
) -> Callable[[Sequence[Sequence[int]]], Batches]:
    """A function that maps the sample numbers of each batch to its tensors, the truth last.

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
    return partial(loaded, patches, workers, device.type == "cuda")


def loaded(patches: Samples, workers: int, pinned: bool, batches: Sequence[Sequence[int]]) -> Batches:
    """The samples of each batch of sample numbers, made on the CPU."""
    yield from DataLoader(
        patches,  # type: ignore[arg-type]
        batch_sampler=batches,  # type: ignore[arg-type]
        num_workers=workers,
        pin_memory=pinned,
        worker_init_fn=_leave_stop_requests,
    )


def _leave_stop_requests(_worker: int) -> None:
    """Ignore SIGINT and SIGTERM, which clusters and ``torchrun`` send to all: the training ends its workers."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


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
def _tensorboard(out: Path | None) -> Iterator[Any]:
    """A function (name, value, step) that writes TensorBoard events; it does nothing without folder or TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        out = None
    if out is None:
        yield lambda *_: None
        return
    with SummaryWriter(str(out / "tensorboard")) as writer:
        yield writer.add_scalar

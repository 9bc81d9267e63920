"""Data-parallel training: processes that ``torchrun`` has started learn from each batch together.

Process p computes the mean loss L_p of its n_p of a batch's n samples. The sum of ``L_p n_p / n`` over the processes is
the loss of the whole batch, and the sum of their gradients is its gradient. So all processes take the optimiser step
that a single one would take, and hold the same weights.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ifmsr.errors import InputError, RunFailed

TIMEOUT = timedelta(minutes=30)  # for one process to wait while another loads scenes or writes a checkpoint
_trainings = count()  # of this process; each has keys of its own in the store that the processes share
_done: deque[Any] = deque(maxlen=64)  # see `_reduce`


@dataclass(frozen=True)
class Processes:
    """The processes of one training: this one's `rank`, from 0, among `count`."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def part(self, batch: Sequence[int]) -> Sequence[int]:
        """The samples of a batch that this process learns from.

        A process without one takes the batch's first, with a `share` of 0, because all must take part in every step.
        """
        return batch[self.rank :: self.count] or batch[:1]

    def share(self, size: int) -> float:
        """The share of this process's samples in a batch of `size`."""
        return len(range(self.rank, size, self.count)) / size

    def parallel(self, net: nn.Module, loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """`loss`, a function of `net`, whose backward pass averages the gradients over all processes.

        The network must use the same parameters in every step.
        """
        if self.count == 1:
            return loss
        return DistributedDataParallel(_Loss(net, loss), static_graph=True)

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes, in place."""
        if self.count > 1:
            _reduce(values, dist.ReduceOp.SUM)
        return values

    def largest(self, number: int) -> int:
        """The largest `number` of all processes. It waits for them, not for their GPUs."""
        if self.count == 1:
            return number
        value = torch.tensor(number)
        _reduce(value, dist.ReduceOp.MAX)
        return int(value)

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.largest(0)


def _reduce(values: Tensor, operation: Any) -> None:
    """Reduce `values` over all processes, in place.

    The last reference to a finished exchange must not be that of gloo's thread: to free the tensor there it needs
    Python's lock, which the main thread holds when it frees the group and waits for that thread. So the last exchanges
    are kept.
    """
    work = dist.all_reduce(values, operation, async_op=True)
    work.wait()
    _done.append(work)


class _Loss(nn.Module):
    """A network's loss as the forward pass of a module, which `DistributedDataParallel` needs."""

    def __init__(self, net: nn.Module, loss: Callable[..., Tensor]):
        super().__init__()
        self.net, self.loss = net, loss

    def forward(self, *batch: Tensor, bands: Tensor | None) -> Tensor:
        return self.loss(*batch, bands=bands)


ALONE = Processes()


@contextmanager
def joined(device: str | None = None) -> Iterator[Processes]:
    """The processes that ``torchrun`` has started together with this one; `ALONE` without ``torchrun``.

    They find each other at the first call and part at its end; calls inside return the same processes. Unless `device`
    is a CPU, each takes the GPU of its local rank, which is then PyTorch's current one. If processes fail, the first
    raises its error and the others end with exit code 1 and without a message.

    Raises
    ------
    InputError : a machine has fewer GPUs than processes, or `device` is a single GPU.
    RunFailed : another process was killed.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched() or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    if dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size())
        return
    found, rank, size = next(dist.rendezvous("env://", timeout=TIMEOUT))
    store = dist.PrefixStore(f"training {next(_trainings)}", found)
    try:
        backend = "cpu:gloo,cuda:nccl" if take_gpu(device) else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
        yield Processes(rank, size)
    except Exception as error:
        if store.add("failures", 1) > 1:
            raise SystemExit(1) from error
        if _connection_lost(error):
            raise RunFailed(
                "another process of this training was killed or has lost its connection. The last checkpoint is kept: "
                "run the command again to resume."
            ) from error
        raise
    dist.destroy_process_group()


def take_gpu(device: str | None) -> bool:
    """Make the GPU of this process's local rank the current one, unless `device` is a CPU; whether there is one.

    Raises InputError if the processes of this machine cannot have a GPU each.
    """
    if device is None and not torch.cuda.is_available():
        return False
    kind, _, number = (device or "cuda").partition(":")
    if kind != "cuda":
        return False
    here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if number:
        raise InputError(
            "device", f"{device} is one GPU, for {here} processes", "Leave it out: each takes its own"
        )
    if here > gpus:
        raise InputError(
            "device",
            f"{here} processes on a machine with {gpus} GPUs",
            'Start one process per GPU, or give "cpu"',
        )
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return True


def _connection_lost(error: Exception) -> bool:
    """Whether a process has failed because it could not reach another.

    The errors of gloo have no class of their own; their messages name its source files.
    """
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))

"""What measurements of speed and memory share: the machine's description, a clock, a process's peak memory."""

import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

from ifmsr.devices import choose_device

EVERY = 0.02  # seconds between two looks at the memory


def machine() -> dict[str, str]:
    """The device, the number of threads and the versions, columns of every measured row."""
    device = choose_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        "device": name,
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "ifmsr": version("ifmsr"),
    }


def processor() -> str:
    """The CPU's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def clock() -> float:
    """A time in seconds, whose differences are the duration of work.

    With one thread on a CPU it is that of the processor, in which work of other programs does not count.
    """
    if torch.get_num_threads() > 1 or choose_device().type != "cpu":
        return time.perf_counter()
    spent = os.times()
    return time.process_time() + spent.children_user + spent.children_system


class PeakMemory:
    """The largest anonymous memory that this process has had inside a `watched` context, in MB."""

    megabytes = 0.0


@contextmanager
def watched() -> Iterator[PeakMemory]:
    """Watch the process's anonymous memory; pages of mapped files do not count, the system can reclaim them."""
    done, peak = threading.Event(), PeakMemory()

    def watch() -> None:
        process, over = psutil.Process(), False
        while not over:
            over = done.wait(EVERY)
            memory = process.memory_info()
            peak.megabytes = max(peak.megabytes, (memory.rss - memory.shared) / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()

"""Threads that share out strips among themselves."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import torch


class ThreadPool:
    """Does the same work on many pieces, as many at once as it has workers.

    On a CPU every worker computes with one thread: whole strips side by side keep all cores busy where single
    layers of a strip are too small to be divided. With one worker, work is done in the caller's thread. Use it
    in a ``with`` block.
    """

    def __init__(self, workers: int):
        self.workers = workers

    def __enter__(self) -> "ThreadPool":
        self.threads = torch.get_num_threads()
        if self.workers > 1:
            self.pool = ThreadPoolExecutor(self.workers, "strip", torch.set_num_threads, (1,))
        return self

    def __exit__(self, *_: object) -> None:
        if self.workers > 1:
            self.pool.shutdown(cancel_futures=True)
            torch.set_num_threads(self.threads)

    def each(self, pieces: Iterable[tuple[int, int]], work: Callable[[int, int], None]) -> None:
        """Call ``work(*piece)`` for every piece, in any order; the first error is raised."""
        if self.workers == 1:
            for piece in pieces:
                work(*piece)
            return
        for done in [self.pool.submit(_without_gradients, work, piece) for piece in pieces]:
            done.result()


def _without_gradients(work: Callable[[int, int], None], piece: tuple[int, int]) -> None:
    with torch.inference_mode():
        work(*piece)

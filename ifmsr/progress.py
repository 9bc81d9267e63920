"""Progress bars of long computations: on terminals, after two seconds, with the time left."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tqdm.auto import tqdm

Item = TypeVar("Item")
_SHOWN = ContextVar("shown", default=True)


def with_progress(items: Sequence[Item], name: str) -> Iterator[Item]:
    """The `items` one by one, with a progress bar of that `name`."""
    disable = None if _SHOWN.get() else True  # None: where the output is no terminal
    yield from tqdm(items, desc=name, delay=2, mininterval=0.5, disable=disable, leave=False)


@contextmanager
def no_progress(wanted: bool = True) -> Iterator[None]:
    """Without the bars of `with_progress` inside; `wanted` False: with them, as usual."""
    token = _SHOWN.set(_SHOWN.get() and not wanted)
    try:
        yield
    finally:
        _SHOWN.reset(token)

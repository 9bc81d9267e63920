"""A device without hardware: tensors that lie on it cannot be mixed with the CPU's, as those of a GPU cannot.

Between `elsewhere()` PyTorch knows the device `ELSEWHERE`. It computes on the CPU, so results are equal to the CPU's,
and it raises where a GPU would: tensors of two devices in one operation, `numpy` without `force`, a CPU's random
generator. It takes the name of a device type that PyTorch has and no machine does.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

ELSEWHERE = torch.device("lazy:0")
ATEN = torch.ops.aten
MOVING = (ATEN.copy_, ATEN.to, ATEN._to_copy, ATEN._has_compatible_shallow_copy_type)


class Held(Tensor):
    """A tensor there; `held` has its values."""

    @staticmethod
    def __new__(cls, held: Tensor) -> "Held":
        return Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=ELSEWHERE,
        )

    def __init__(self, held: Tensor):
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{operation} outside `elsewhere`")


class Operations(TorchDispatchMode):
    """Every operation on tensors there, by the CPU's."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        leaves = tree_leaves((args, kwargs or {}))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        wanted = [leaf.type for leaf in leaves if isinstance(leaf, torch.device)]
        there = {id(leaf.held): leaf for leaf in tensors if isinstance(leaf, Held)}
        strangers = [leaf for leaf in tensors if not isinstance(leaf, Held) and leaf.dim()]
        if there and strangers and operation.overloadpacket not in MOVING:
            raise RuntimeError(f"{operation}: tensors on two devices")
        made_there = ELSEWHERE.type in wanted if wanted else bool(there)
        if made_there and any(isinstance(leaf, torch.Generator) for leaf in leaves):
            raise RuntimeError(f"{operation}: a generator of another device")
        plain, named = tree_map(on_cpu, (args, kwargs or {}))
        results = operation(*plain, **named)
        if not made_there:
            return results
        return tree_map(
            lambda leaf: there.get(id(leaf), Held(leaf)) if isinstance(leaf, Tensor) else leaf, results
        )


def on_cpu(argument: Any) -> Any:
    """An argument of an operation for the CPU's."""
    if isinstance(argument, torch.device):
        return torch.device("cpu")
    return argument.held if isinstance(argument, Held) else argument


class Functions(TorchFunctionMode):
    """What does not reach `Operations`: tensors from Python numbers, to these, and to NumPy."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.tensor and getattr(kwargs.get("device"), "type", "") == ELSEWHERE.type:
            return torch.tensor(*args, **{**kwargs, "device": "cpu"}).to(ELSEWHERE)
        if not (args and isinstance(args[0], Held)):
            return function(*args, **kwargs)
        if function is Tensor.numpy and not kwargs.get("force"):
            raise TypeError("a tensor of another device has no NumPy array")
        if function in (Tensor.numpy, Tensor.tolist):
            return function(args[0].cpu())
        if function is Tensor.new_tensor:
            return torch.tensor(args[1], dtype=args[0].dtype, device="cpu").to(ELSEWHERE)
        return function(*args, **kwargs)


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """Yields the device. There is no `torch.autocast` on it."""
    with Operations(), Functions(), mock.patch("torch.autocast", lambda *_: nullcontext()):
        yield ELSEWHERE

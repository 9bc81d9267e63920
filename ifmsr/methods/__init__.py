"""Every method, one file each, or one folder where a method has parts."""

from typing import TYPE_CHECKING, Any

from ifmsr.methods.registry import (
    CLASSICAL,
    NETWORKS,
    method_names,
    network_of,
    register_method,
    register_network,
    title_of,
)
from ifmsr.registry import resolve

if TYPE_CHECKING:
    from ifmsr.methods.base import CubeConfig, Method, Network

__all__ = [
    "CLASSICAL",
    "NETWORKS",
    "CubeConfig",
    "Method",
    "Network",
    "method_names",
    "network_of",
    "register_method",
    "register_network",
    "title_of",
]


def __getattr__(name: str) -> Any:
    """`CubeConfig`, `Method` and `Network` on first use: they import torch, which names do not need."""
    if name in ("CubeConfig", "Method", "Network"):
        return resolve(f"ifmsr.methods.base:{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

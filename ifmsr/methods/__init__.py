"""Super-resolution methods: one module per method, or one package where a method has several parts."""

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
    """Import `CubeConfig`, `Method` and `Network` on first use: they need torch, the registry of names does not."""
    if name in ("CubeConfig", "Method", "Network"):
        return resolve(f"ifmsr.methods.base:{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

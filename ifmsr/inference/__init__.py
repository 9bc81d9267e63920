"""Any method on any device."""

from ifmsr.devices import choose_device, free_memory
from ifmsr.inference.api import Learned, assess, load_method, shipped_name, super_resolve
from ifmsr.inference.blocks import Blocks
from ifmsr.inference.networks import run_network

__all__ = [
    "Blocks",
    "Learned",
    "assess",
    "choose_device",
    "free_memory",
    "load_method",
    "run_network",
    "shipped_name",
    "super_resolve",
]

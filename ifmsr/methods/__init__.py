"""Every method, one file each, or one folder where a method has parts."""

from ifmsr.methods.base import Method, Network
from ifmsr.methods.registry import CLASSICAL, METHODS, NETWORKS

__all__ = ["CLASSICAL", "METHODS", "NETWORKS", "Method", "Network"]

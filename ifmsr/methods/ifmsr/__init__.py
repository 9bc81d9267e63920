"""IFMSR, the paper's network."""

from ifmsr.methods.ifmsr.network import IFMSR, IFMSRConfig
from ifmsr.methods.ifmsr.widening import widen

__all__ = ["IFMSR", "IFMSRConfig", "widen"]

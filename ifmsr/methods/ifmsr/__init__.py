"""IFMSR, the network of the reproduced paper (TGRS 2023)."""

from ifmsr.methods.ifmsr.network import IFMSR, IFMSRConfig
from ifmsr.methods.ifmsr.widening import widen

__all__ = ["IFMSR", "IFMSRConfig", "widen"]

"""IFMSR, the paper's network."""

from ifmsr.methods.ifmsr.network import IFMSR, IFMSRConfig

__all__ = ["IFMSR", "IFMSRConfig"]

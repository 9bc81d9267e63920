"""IFMSR's fast path: whole images in strips, any size in any memory."""

from ifmsr.inference.fast_ifmsr.maps import PatchMap, Workspace
from ifmsr.inference.fast_ifmsr.strip_network import StripIFMSR, bytes_needed
from ifmsr.inference.fast_ifmsr.strips import Strip
from ifmsr.inference.fast_ifmsr.thread_pool import ThreadPool

__all__ = ["PatchMap", "Strip", "StripIFMSR", "ThreadPool", "Workspace", "bytes_needed"]

"""Every method by name. Classical ones need nothing; networks need weights (see `ifmsr.inference`)."""

from collections.abc import Callable
from typing import Any

from ifmsr.methods.base import Method, Network
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.closed_form import ClosedForm
from ifmsr.methods.ifmsr import IFMSR, IFMSRConfig

CLASSICAL: dict[str, Callable[[], Method]] = {"bicubic": Bicubic, "closed-form": ClosedForm}


def _ifmsr(**config: Any) -> IFMSR:
    return IFMSR(IFMSRConfig(**config))


NETWORKS: dict[str, Callable[..., Network]] = {"ifmsr": _ifmsr}
"""name -> function of the network's configuration; each network has a `title` and is called (lr, rgb)."""

METHODS = (*CLASSICAL, *NETWORKS)

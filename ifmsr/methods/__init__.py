"""Every method by name. Classical ones need nothing; networks need weights (see `ifmsr.inference`)."""

from collections.abc import Callable

from ifmsr.methods.base import Method, Network
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.closed_form import ClosedForm
from ifmsr.methods.ifmsr import IFMSR
from ifmsr.methods.mhf_net import MHFNet
from ifmsr.methods.pzres_net import PZResNet

CLASSICAL: dict[str, Callable[[], Method]] = {"bicubic": Bicubic, "closed-form": ClosedForm}

NETWORKS: dict[str, type[Network]] = {
    "ifmsr": IFMSR,
    "pzres-net": PZResNet,
    "mhf-net": MHFNet,
}
"""name -> network; `Network.build` makes one from its configuration."""

METHODS = (*CLASSICAL, *NETWORKS)

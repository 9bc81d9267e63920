"""Every method by name. Classical ones need nothing; networks need weights (see `ifmsr.inference`)."""

from collections.abc import Callable

from ifmsr.methods.base import Method, Network
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.closed_form import ClosedForm
from ifmsr.methods.cnmf import CNMF
from ifmsr.methods.gsa import GSA
from ifmsr.methods.hysure import HySure
from ifmsr.methods.ifmsr import IFMSR
from ifmsr.methods.mhf_net import MHFNet
from ifmsr.methods.mog_dcn import MoGDCN
from ifmsr.methods.mtf_glp_hs import MTFGLPHS
from ifmsr.methods.pzres_net import PZResNet
from ifmsr.methods.ual import UAL

CLASSICAL: dict[str, Callable[[], Method]] = {
    "bicubic": Bicubic,
    "closed-form": ClosedForm,
    "gsa": GSA,
    "mtf-glp-hs": MTFGLPHS,
    "cnmf": CNMF,
    "hysure": HySure,
}

NETWORKS: dict[str, type[Network]] = {
    "ifmsr": IFMSR,
    "pzres-net": PZResNet,
    "mhf-net": MHFNet,
    "mog-dcn": MoGDCN,
    "ual": UAL,
}
"""name -> network; `Network.build` makes one from its configuration."""

METHODS = (*CLASSICAL, *NETWORKS)

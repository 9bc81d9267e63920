"""Every method by name. Classical ones need nothing; networks need weights (see `ifmsr.inference.api`)."""

from collections.abc import Callable
from functools import partial

from ifmsr.methods.base import Method, Network
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.closed_form.chain import ClosedForm
from ifmsr.methods.cms import CMS
from ifmsr.methods.cnmf import CNMF
from ifmsr.methods.gsa import GSA
from ifmsr.methods.hysure import HySure
from ifmsr.methods.ifmsr.network import IFMSR
from ifmsr.methods.lttr import LTTR
from ifmsr.methods.mhf_net import MHFNet
from ifmsr.methods.mog_dcn.network import MoGDCN
from ifmsr.methods.mtf_glp_hs import MTFGLPHS
from ifmsr.methods.patch_based.non_blind import TrueKernel
from ifmsr.methods.pzres_net import PZResNet
from ifmsr.methods.subspace_net.network import SubspaceNet
from ifmsr.methods.ual import UAL

CLASSICAL: dict[str, Callable[[], Method]] = {
    "bicubic": Bicubic,
    "closed-form": ClosedForm,
    "gsa": GSA,
    "mtf-glp-hs": MTFGLPHS,
    "cnmf": CNMF,
    "hysure": HySure,
    "lttr": LTTR,
    "lttr-estimated": partial(LTTR, kernel="estimated"),
    "lttr-oracle": partial(TrueKernel, LTTR()),
    "cms": CMS,
    "cms-back-projected": partial(CMS, back_projection=True),
    "cms-estimated": partial(CMS, kernel="estimated"),
    "cms-oracle": partial(TrueKernel, CMS()),
}
"""name -> function that makes the method. ``-estimated``: kernel and shift estimated; ``-oracle``: told the truth;
``-back-projected``: with the last step of CMS's program."""


NETWORKS: dict[str, type[Network]] = {
    "ifmsr": IFMSR,
    "pzres-net": PZResNet,
    "mhf-net": MHFNet,
    "mog-dcn": MoGDCN,
    "ual": UAL,
    "subspace-net": SubspaceNet,
}
"""name -> network; `Network.build` makes one from its configuration."""

METHODS = (*CLASSICAL, *NETWORKS, "ual-fusion")
"""Every name. UAL is its network and then adapted to each image; ``ual-fusion`` is the network alone."""

"""The registry of methods and networks by name; a method's module is imported when it is used.

A training-free method needs only its class. A network also needs trained weights (see `ifmsr.inference.api`). Installed
packages add methods by the entry points ``ifmsr.methods`` and ``ifmsr.networks``, programs by `register_method` and
`register_network`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ifmsr.errors import InputError
from ifmsr.registry import Registry

if TYPE_CHECKING:
    from ifmsr.methods.base import Method, Network


def _check_method(name: str, method: Any) -> None:
    if not callable(method):
        raise InputError(
            f"method {name!r}",
            f"{method!r} cannot be called",
            "Give a class, or a function that makes the method",
        )


def _check_network(name: str, network: Any) -> None:
    from ifmsr.methods.base import Network

    if not (isinstance(network, type) and issubclass(network, Network)):
        raise InputError(
            f"network {name!r}", f"{network!r} is no Network", "Derive it from ifmsr.methods.Network"
        )
    if not hasattr(network, "title"):
        raise InputError(
            f"network {name!r}", "it has no title", "Set the name that tables print: title = ..."
        )


CLASSICAL: Registry[Callable[[], "Method"]] = Registry(
    "method",
    "ifmsr.methods",
    {
        "bicubic": "ifmsr.methods.bicubic:Bicubic",
        "closed-form": "ifmsr.methods.closed_form.chain:ClosedForm",
        "gsa": "ifmsr.methods.gsa:GSA",
        "mtf-glp-hs": "ifmsr.methods.mtf_glp_hs:MTFGLPHS",
        "cnmf": "ifmsr.methods.cnmf:CNMF",
        "hysure": "ifmsr.methods.hysure:HySure",
        "lttr": "ifmsr.methods.lttr:LTTR",
        "lttr-estimated": "ifmsr.methods.lttr:lttr_estimated",
        "lttr-oracle": "ifmsr.methods.lttr:lttr_oracle",
        "cms": "ifmsr.methods.cms:CMS",
        "cms-back-projected": "ifmsr.methods.cms:cms_back_projected",
        "cms-estimated": "ifmsr.methods.cms:cms_estimated",
        "cms-oracle": "ifmsr.methods.cms:cms_oracle",
    },
    _check_method,
)
"""Name -> function that creates the training-free method. ``-estimated``: kernel and shift are estimated; ``-oracle``:
the true kernel is given; ``-back-projected``: with the final back-projection of CMS's program."""

NETWORKS: Registry[type["Network"]] = Registry(
    "network",
    "ifmsr.networks",
    {
        "ifmsr": "ifmsr.methods.ifmsr.network:IFMSR",
        "ifmsr-test-family": "ifmsr.methods.ifmsr.network:IFMSRTestFamily",
        "pzres-net": "ifmsr.methods.pzres_net:PZResNet",
        "mhf-net": "ifmsr.methods.mhf_net:MHFNet",
        "mog-dcn": "ifmsr.methods.mog_dcn.network:MoGDCN",
        "ual": "ifmsr.methods.ual:UAL",
        "subspace-net": "ifmsr.methods.subspace_net.network:SubspaceNet",
    },
    _check_network,
)
"""Name -> network class; `Network.build` creates a network from its configuration."""

VARIANTS = {"ual-fusion": ("ual", "fusion"), "auto": ("subspace-net", "auto")}
"""Further methods based on a network: name -> (network, variant), see `Network.as_method`."""


def method_names() -> tuple[str, ...]:
    """The names of all methods: the training-free ones, the networks and their variants. Imports none of them.

    Raises InputError if an installed package gives a method and a network the same name.
    """
    names = (*CLASSICAL, *NETWORKS, *VARIANTS)
    for name in CLASSICAL:
        _check_free(name, NETWORKS, VARIANTS)
    return names


def network_of(method: str) -> str | None:
    """The name of the network whose weights a method needs; None for training-free methods."""
    if method in VARIANTS:
        return VARIANTS[method][0]
    return method if method in NETWORKS else None


def title_of(method: str) -> str:
    """The title of a method in tables and figures. Raises KeyError for an unknown method."""
    if method in CLASSICAL:
        return CLASSICAL[method]().title
    network, variant = VARIANTS.get(method, (method, ""))
    return NETWORKS[network].method_title(variant)


def register_method(name: str, method: Any = None) -> Any:
    """Register a training-free method, also for the command line: ``@register_method("my-method")``.

    Parameters
    ----------
    name : lower-case letters, digits and hyphens; not used by another method.
    method : the class, or a function without arguments that creates the method. Without it, this is a decorator.

    Raises
    ------
    InputError : the name is taken or cannot be a name, or `method` cannot be called.
    """
    if method is None:
        return partial(register_method, name)
    _check_free(name, NETWORKS, VARIANTS)
    return CLASSICAL.register(name, method)


def register_network(name: str, network: Any = None) -> Any:
    """Register a network, so that it can be trained and used like those of this package.

    Parameters
    ----------
    name : lower-case letters, digits and hyphens; not used by another method.
    network : a subclass of `ifmsr.methods.Network`. Without it, this is a decorator.

    Raises
    ------
    InputError : the name is taken or cannot be a name, or the class is no `Network` or has no title.
    """
    if network is None:
        return partial(register_network, name)
    _check_free(name, CLASSICAL, VARIANTS)
    return NETWORKS.register(name, network)


def _check_free(name: str, *others: Mapping[str, Any]) -> None:
    if any(name in other for other in others):
        raise InputError(f"method {name!r}", "the name is taken", "Choose another name")

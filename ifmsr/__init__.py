"""RGB-guided hyperspectral super-resolution: IFMSR (TGRS 2023), reproducible in notebooks.

Examples
--------
>>> import numpy as np
>>> from ifmsr import super_resolve
>>> lr, rgb = np.full((31, 8, 8), 0.5, np.float32), np.full((3, 32, 32), 0.5, np.float32)
>>> super_resolve(lr, rgb, scale=4, method="bicubic").shape
(31, 32, 32)
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ifmsr.assessment import Assessment
    from ifmsr.errors import InputError, InputWarning
    from ifmsr.inference.api import assess, super_resolve
    from ifmsr.study.finished import finished_runs
    from ifmsr.viewer.widget import view

__all__ = [
    "Assessment",
    "InputError",
    "InputWarning",
    "__version__",
    "assess",
    "finished_runs",
    "super_resolve",
    "view",
]

MODULES = {
    "Assessment": "ifmsr.assessment",
    "InputError": "ifmsr.errors",
    "InputWarning": "ifmsr.errors",
    "assess": "ifmsr.inference.api",
    "finished_runs": "ifmsr.study.finished",
    "super_resolve": "ifmsr.inference.api",
    "view": "ifmsr.viewer.widget",
}
"""Public name -> its module, imported at first use, because PyTorch takes seconds to import."""

try:
    __version__ = version("ifmsr")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "unknown"


def __getattr__(name: str) -> Any:
    """Import a public name at first use."""
    if name not in MODULES:
        raise AttributeError(f"module 'ifmsr' has no attribute {name!r}")
    return getattr(import_module(MODULES[name]), name)


def __dir__() -> list[str]:
    """All names of the module, including public ones that are not yet imported."""
    return sorted({*globals(), *__all__})

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
    from ifmsr.degradation import degrade, draw_degradation, scene_seed
    from ifmsr.doctor import environment
    from ifmsr.errors import InputError, InputWarning
    from ifmsr.figures import show_band, show_kernel, show_rgb, show_spectra, tone
    from ifmsr.inference import Blocks, assess, load_method, run_network, super_resolve
    from ifmsr.paths import in_project
    from ifmsr.scenes import Observation, Scene, open_dataset
    from ifmsr.study.finished import finished_runs
    from ifmsr.viewer.widget import view
    from ifmsr.weights import load_weights

MODULES = {
    "Assessment": "ifmsr.assessment",
    "Blocks": "ifmsr.inference",
    "InputError": "ifmsr.errors",
    "InputWarning": "ifmsr.errors",
    "Observation": "ifmsr.scenes",
    "Scene": "ifmsr.scenes",
    "assess": "ifmsr.inference",
    "degrade": "ifmsr.degradation",
    "draw_degradation": "ifmsr.degradation",
    "environment": "ifmsr.doctor",
    "finished_runs": "ifmsr.study.finished",
    "in_project": "ifmsr.paths",
    "load_method": "ifmsr.inference",
    "load_weights": "ifmsr.weights",
    "open_dataset": "ifmsr.scenes",
    "run_network": "ifmsr.inference",
    "scene_seed": "ifmsr.degradation",
    "show_band": "ifmsr.figures",
    "show_kernel": "ifmsr.figures",
    "show_rgb": "ifmsr.figures",
    "show_spectra": "ifmsr.figures",
    "super_resolve": "ifmsr.inference",
    "tone": "ifmsr.figures",
    "view": "ifmsr.viewer.widget",
}
"""Public name -> its module, imported at first use, because PyTorch takes seconds to import."""

__all__ = [
    "Assessment",
    "Blocks",
    "InputError",
    "InputWarning",
    "Observation",
    "Scene",
    "__version__",
    "assess",
    "degrade",
    "draw_degradation",
    "environment",
    "finished_runs",
    "in_project",
    "load_method",
    "load_weights",
    "open_dataset",
    "run_network",
    "scene_seed",
    "show_band",
    "show_kernel",
    "show_rgb",
    "show_spectra",
    "super_resolve",
    "tone",
    "view",
]

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

"""RGB-guided hyperspectral super-resolution: IFMSR (TGRS 2023), reproducible in notebooks.

Examples
--------
>>> import numpy as np
>>> from ifmsr import super_resolve
>>> lr, rgb = np.full((31, 8, 8), 0.5, np.float32), np.full((3, 32, 32), 0.5, np.float32)
>>> super_resolve(lr, rgb, scale=4, method="bicubic").shape
(31, 32, 32)
"""

from ifmsr.inference.api import super_resolve

__all__ = ["super_resolve"]

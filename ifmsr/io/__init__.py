"""Anyone's files in and out: readers and writers by format, one validation door.

>>> import tempfile, numpy as np
>>> from pathlib import Path
>>> from ifmsr.io import Cube, read_cube, write_cube
>>> folder = Path(tempfile.mkdtemp())
>>> cube = Cube(np.full((4, 6, 8), 0.5, np.float32), wavelengths=np.array([450.0, 550.0, 650.0, 750.0]))
>>> read_cube(write_cube(folder / "cube.npz", cube)).wavelengths
array([450., 550., 650., 750.])
"""

from ifmsr.io.cube import Cube
from ifmsr.io.pair import Pair, fit_pair
from ifmsr.io.reading import read_cube, read_guide
from ifmsr.io.writing import check_target, write_cube

__all__ = ["Cube", "Pair", "check_target", "fit_pair", "read_cube", "read_guide", "write_cube"]

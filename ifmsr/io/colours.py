"""Which bands of an image are red, green and blue: by their names, else by their wavelengths."""

import re
from collections.abc import Sequence

import numpy as np

from ifmsr.io.stored import Numbers

COLOURS = ("red", "green", "blue")
OTHERS = {"edge", "infrared", "coastal", "yellow"}
"""Words that make another band of it: red edge, coastal blue."""
CENTRES = (655.0, 555.0, 480.0)  # nm
WITHIN = 40.0  # nm


def colour_bands(names: Sequence[str], wavelengths: Numbers | None) -> list[int] | None:
    """The numbers of the red, green and blue band, counted from 0; None if that cannot be told.

    Examples
    --------
    >>> colour_bands(("Blue", "Green", "Red", "Red Edge", "NIR"), None)
    [2, 1, 0]
    >>> colour_bands((), np.array([427.0, 478.0, 546.0, 608.0, 659.0, 724.0]))
    [4, 2, 1]
    """
    words = [set(re.findall("[a-z]+", name.lower())) for name in names]
    named = [
        [band for band, of in enumerate(words) if colour in of and not of & OTHERS] for colour in COLOURS
    ]
    if all(len(found) == 1 for found in named):
        return [band for (band,) in named]
    if wavelengths is None:
        return None
    apart = np.abs(np.subtract.outer(CENTRES, wavelengths))
    nearest = [int(band) for band in apart.argmin(axis=1)]
    return nearest if apart.min(axis=1).max() <= WITHIN and len(set(nearest)) == 3 else None

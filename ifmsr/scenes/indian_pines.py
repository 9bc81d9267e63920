"""Indian Pines: one real AVIRIS scene of 145 x 145 pixels and 200 bands, which needs no download."""

from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.extras import require
from ifmsr.io.windows import cut
from ifmsr.scenes.base import DataSet, Split, Window, to_cube, within
from ifmsr.scenes.scene import Scene

MAXIMUM = 9604  # the cube's largest value, by which all values are divided
LINE_FEED, CARRIAGE_RETURN = 10, 13
RANKS = (3, 4, 6, 8, 12, 16, 20)  # of the low-rank models that choose between two candidate values
UNSURE = 60  # expected error of a model in sensor units
WINDOWS: dict[str, Window] = {
    "train": (0, 0, 144, 72),
    "validation": (0, 72, 144, 24),
    "test": (0, 96, 144, 48),
    "full": (0, 0, 144, 144),
}


class IndianPines(DataSet):
    """The Indian Pines data set: three parts of the cube that the package `tensorly` contains.

    `train`, `validation` and `test` are columns 0-71, 72-95 and 96-143 of rows 0-143. The view `full` has all
    144 x 144 pixels; the last row and column are omitted, so that scales 4 and 8 divide all sides. Values (955 to 9604)
    are divided by 9604. Band centres are not set, because the water-absorption bands are removed and the published
    lists of the remaining bands disagree. The RGB image is bands 29, 19 and 9, counted from 0.

    The file in the package was damaged by a text-mode conversion, see `restore_carriage_returns`.

    Source: Baumgardner et al., 2015, doi:10.4231/R7RX991C, CC BY 3.0.
    """

    name: ClassVar[str] = "indian-pines"
    title: ClassVar[str] = "Indian Pines"
    bands: ClassVar[int] = 200
    published: ClassVar[int] = 1
    default_split: ClassVar[str] = "spatial"
    quantity: ClassVar[str] = "value / 9604"
    obtain: ClassVar[str] = 'Install the package tensorly, which holds it: pip install "ifmsr[study]"'
    caveat: ClassVar[str] = (
        "3 % of the values in the distributed file, up to half of a band, were damaged by a text-mode conversion and "
        "are restored by a low-rank model of the spectra"
    )
    views = ("full",)

    def __init__(self, root: str | Path | None = None):
        require("tensorly")
        self.root = None
        self.names = [name for name in WINDOWS if name not in self.views]

    def load(self, name: str, window: Window | None = None) -> Scene:
        """Load one of the three parts or `full`, or a window of it."""
        if name not in WINDOWS:
            raise self.unknown(name)
        place = within(f"indian-pines scene {name}", WINDOWS[name], window)
        cube = to_cube("tensorly's Indian Pines", cut(_image(), place), MAXIMUM)
        return Scene(name, cube, rgb_bands=(29, 19, 9))

    def split(self, name: str) -> Split:
        """`spatial`: the three parts, which share no pixel."""
        if name != "spatial":
            raise InputError(f"indian-pines split {name!r}", "there is no such split", "Choose spatial")
        return Split(("train",), ("validation",), ("test",))


@lru_cache(maxsize=1)
def _image() -> NDArray[Any]:
    """The cube (145, 145, 200) in sensor units."""
    from tensorly.datasets import load_indian_pines

    return restore_carriage_returns(np.asarray(load_indian_pines()["tensor"])).astype(np.float32)


def restore_carriage_returns(
    image: NDArray[Any], before: int = CARRIAGE_RETURN, after: int = LINE_FEED
) -> NDArray[np.float64]:
    """Undo the text-mode conversion of a 16-bit file, which replaced all bytes 13 by 10.

    No byte of the file is 13, and 10 is twice as frequent as its neighbours. A value with a replaced high byte is 768
    too small. This affects 3 % of all values, by 8 % of full scale, and leaves a gap in the histograms of bands 18 to
    33. A high byte of 10 may also be original, so each such value has two candidates. A low-rank model of all spectra,
    of increasing rank, chooses the nearer one. (In a test with another byte value, it is right in 99.9 % of the
    places.) A replaced low byte is an error of 3 units and is not corrected.

    Parameters
    ----------
    image : (H, W, B) whole numbers in sensor units.
    before, after : the original byte and its replacement.

    Returns
    -------
    (H, W, B) float64; unchanged values if the image contains a high byte `before` and is thus not damaged.
    """
    image = np.asarray(image, dtype=np.float64)
    high = image // 256
    if (high == before).any():
        return image
    step, doubtful = 256.0 * (before - after), high == after
    lower, chance = image[doubtful], np.full(np.count_nonzero(doubtful), 0.5)
    guess = image.copy()
    for rank in RANKS:
        guess[doubtful] = lower + step * chance
        spectra = guess.reshape(-1, image.shape[2])  # (H W, B)
        mean = spectra.mean(axis=0)
        basis = np.linalg.eigh(np.cov(spectra.T))[1][:, -rank:]  # (B, rank)
        model = ((spectra - mean) @ basis @ basis.T + mean).reshape(image.shape)[doubtful]
        chance = 1 / (1 + np.exp((lower + step / 2 - model) / UNSURE))
    guess[doubtful] = lower + step * (chance > 0.5)
    return guess

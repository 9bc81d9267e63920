"""Indian Pines: one real AVIRIS scene of 145 x 145 pixels and 200 bands that needs no download."""

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

MAXIMUM = 9604  # the cube's largest value, and its fixed scale here
LINE_FEED, CARRIAGE_RETURN = 10, 13
RANKS = (3, 4, 6, 8, 12, 16, 20)  # of the low-rank models that choose between two readings, coarse to fine
UNSURE = 60  # sensor units: how far a model may be off
WINDOWS: dict[str, Window] = {
    "train": (0, 0, 144, 72),
    "validation": (0, 72, 144, 24),
    "test": (0, 96, 144, 48),
    "full": (0, 0, 144, 144),
}


class IndianPines(DataSet):
    """Three parts of the Indian Pines cube that ships inside the package `tensorly`.

    `train`, `validation` and `test` are columns 0-71, 72-95 and 96-143 of rows 0-143; the view `full` is all
    144 x 144 (the last row and column are left out, so that scales 4 and 8 divide every side). Values (955 to
    9604) are divided by 9604. Band centres are left unset: the water-absorption bands are cut out and
    the published lists of what is left disagree. The colour image is bands 29, 19 and 9, counted from 0.

    The package's file went through a text-mode conversion; `restore_carriage_returns` undoes it.

    The data: Baumgardner et al., 2015, doi:10.4231/R7RX991C, CC BY 3.0.
    """

    name: ClassVar[str] = "indian-pines"
    title: ClassVar[str] = "Indian Pines"
    bands: ClassVar[int] = 200
    published: ClassVar[int] = 1
    default_split: ClassVar[str] = "spatial"
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
        """One of the three parts, or `full`."""
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
    """Undo what a text-mode conversion did to the 16-bit file: every byte 13 in it has become a 10.

    No byte of the file is 13, and twice as many as around it are 10. Where the high byte was hit, a value is
    768 too small: 3 % of all values, by 8 % of full scale, and the histograms of bands 18 to 33 have a gap.
    A high byte of 10 may also be genuine, so each such value has two readings; a low-rank model of all
    spectra, refined with every round, chooses the nearer. (The same damage done on purpose to another byte
    value is undone in 99.9 % of the places.) A hit low byte is an error of 3 units and is left.

    Parameters
    ----------
    image : (H, W, B) whole numbers in sensor units.
    before, after : what the byte was and what it has become.

    Returns
    -------
    (H, W, B) float64; the same values if the image holds a high byte `before`, so is not damaged.
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

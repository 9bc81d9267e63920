"""Large images block by block: what is estimated comes from a sample, and every block is solved with it.

A statistic of a whole image (blur, noise, response, regression, gains ...) hardly changes from a few megapixels on. So
it is taken from four pieces of a large image, by the method's own steps (see `ifmsr.methods.closed_form.findings`), and
each block is then solved with what lies around it as far as the steps reach. The blocks fit together without seams,
memory is that of one block, and blocks may be computed in any order by any process.

A pass over both images finds their largest values. Two things need the whole images at once and are not done here:
registration, so that a guide which does not lie on the cube is only reported, and the restoration of clipped pixels,
which count as invalid.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ifmsr.assessment import Assessment, Guide, assessment_of
from ifmsr.degradation.kernels import kernel_side
from ifmsr.errors import InputError, whole
from ifmsr.extras import require
from ifmsr.guide.preparation import prepare_sample
from ifmsr.inference.arrays import observation_of
from ifmsr.inference.assessed import Assessed, run_assessed
from ifmsr.methods.base import Method
from ifmsr.methods.closed_form.chain import complete, pair_of
from ifmsr.methods.closed_form.findings import Block, Findings
from ifmsr.precision import float32_by_default
from ifmsr.progress import with_progress
from ifmsr.scenes.scene import Array, Observation

LARGE = 1_500_000  # pixels of a guide; larger images are solved in blocks
PIECE = 512  # pixels of a guide: side of a sample's pieces
HALO = 36  # LR pixels around a block
NOISE_HALO = 12  # more of them, if the guide's noise is removed
GRID = 12  # LR pixels: blocks begin at multiples of it, and halos are
CUBES, IMAGES = 3, 60  # of a block's size that are in memory at once, of all bands and of one
MEMORY = 10**9  # bytes for a block


class Place(NamedTuple):
    """Rows and columns of an image."""

    rows: slice
    columns: slice

    def finer(self, scale: int) -> "Place":
        """The same place in an image with `scale` times as many rows and columns."""
        return Place(*(slice(scale * part.start, scale * part.stop) for part in self))

    def around(self, halo: int, size: tuple[int, int]) -> "Place":
        """With so many pixels more on each side, as far as an image of this size has them."""
        return Place(
            *(
                slice(max(0, part.start - halo), min(length, part.stop + halo))
                for part, length in zip(self, size, strict=True)
            )
        )

    def within(self, other: "Place") -> "Place":
        """The same place, counted from the corner of another."""
        return Place(*(slice(a.start - b.start, a.stop - b.start) for a, b in zip(self, other, strict=True)))


def blockwise(method: Method) -> bool:
    """Whether a method solves a block as it would in the whole image."""
    return bool(getattr(method, "blockwise", False))


class Blocks:
    """A large pair of images, ready to be super-resolved block by block, in any order.

    Parameters
    ----------
    lr, rgb : (B, h, w) and (3, scale h, scale w), whatever is sliced as a NumPy array is: memory maps, HDF5 data sets,
        zarr and dask arrays. NaN where a value is invalid.
    method : one that is `blockwise`.
    srf, guide : as for `ifmsr.super_resolve`.
    memory : bytes for a block; 1 GB by default.
    lr_maximum, rgb_maximum : the stored numbers that become 1.

    Attributes
    ----------
    shape : of the result, (B, H, W).
    places : where the blocks lie in the result.
    assessment : of a sample of the pair.

    Raises
    ------
    InputError : the method needs whole images, sizes do not fit, values lie outside [0, maximum], `memory` does not
        suffice for a block.

    Examples
    --------
    >>> from ifmsr import load_method
    >>> generator = np.random.default_rng(0)
    >>> lr, rgb = generator.random((8, 24, 36), np.float32), generator.random((3, 96, 144), np.float32)
    >>> blocks = Blocks(lr, rgb, 4, load_method("closed-form", 4))
    >>> blocks.into(np.empty(blocks.shape, np.float32)).shape
    (8, 96, 144)
    """

    @float32_by_default()
    def __init__(
        self,
        lr: Any,
        rgb: Any,
        scale: int,
        method: Method,
        srf: Any = None,
        guide: Guide = "auto",
        memory: int | None = None,
        lr_maximum: float = 1.0,
        rgb_maximum: float = 1.0,
    ):
        if not blockwise(method):
            raise InputError("method", f"{method.title} needs whole images", "Use auto or closed-form")
        self.lr, self.rgb, self.scale, self.srf = lr, rgb, whole("scale", scale, least=1), srf
        self.maxima, self.method = (lr_maximum, rgb_maximum), Assessed.of(method)
        bands, *self.size = lr.shape
        self.shape = (bands, *(scale * length for length in self.size))
        if tuple(rgb.shape) != (3, *self.shape[1:]):
            raise InputError("rgb", f"shape {tuple(rgb.shape)}", f"Give {(3, *self.shape[1:])}")
        sample = self._sample()
        prepared, self._preparation = prepare_sample(sample, guide)
        self._halo = HALO + (NOISE_HALO if self._preparation.noise.worth else 0)
        self._lr_places = list(places(self.size, self._side(MEMORY if memory is None else memory)))
        self.places = [place.finer(self.scale) for place in self._lr_places]
        self.assessment: Assessment = replace(assessment_of(sample, prepared), lr_invalid=0.0)
        self._found = Findings()
        self._find(prepared.observation)

    def block(self, number: int, with_error: bool = False) -> tuple[Array, ...]:
        """The result at ``places[number]``, (B, rows, columns) float32 in [0, 1], NaN as for `super_resolve`.

        `with_error`: and each pixel's expected absolute error (rows, columns).
        """
        inner = self._lr_places[number]
        outer = inner.around(self._halo, self.size)
        delivered = self._observation(outer)
        if delivered is None:
            rows, columns = (part.stop - part.start for part in inner.finer(self.scale))
            nothing = np.full((self.shape[0], rows, columns), np.nan, np.float32)
            return (nothing, nothing[0]) if with_error else (nothing,)
        prepared = Block.of(self._preparation.of(delivered), self._found)
        assessment = replace(self.assessment, delivered=delivered, observation=prepared)
        rows, columns = inner.within(outer).finer(self.scale)
        return tuple(image[..., rows, columns] for image in run_assessed(self.method, assessment, with_error))

    def whole(self, with_error: bool = False) -> tuple[Array, ...]:
        """All blocks together, as arrays."""
        images = [np.empty(self.shape, np.float32)]
        if with_error:
            images.append(np.empty(self.shape[1:], np.float32))
        for number, (rows, columns) in with_progress(list(enumerate(self.places)), "blocks"):
            for image, block in zip(images, self.block(number, with_error), strict=True):
                image[..., rows, columns] = block
        return tuple(images)

    def into(self, target: Any) -> Any:
        """Write the result into a (B, H, W) array, memory map, HDF5 data set or zarr array, and return that."""
        for number, (rows, columns) in with_progress(list(enumerate(self.places)), "blocks"):
            (target[:, rows, columns],) = self.block(number)
        return target

    def to_dask(self) -> Any:
        """The result as a dask array, a chunk per block: computed when it is stored, by whatever dask computes with.

        For other machines `lr` and `rgb` should be zarr or dask arrays; others are sent to them whole.

        Raises InputError if dask is not installed.
        """
        require("dask")
        import dask.array
        from dask import delayed

        rows: list[list[Any]] = []
        block = delayed(lambda blocks, number: blocks.block(number)[0])
        source = delayed(self, traverse=False)
        for number, place in enumerate(self.places):
            if place.columns.start == 0:
                rows.append([])
            size = (self.shape[0], *(part.stop - part.start for part in place))
            rows[-1].append(dask.array.from_delayed(block(source, number), size, np.float32))
        return dask.array.block(rows)

    def _side(self, memory: int) -> int:
        """LR pixels along a block that memory suffices for, a multiple of `GRID`."""
        each = 4 * self.scale**2 * (CUBES * self.shape[0] + IMAGES)  # bytes per LR pixel
        side = int((memory / each) ** 0.5) - 2 * self._halo
        if side < GRID:
            least = each * (GRID + 2 * self._halo) ** 2
            raise InputError("memory", f"{memory} bytes", f"Give at least {least}: a block takes so many")
        return side // GRID * GRID

    def _part(self, place: Place) -> tuple[Array, Array]:
        """Both images there, in [0, 1]; `place` counts LR pixels."""
        finer, (lr_maximum, rgb_maximum) = place.finer(self.scale), self.maxima
        lr = np.asarray(self.lr[:, place.rows, place.columns], np.float32)
        rgb = np.asarray(self.rgb[:, finer.rows, finer.columns], np.float32)
        return lr / np.float32(lr_maximum), rgb / np.float32(rgb_maximum)

    def _observation(self, place: Place) -> Observation | None:
        """Both images there; None if the cube has no valid pixel. A guide without any gets one, which has no weight."""
        lr, rgb = self._part(place)
        if np.isnan(lr).any(0).all():
            return None
        if np.isnan(rgb).any(0).all():
            rgb[:, 0, 0] = 0
        return observation_of(lr, rgb, self.scale, self.srf)

    def _sample(self) -> Observation:
        """Up to four pieces side by side, LR pixels at the seams between them invalid."""
        (tall, across), (wide, along) = (self._pieces(length) for length in self.size)
        pieces = [[self._part(Place(rows, columns)) for columns in wide] for rows in tall]
        lr, rgb = (np.block([[piece[image] for piece in row] for row in pieces]) for image in range(2))
        observation, seams = observation_of(lr, rgb, self.scale, self.srf), across[:, None] | along
        if not seams.any():
            return observation
        valid = ~seams if observation.lr_valid is None else observation.lr_valid & ~seams
        return replace(observation, lr_valid=valid)

    def _pieces(self, length: int) -> tuple[list[slice], NDArray[np.bool_]]:
        """Along an axis of the LR image: the sample's pieces, and where in them a kernel would see both.

        Two around the quarters, or the whole if it is no longer than two.
        """
        piece = -(-PIECE // (self.scale * GRID)) * GRID
        if length <= 2 * piece:
            return [slice(0, length)], np.zeros(length, bool)
        starts = [quarter * length // 4 - piece // 2 for quarter in (1, 3)]
        reach, seam = kernel_side(self.scale) // (2 * self.scale), np.zeros(2 * piece, bool)
        seam[piece - reach : piece + reach] = True
        return [slice(start, start + piece) for start in starts], seam

    def _find(self, observation: Observation) -> None:
        """Everything that blocks are solved with, from the prepared sample."""
        pair_of(observation, self._found)
        sample = Block.of(observation, self._found)
        run_assessed(self.method, replace(self.assessment, observation=sample))
        brightest, lr_brightest = np.zeros((3, 1, 1), np.float32), 0.0
        for place in self._lr_places:
            lr, rgb = self._part(place)
            brightest = np.fmax(brightest, np.fmax.reduce(rgb, axis=(1, 2), keepdims=True))
            lr_brightest = max(lr_brightest, float(np.fmax.reduce(lr, axis=None)))
        complete(sample, lr_brightest, self._preparation.curve.linearise(torch.from_numpy(brightest)))


def in_blocks(
    method: Method, observation: Observation, guide: Guide = "auto", memory: int | None = None
) -> Blocks | None:
    """The blocks of a large observation; None if it is small, has to be registered, or the method needs it whole."""
    if not blockwise(method) or observation.rgb[0].size <= LARGE:
        return None
    lr, rgb = (
        image if valid is None else np.where(valid, image, np.float32(np.nan))
        for image, valid in (
            (observation.lr, observation.lr_valid),
            (observation.rgb, observation.rgb_valid),
        )
    )
    blocks = Blocks(lr, rgb, observation.scale, method, observation.srf, guide, memory)
    return blocks if blocks.assessment.fits else None


def places(size: tuple[int, int], side: int) -> Iterator[Place]:
    """Squares of this side that cover an image, row by row."""
    starts = (range(0, length, side) for length in size)
    for top, left in product(*starts):
        yield Place(
            *(
                slice(start, min(start + side, length))
                for start, length in zip((top, left), size, strict=True)
            )
        )

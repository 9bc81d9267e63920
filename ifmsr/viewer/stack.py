"""The images of one viewer, checked against each other, and the ranges that they are displayed in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError, shown
from ifmsr.figures.pair import bands_near, shown_bands
from ifmsr.figures.panels import TRUTH
from ifmsr.io import Cube

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]
Bands = tuple[int, int, int]

NEAR_INFRARED = (860.0, 650.0, 550.0)  # nm, shown as red, green and blue: vegetation is red
SAMPLE = 256  # pixels along each side that percentiles are taken over
VALUES = 1_000_000  # errors that percentiles are taken over
DARK = 0.2  # median of a stretched guide below which it is taken for linear


@dataclass(frozen=True, eq=False)
class Layer:
    """One image of a viewer.

    Attributes
    ----------
    name : what the viewer calls it.
    role : "cube", "guide", "result" or "truth".
    values : (B, h, w) float32, NaN where no value is valid; the guide (3, h, w).
    """

    name: str
    role: str
    values: Array

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return self.values.shape[1], self.values.shape[2]

    @cached_property
    def ranges(self) -> tuple[Numbers, Numbers]:
        """The least and the largest value of every band, (B,) each."""
        flat = self.values.reshape(len(self.values), -1)
        low = np.fmin.reduce(flat, axis=1).astype(np.float64)
        high = np.fmax.reduce(flat, axis=1).astype(np.float64)
        return np.nan_to_num(low), np.nan_to_num(high)

    def sample(self) -> Array:
        """At most `SAMPLE` x `SAMPLE` of the pixels, evenly spaced."""
        down, across = (-(-side // SAMPLE) for side in self.size)
        return self.values[:, ::down, ::across]


@dataclass(frozen=True, eq=False)
class Stack:
    """The images of one viewer on a common frame, that of the finest of them.

    Attributes
    ----------
    layers : cube, guide, results and truth, in this order, as far as they are given.
    wavelengths : (B,) in nm, or None.
    quantity : what the values are, for the axes.
    """

    layers: tuple[Layer, ...]
    wavelengths: Numbers | None
    quantity: str

    @property
    def bands(self) -> int:
        """Number of bands of the cube."""
        return len(self.layers[0].values)

    @cached_property
    def size(self) -> tuple[int, int]:
        """(H, W) of the finest image."""
        return max(layer.size for layer in self.layers)

    @cached_property
    def truth(self) -> Layer | None:
        """The layer of the truth, or None."""
        return next((layer for layer in self.layers if layer.role == "truth"), None)

    @cached_property
    def compared(self) -> tuple[int, ...]:
        """The layers that have an error: all on the truth's grid but the guide and the truth."""
        if self.truth is None:
            return ()
        return tuple(
            place
            for place, layer in enumerate(self.layers)
            if layer.role in ("cube", "result") and layer.size == self.truth.size
        )

    @cached_property
    def natural(self) -> Bands | None:
        """The bands of natural colour, or None where the wavelengths do not reach it."""
        bands, name = shown_bands(self.bands, self.wavelengths)
        return bands if name == "natural colour" else None

    @cached_property
    def false(self) -> Bands:
        """The bands of false colour: near infrared, red and green, or bands over the whole range."""
        if self.wavelengths is not None and (infrared := bands_near(self.wavelengths, NEAR_INFRARED)):
            return infrared
        if self.natural is None:
            return shown_bands(self.bands, self.wavelengths)[0]
        order = np.argsort(np.asarray(self.wavelengths))
        long, middle, short = (int(order[self.bands * part // 12]) for part in (11, 6, 1))
        return long, middle, short

    @cached_property
    def stretch(self) -> tuple[Numbers, Numbers]:
        """The values shown as black and as white in every band: the cube's 1st and 99th percentile, (B,) each."""
        black, white = _percentiles(self.layers[0].sample(), (1, 99))
        return black, white

    def guide_stretch(self, guide: Layer) -> tuple[Numbers, Numbers, bool]:
        """The guide's values shown as black and as white, (3,) each, and whether it is linear: its root is shown."""
        black, middle, white = _percentiles(guide.sample(), (1, 50, 99))
        return black, white, float(np.mean((middle - black) / np.maximum(white - black, 1e-6))) < DARK

    @cached_property
    def error_limits(self) -> tuple[float, float]:
        """The largest absolute error of any layer, and the end of the scale: see `_scale_end`."""
        assert self.truth is not None
        truth, largest, usual = self.truth, 1e-6, []
        for place in self.compared:
            layer = self.layers[place]
            bands = (abs(a - b) for a, b in zip(layer.values, truth.values, strict=True))
            largest = max(largest, *(float(np.nan_to_num(band).max()) for band in bands))
            usual.append(abs(layer.sample() - truth.sample()))
        return largest, _scale_end(usual, 1e-6)

    @cached_property
    def angle_limits(self) -> tuple[float, float]:
        """The largest spectral angle in degrees of any layer, and the end of the scale: see `_scale_end`."""
        assert self.truth is not None
        angles = [self.angles(place) for place in self.compared]
        largest = max(float(np.nan_to_num(angle).max()) for angle in angles)
        return max(largest, 1e-3), _scale_end(angles, 1e-3)

    def angles(self, place: int) -> Array:
        """Spectral angle between a layer and the truth in degrees, (H, W); NaN where a spectrum is zero or missing."""
        assert self.truth is not None
        if place not in self._angles:
            sums = [np.zeros(self.truth.size) for _ in range(3)]
            for band, true in zip(self.layers[place].values, self.truth.values, strict=True):
                for total, (a, b) in zip(sums, ((band, true), (band, band), (true, true)), strict=True):
                    total += a.astype(np.float64) * b
            with np.errstate(invalid="ignore", divide="ignore"):
                cosine = sums[0] / np.sqrt(sums[1] * sums[2])
            self._angles[place] = np.degrees(np.arccos(cosine.clip(-1, 1))).astype(np.float32)
        return self._angles[place]

    @cached_property
    def _angles(self) -> dict[int, Array]:
        return {}

    def spectra(self, row: int, column: int) -> list[Array | None]:
        """The spectrum of every layer at a pixel of the frame, (B,) each; None for the guide."""
        return [
            None
            if layer.role == "guide"
            else layer.values[:, row * layer.size[0] // self.size[0], column * layer.size[1] // self.size[1]]
            for layer in self.layers
        ]

    def first_point(self) -> tuple[int, int]:
        """A bright pixel with a valid spectrum, (row, column) of the frame."""
        layer = self.layers[-1] if self.layers[-1].role != "guide" else self.layers[0]
        brightness = layer.values.mean(axis=0).ravel()
        valid = np.flatnonzero(np.isfinite(brightness))
        if not valid.size:
            return self.size[0] // 2, self.size[1] // 2
        chosen = int(valid[np.argsort(brightness[valid], kind="stable")[valid.size * 9 // 10]])
        row, column = divmod(chosen, layer.size[1])
        return row * self.size[0] // layer.size[0], column * self.size[1] // layer.size[1]

    def facts(self) -> str:
        """One line: bands, wavelengths, pixels."""
        span = ""
        if self.wavelengths is not None:
            span = f", {self.wavelengths.min():.0f} to {self.wavelengths.max():.0f} nm"
        sizes = dict.fromkeys(f"{layer.size[0]} x {layer.size[1]}" for layer in self.layers)
        return f"{self.bands} bands{span}, {' and '.join(sizes)} pixels"


def stack_of(
    cube: Any,
    guide: Any = None,
    results: Mapping[str, Any] | None = None,
    truth: Any = None,
    wavelengths: Any = None,
) -> Stack:
    """The images of a viewer; parameters and errors as for `ifmsr.view`."""
    first = _image("cube", cube)
    layers = [Layer("Cube", "cube", first)]
    if guide is not None:
        layers.append(Layer("RGB guide", "guide", _guide(guide)))
    if results is not None and not isinstance(results, Mapping):
        raise InputError("results", f"found {shown(results)}", 'Give a dict, for example {"bicubic": sr}')
    for name, values in (results or {}).items():
        if not isinstance(name, str) or not name.strip():
            raise InputError("results", f"{shown(name)} as a name", "Name every result by a text")
        layers.append(Layer(name, "result", _image(f"results[{name!r}]", values)))
    if truth is not None:
        layers.append(Layer(TRUTH, "truth", _image("truth", truth)))
    height, width = max(layer.size for layer in layers)
    for layer in layers[1:]:
        _check_beside(layer, layers[0])
        _check_size(layer, (height, width))
    if layers[0].size != (height, width):
        layers[0] = replace(layers[0], name="LR cube")
    names = [layer.name for layer in layers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError("results", f"{twice[0]!r} is the name of another image", "Choose another name")
    if wavelengths is None and isinstance(cube, Cube):
        wavelengths = cube.wavelengths
    counts = isinstance(cube, Cube) and cube.maximum != 1
    quantity = f"Value / {cube.maximum:g}" if counts else "Reflectance"
    return Stack(tuple(layers), _wavelengths(wavelengths, len(first)), quantity)


def nice(value: float) -> float:
    """The least of ..., 0.1, 0.2, 0.5, 1, 2, 5, ... that is not below `value`."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(f"{next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9)):.3g}")


def _scale_end(errors: list[Array], least: float) -> float:
    """A round number between the layers' errors: the geometric mean of their 99th percentiles.

    The worst layer alone would leave the others black.
    """
    usual = [
        max(float(np.percentile(valid[:: -(-valid.size // VALUES)], 99)), least)
        for layer in errors
        if (valid := layer[np.isfinite(layer)]).size
    ]
    return nice(float(np.exp(np.mean(np.log(usual)))) if usual else least)


def _where(layer: Layer) -> str:
    """The argument that a layer came from."""
    return f"results[{layer.name!r}]" if layer.role == "result" else layer.role


def _check_beside(layer: Layer, cube: Layer) -> None:
    """Raise InputError, naming the argument, unless a layer has the cube's bands and shows the same place."""
    bands = len(cube.values)
    if layer.role != "guide" and len(layer.values) != bands:
        raise InputError(
            _where(layer), f"{len(layer.values)} bands beside a cube of {bands}", "Give the same bands"
        )
    _check_size(layer, cube.size)


def _check_size(layer: Layer, other: tuple[int, int]) -> None:
    """Raise InputError, naming the argument, unless one of two sizes is a whole multiple of the other."""
    (rows, columns), (height, width) = sorted((layer.size, other))
    if height % rows or height // rows * columns != width:
        raise InputError(
            _where(layer),
            "{} x {} pixels beside an image of {} x {}".format(*layer.size, *other),
            "Crop the images to the same place, with a whole number of pixels along one of the coarser image",
        )


def _image(where: str, values: Any) -> Array:
    """(B, h, w) float32 with NaN for what is infinite or masked; InputError for anything else."""
    if isinstance(values, Cube):
        values = values.values
    if hasattr(values, "detach"):  # a torch tensor; NumPy has no bfloat16
        values = values.detach().float().cpu().numpy()
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float32), np.nan)
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(where, f"it is no array ({error})", "Give a Cube or an array") from error
    if array.ndim != 3 or array.dtype.kind not in "fiub" or not array.size:
        raise InputError(
            where,
            f"found {shown(values)}" if array.dtype.kind == "O" else f"{array.dtype} of shape {array.shape}",
            "Give a Cube or an array of shape (bands, height, width)",
        )
    array = array.astype(np.float32, copy=False)
    finite = np.isfinite(array)
    if not finite.any():
        raise InputError(where, "no value is finite", "Give an image with at least one valid pixel")
    return array if finite.all() else np.where(finite, array, np.float32(np.nan))


def _guide(values: Any) -> Array:
    """The guide as (3, h, w); a panchromatic one is shown grey."""
    image = _image("guide", values)
    if len(image) not in (1, 3):
        raise InputError("guide", f"{len(image)} channels", "Give red, green and blue, or one channel")
    return image.repeat(3, axis=0) if len(image) == 1 else image


def _wavelengths(values: Any, bands: int) -> Numbers | None:
    if values is None:
        return None
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("wavelengths", f"no numbers ({error})", "Give band centres in nm") from error
    if found.shape != (bands,) or not np.isfinite(found).all():
        raise InputError(
            "wavelengths", f"shape {found.shape} for {bands} bands", "Give one band centre in nm per band"
        )
    return found


def _percentiles(values: Array, of: tuple[int, ...]) -> Numbers:
    """Percentiles of every band, (len(of), B); 0 for a band without a valid value."""
    found = np.zeros((len(of), len(values)))
    for band, image in enumerate(values):
        valid = image[np.isfinite(image)]
        if valid.size:
            found[:, band] = np.percentile(valid, of)
    return found

"""`Scene`, a reference cube, and `Observation`, the pair of images that a method gets."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError, as_path, shown, whole
from ifmsr.fields import fitted
from ifmsr.files import write_atomically
from ifmsr.io.npz import Arrays
from ifmsr.untrusted import decoding

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
OPTIONAL = ("srf", "lr_valid", "rgb_valid")  # fields of an Observation that may be None


@dataclass(frozen=True)
class Scene:
    """A named hyperspectral cube with the spectral response function of an RGB camera.

    Attributes
    ----------
    name : the scene's name, unique in its data set; it seeds the scene's degradation.
    cube : (B, H, W) float32 in [0, 1].
    wavelengths : (B,) band centres in nm, or None if unknown.
    srf : (3, B) spectral response function of the RGB camera, rows R, G, B summing to 1, or None.
    rgb_bands : three bands (R, G, B, counted from 0) that serve as RGB image if there is no response (paper, section
        IV: "by the position of pixels"), or None.
    photograph : (3, H, W) uint8, a colour picture that the data set has of the scene, as stored (sRGB), or None.

    Raises
    ------
    InputError : the cube is not (B, H, W) float32, has NaN or infinite values or values outside [0, 1],
        or `srf`, `rgb_bands` or `wavelengths` do not fit its bands, or `photograph` its size.
    """

    name: str
    cube: Array
    wavelengths: NDArray[np.float64] | None = None
    srf: Array | None = None
    rgb_bands: tuple[int, int, int] | None = None
    photograph: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise InputError("name", f"found {shown(self.name)}", "Give the scene's name as a text")
        check_cube(f"scene {self.name}", self.cube)
        bands = self.cube.shape[0]
        if self.wavelengths is not None:
            object.__setattr__(self, "wavelengths", self._one_per_band(self.wavelengths))
        if self.srf is not None:
            check_srf(f"scene {self.name}", self.srf, bands)
        self._check_photograph()
        if self.rgb_bands is None:
            return
        chosen = fitted("rgb_bands", self.rgb_bands, tuple[int, ...])
        object.__setattr__(self, "rgb_bands", chosen)
        if len(chosen) != 3 or not all(0 <= band < bands for band in chosen):
            raise InputError(
                f"scene {self.name}",
                f"rgb_bands {chosen} are not all among its {bands} bands",
                f"Choose three bands from 0 to {bands - 1}",
            )

    def _check_photograph(self) -> None:
        picture, expected = self.photograph, (3, *self.cube.shape[1:])
        if picture is None:
            return
        found: Any = (getattr(picture, "dtype", None), getattr(picture, "shape", None))
        if found != (np.uint8, expected):
            raise InputError(
                f"scene {self.name}",
                f"its photograph is {found[0]} of shape {found[1]}",
                f"Give uint8 of shape {expected}, or none",
            )

    def _one_per_band(self, wavelengths: Any) -> NDArray[np.float64]:
        """(B,) finite float64, or InputError."""
        try:
            found = np.asarray(wavelengths, np.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError("wavelengths", f"no numbers ({error})", "Give band centres in nm") from error
        if found.shape != (len(self.cube),) or not np.isfinite(found).all():
            raise InputError(
                f"scene {self.name}",
                f"{'x'.join(map(str, found.shape)) or 1} wavelengths for {len(self.cube)} bands",
                "Give one band centre in nm for each band",
            )
        return found

    def rgb(self) -> Array:
        """The RGB image (3, H, W) in [0, 1], by the spectral response function if there is one, else by three bands.

        Raises InputError if neither is known.
        """
        if self.srf is not None:
            return np.tensordot(self.srf, self.cube, axes=1).clip(0, 1)
        if self.rgb_bands is not None:
            return self.cube[list(self.rgb_bands)]
        raise InputError(
            f"scene {self.name}",
            "neither a spectral response nor three RGB bands are known",
            "Give the scene srf=(3, B) or rgb_bands=(r, g, b)",
        )

    def crop(self, top: int, left: int, height: int, width: int) -> "Scene":
        """A window of the scene, in pixels. Raises InputError if it exceeds the image."""
        window = self.cube[:, top : top + height, left : left + width]
        if window.shape[1:] != (height, width):
            raise InputError(
                f"scene {self.name}",
                f"the window {height} x {width} at ({top}, {left}) leaves the image {self.cube.shape[1:]}",
                "Choose a window inside the image",
            )
        picture = self.photograph
        if picture is not None:
            picture = picture[:, top : top + height, left : left + width]
        return replace(self, cube=np.ascontiguousarray(window), photograph=picture)

    def crop_to_multiple(self, scale: int, side: int | None = None) -> "Scene":
        """The scene, cropped to a multiple of `scale` pixels.

        The last rows and columns are removed. With a `side`, the central part of at most `side` x `side` pixels is
        kept.
        """
        scale, (height, width) = whole("scale", scale, least=1), self.cube.shape[1:]
        if side is None:
            return self.crop(0, 0, height - height % scale, width - width % scale)
        kept_h, kept_w = (min(side, length) // scale * scale for length in (height, width))
        return self.crop((height - kept_h) // 2, (width - kept_w) // 2, kept_h, kept_w)


@dataclass(frozen=True)
class Observation:
    """The input of a method: an LR cube and an RGB guide, with the camera's response if it is known.

    Attributes
    ----------
    lr : (B, h, w) float32 low-resolution cube in [0, 1].
    rgb : (3, H, W) float32 RGB guide in [0, 1], H = scale * h, W = scale * w.
    scale : the magnification r, a whole number of at least 1.
    srf : (3, B) spectral response function of the camera of `rgb`, rows summing to 1, or None if unknown.
    lr_valid : (h, w) bool, False where `lr` was not measured (no data, saturated, outside the footprint); None: all
        pixels are valid. Values of invalid pixels are ignored but must be finite and in [0, 1].
    rgb_valid : (H, W) bool, likewise for `rgb`.

    Arrays that are not writable and contiguous, as PyTorch requires, are copied.

    Raises
    ------
    InputError : shapes do not fit each other, values are not finite and in [0, 1], no pixel is valid, or `scale` is
        not a whole number.
    """

    lr: Array
    rgb: Array
    scale: int
    srf: Array | None = None
    lr_valid: Mask | None = None
    rgb_valid: Mask | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", whole("scale", self.scale, least=1))
        check_cube("lr", self.lr)
        check_cube("rgb", self.rgb)
        if self.rgb.shape[0] != 3:
            raise InputError(
                "rgb", f"{self.rgb.shape[0]} channels", "Give (3, H, W); repeat a grey image three times"
            )
        expected = tuple(self.scale * side for side in self.lr.shape[1:])
        if self.rgb.shape[1:] != expected:
            raise InputError(
                "rgb",
                f"its size is {self.rgb.shape[1:]}, but lr is {self.lr.shape[1:]} and scale {self.scale}",
                f"Crop or align the images so that rgb is {expected}",
            )
        if self.srf is not None:
            check_srf("srf", self.srf, self.lr.shape[0])
        for name in ("lr", "rgb", "srf"):
            if (array := getattr(self, name)) is not None:
                object.__setattr__(self, name, np.require(array, np.float32, ["C", "W"]))
        for name, image in (("lr_valid", self.lr), ("rgb_valid", self.rgb)):
            if (mask := getattr(self, name)) is not None:
                check_mask(name, mask, image.shape[1:])
                object.__setattr__(self, name, np.require(mask, np.bool_, ["C", "W"]))

    def save(self, path: str | Path) -> Path:
        """Store the observation as a compressed .npz file.

        The same observation gives the same bytes, whose SHA-256 manifests contain: the response is stored in column
        order, whatever its layout in memory.
        """
        arrays: dict[str, Any] = {"lr": self.lr, "rgb": self.rgb, "scale": self.scale}
        for name in OPTIONAL:
            if (array := getattr(self, name)) is not None:
                arrays[name] = np.asfortranarray(array)
        return write_atomically(path, lambda file: np.savez_compressed(file, **arrays))

    @classmethod
    def load(cls, path: str | Path) -> "Observation":
        """Read a file of `save`. Raises InputError, naming the file, if it is missing or cannot be read."""
        path = as_path("path", path)
        try:
            with (
                decoding(path, "a stored observation", "Delete it and run the evaluation again"),
                Arrays(path) as arrays,
            ):
                optional = {name: arrays.optional(name) for name in OPTIONAL}
                return cls(arrays["lr"], arrays["rgb"], int(arrays["scale"]), **optional)
        except InputError as error:
            if error.where == str(path):
                raise
            raise InputError(path, f"{error.where}: {error.problem}", error.fix) from error


def check_cube(where: object, cube: Array) -> None:
    """Raise InputError, naming `where`, unless `cube` is (B, H, W) float32, finite and in [0, 1]."""
    if not isinstance(cube, np.ndarray) or cube.ndim != 3 or cube.dtype != np.float32:
        found = f"{cube.dtype} of shape {cube.shape}" if isinstance(cube, np.ndarray) else type(cube).__name__
        raise InputError(where, f"found {found}", "Give a float32 array of shape (bands, height, width)")
    if cube.size == 0:
        raise InputError(where, f"an empty array of shape {cube.shape}", "Give at least one pixel and band")
    low, high = float(cube.min()), float(cube.max())
    if not np.isfinite(low + high):
        raise InputError(where, "it holds NaN or infinite values", "Fill or crop them before use")
    if low < 0 or high > 1:
        raise InputError(
            where,
            f"values from {low:.6g} to {high:.6g}",
            "Scale them to [0, 1], for example by the sensor's largest value",
        )


def check_srf(where: object, srf: Array, bands: int) -> None:
    """Raise InputError, naming `where`, unless `srf` is a finite (3, bands) array whose rows sum to 1."""
    if not isinstance(srf, np.ndarray) or srf.dtype.kind != "f":
        found = srf.dtype if isinstance(srf, np.ndarray) else type(srf).__name__
        raise InputError(where, f"a response of type {found}", f"Give a float32 array of shape (3, {bands})")
    if srf.shape != (3, bands):
        raise InputError(where, f"a response of shape {srf.shape} for {bands} bands", f"Give (3, {bands})")
    if not np.allclose(srf.sum(axis=1), 1, atol=1e-4):  # also catches NaN
        raise InputError(where, f"the response's rows sum to {srf.sum(axis=1)}", "Divide each row by its sum")


def check_mask(where: object, mask: Mask, size: tuple[int, ...]) -> None:
    """Raise InputError, naming `where`, unless `mask` is a boolean array of `size` with at least one True."""
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != size:
        found = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise InputError(where, f"found {found}", f"Give a boolean array of shape {size}")
    if not mask.any():
        raise InputError(where, "no pixel is valid", "Give an image with at least one valid pixel")

"""A cube with its metadata: what `read_cube` gives, and what `write_cube` takes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifmsr.errors import InputError
from ifmsr.extras import require
from ifmsr.io.stored import Numbers, Transform

Array = NDArray[np.float32]

PER_BAND = ("wavelengths", "fwhm", "good", "scale", "offset")
RESCALING = ("reflectance scale factor", "data gain values", "data offset values")
"""Entries of a header that say how stored numbers become physical ones."""


@dataclass(frozen=True, eq=False)
class Cube:
    """A hyperspectral cube, and everything that its file says about it.

    With s the stored number: physical value = scale * s + offset, and values = physical value / maximum.

    Attributes
    ----------
    values : (B, h, w) float32 in [0, 1]; NaN where the file has no valid value.
    wavelengths, fwhm : (B,) band centres and widths in nm, or None if unknown.
    good : (B,) bool, False for bands that the file calls bad, or None.
    names : one name per band, or none at all.
    crs : coordinate reference system as WKT or as an authority's code (``EPSG:32611``), or None.
    transform : pixel corner to map, (a, b, c, d, e, f) as in the package affine: x = a column + b row + c,
        y = d column + e row + f; or None.
    scale, offset : (B,) from stored to physical numbers; 1 and 0 where the file states none.
    maximum : the physical value that became 1.
    nodata : the stored number of a missing value, or None.
    dtype : the type of the stored numbers, for example "int16".
    header : every other entry of the file's metadata; lists of B texts belong to the bands.
    taken : one line that says what was read and how: size, scale, range, dropped bands, invalid pixels.

    Raises
    ------
    InputError : `values` is not (B, h, w), or the entries per band are not one per band.
    """

    values: Array
    wavelengths: Numbers | None = None
    fwhm: Numbers | None = None
    good: NDArray[np.bool_] | None = None
    names: tuple[str, ...] = ()
    crs: str | None = None
    transform: Transform | None = None
    scale: Numbers | None = None
    offset: Numbers | None = None
    maximum: float = 1.0
    nodata: float | None = None
    dtype: str = "float32"
    header: Mapping[str, Any] = field(default_factory=dict)
    taken: str = ""

    def __post_init__(self) -> None:
        if self.values.ndim != 3:
            raise InputError("cube", f"values of shape {self.values.shape}", "Give (bands, height, width)")
        bands = len(self.values)
        for name, fallback in (("scale", 1.0), ("offset", 0.0)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(bands, fallback))
        for name in PER_BAND:
            value = getattr(self, name)
            if value is not None and np.shape(value) != (bands,):
                raise InputError(
                    "cube", f"{name} of shape {np.shape(value)} for {bands} bands", "Give one per band"
                )
        if self.names and len(self.names) != bands:
            raise InputError("cube", f"{len(self.names)} names for {bands} bands", "Give one per band")

    def stored(self) -> NDArray[Any]:
        """The numbers as a file holds them: (B, h, w) of `dtype`, rounded and clipped if that is an integer type.

        Raises InputError if a value is missing and an integer type has no number left for it.
        """
        assert self.scale is not None and self.offset is not None  # set on construction
        kind = np.dtype(self.dtype)
        if kind.kind != "f" and self.nodata is None and np.isnan(self.values).any():
            raise InputError(
                "cube", f"missing values, and no number of {kind} that stands for them", "Give it a nodata"
            )
        array = np.empty(self.values.shape, kind)
        gains, biases = self.maximum / self.scale, self.offset / self.scale
        for target, values, gain, bias in zip(array, self.values, gains, biases, strict=True):
            numbers = values * gain - bias  # float64, one band at a time
            missing = np.isnan(numbers)
            if kind.kind != "f":
                limits = np.iinfo(kind)
                numbers = np.rint(np.where(missing, 0, numbers)).clip(limits.min, limits.max)
            target[...] = numbers
            if self.nodata is not None:
                target[missing] = self.nodata
        return array

    def floating(self) -> "Cube":
        """The same cube, to be stored as float32: physical values where a scale is stated, else values in [0, 1]."""
        assert self.scale is not None and self.offset is not None  # set on construction
        stated = bool((self.scale != 1).any() or (self.offset != 0).any())
        return replace(
            self,
            scale=None,
            offset=None,
            maximum=self.maximum if stated else 1.0,
            nodata=None,
            dtype="float32",
            header={key: value for key, value in self.header.items() if key not in RESCALING},
        )

    def with_values(self, values: Array) -> "Cube":
        """The same bands on a grid that is a whole number finer: metadata kept, georeference rescaled.

        The upper left corner stays where it is: T' = T * scale(1 / s), whatever the rotation of T.

        Parameters
        ----------
        values : (B, s h, s w) float32 in [0, 1].

        Raises
        ------
        InputError : `values` are not a whole number finer.
        """
        (bands, height, width), finer = self.values.shape, values.shape
        scale = finer[1] // height if height else 0
        if finer != (bands, scale * height, scale * width):
            raise InputError(
                "values",
                f"shape {finer} beside a cube of {self.values.shape}",
                "Give a whole number of pixels more",
            )
        transform = self.transform
        if transform is not None:
            a, b, c, d, e, f = transform
            transform = (a / scale, b / scale, c, d / scale, e / scale, f)
        return replace(self, values=values, transform=transform)

    def bands(self, kept: NDArray[np.bool_]) -> "Cube":
        """Some of the bands, with their metadata. `kept` : (B,) bool."""
        if kept.all():
            return self
        places = np.flatnonzero(kept)
        header = {}
        for key, value in self.header.items():
            if key == "default bands":
                shown = _moved(value, places)
                if shown:
                    header[key] = shown
            elif isinstance(value, list) and len(value) == len(kept):
                header[key] = [entry for entry, keep in zip(value, kept, strict=True) if keep]
            else:
                header[key] = value
        fields: dict[str, Any] = {name: getattr(self, name) for name in PER_BAND}
        fields = {name: None if value is None else value[kept] for name, value in fields.items()}
        return replace(
            self,
            values=self.values[kept],
            names=tuple(self.names[place] for place in places) if self.names else (),
            header=header,
            **fields,
        )

    def to_xarray(self) -> Any:
        """An `xarray.DataArray` (band, y, x) with the wavelengths as coordinates; `from_xarray` gives the cube back.

        Coordinates x and y are pixel centres; a rotated grid has none. Raises InputError if xarray is not installed.
        """
        require("xarray")
        import xarray

        coords: dict[str, Any] = {
            name: ("band", value)
            for name, value in {
                "wavelength": self.wavelengths,
                "fwhm": self.fwhm,
                "good": self.good,
                "scale": self.scale,
                "offset": self.offset,
                "name": list(self.names) or None,
            }.items()
            if value is not None
        }
        if self.transform is not None and self.transform[1] == self.transform[3] == 0:
            a, _, c, _, e, f = self.transform
            coords["x"] = c + a * (np.arange(self.values.shape[2]) + 0.5)
            coords["y"] = f + e * (np.arange(self.values.shape[1]) + 0.5)
        attributes = {
            "crs": self.crs,
            "transform": self.transform,
            "maximum": self.maximum,
            "nodata": self.nodata,
            "dtype": self.dtype,
            "header": json.dumps(dict(self.header)),
            "taken": self.taken,
        }
        return xarray.DataArray(
            self.values,
            dims=("band", "y", "x"),
            coords=coords,
            attrs={key: value for key, value in attributes.items() if value is not None},
        )

    @classmethod
    def from_xarray(cls, array: Any) -> "Cube":
        """The cube of an `xarray.DataArray` (band, y, x) in [0, 1], with whatever `to_xarray` would have added.

        Raises InputError if the dimensions are others.
        """
        if tuple(getattr(array, "dims", ())) != ("band", "y", "x"):
            found = getattr(array, "dims", type(array).__name__)
            raise InputError(
                "array", f"dimensions {found}", 'Transpose it: array.transpose("band", "y", "x")'
            )

        def entry(name: str) -> Any:
            return array.coords[name].values if name in array.coords else None

        about = array.attrs
        transform = about.get("transform")
        names = entry("name")
        return cls(
            np.asarray(array.values, np.float32),
            entry("wavelength"),
            entry("fwhm"),
            entry("good"),
            () if names is None else tuple(str(name) for name in names),
            about.get("crs"),
            None if transform is None else tuple(float(number) for number in transform),  # type: ignore[arg-type]
            entry("scale"),
            entry("offset"),
            float(about.get("maximum", 1.0)),
            about.get("nodata"),
            about.get("dtype", "float32"),
            json.loads(about.get("header", "{}")),
            about.get("taken", ""),
        )


def _moved(numbers: Any, places: NDArray[np.intp]) -> list[str]:
    """Band numbers, counted from 1, among the bands that are kept; [] if one is not, or is no number."""
    order = {str(place + 1): str(number + 1) for number, place in enumerate(places)}
    moved = [order.get(str(number).strip(), "") for number in numbers] if isinstance(numbers, list) else []
    return moved if all(moved) else []

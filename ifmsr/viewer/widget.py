"""The live viewer of a notebook, with a still picture for wherever no kernel runs."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ifmsr.extras import require

require("anywidget", "traitlets")

import anywidget
import numpy as np
import traitlets

from ifmsr.errors import InputError, check_choice, whole
from ifmsr.viewer.about import about, modes, start
from ifmsr.viewer.page import write_page
from ifmsr.viewer.picture import picture_png
from ifmsr.viewer.planes import plane
from ifmsr.viewer.stack import Stack, stack_of

HERE = Path(__file__).parent


class Viewer(anywidget.AnyWidget):
    """What `ifmsr.view` shows: its state as traits, which follow the mouse and can be set.

    Attributes
    ----------
    mode : "natural", "false" (colour), "band", "error" or "angle".
    band : band shown, counted from 0.
    colour : the bands of false colour, red, green and blue, counted from 0.
    left, right : the two wiped images, counted from 0: cube, guide, results, truth.
    wipe : where the wipe is, from 0 to 1.
    side_by_side : whether all images are shown beside each other instead.
    point : [row, column] whose spectra are shown.
    """

    _esm = (HERE / "viewer.js").read_text(encoding="utf-8")
    _css = (HERE / "viewer.css").read_text(encoding="utf-8")

    about = traitlets.Dict().tag(sync=True)
    mode = traitlets.Unicode().tag(sync=True)
    band = traitlets.Int().tag(sync=True)
    colour = traitlets.List(traitlets.Int()).tag(sync=True)
    left = traitlets.Int().tag(sync=True)
    right = traitlets.Int().tag(sync=True)
    wipe = traitlets.Float().tag(sync=True)
    side_by_side = traitlets.Bool().tag(sync=True)
    point = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(self, stack: Stack):
        self.stack = stack
        super().__init__(about=about(stack), **start(stack))
        self.on_msg(self._answer)

    @traitlets.validate("mode", "band", "colour", "left", "right", "point")
    def _checked(self, proposal: Any) -> Any:
        """Raise InputError, naming the trait, unless the images have what it asks for."""
        name, value, stack = proposal["trait"].name, proposal["value"], self.stack
        match name:
            case "mode":
                check_choice(name, value, modes(stack))
                return value
            case "band":
                return whole(name, value, 0, stack.bands - 1)
            case "colour" if len(value) == 3:
                return [whole(name, band, 0, stack.bands - 1) for band in value]
            case "point" if len(value) == 2:
                return [whole(name, at, 0, side - 1) for at, side in zip(value, stack.size, strict=True)]
            case "left" | "right":
                return whole(name, value, 0, len(stack.layers) - 1)
        raise InputError(name, f"{len(value)} numbers", "Give [row, column] or [red, green, blue]")

    def save(self, path: str | Path) -> Path:
        """Write the viewer as one HTML page that needs no kernel and no network; see `write_page` for errors."""
        return write_page(path, self.stack, self._state())

    def _state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in start(self.stack)}

    def _answer(self, _: Any, message: dict[str, Any], buffers: Any = None) -> None:
        """Send what the browser asks for: a plane as bytes, or the spectra of a pixel."""
        reply, data = {"id": message.get("id")}, []
        try:
            if message.get("ask") == "plane":
                data = [plane(self.stack, message["layer"], message["of"], message["band"]).tobytes()]
            elif message.get("ask") == "spectra":
                spectra = self.stack.spectra(message["row"], message["column"])
                reply["spectra"] = [None if spectrum is None else _listed(spectrum) for spectrum in spectra]
        except (InputError, KeyError, IndexError) as error:
            reply["problem"] = str(error)
        self.send(reply, data)

    def __repr__(self) -> str:
        names = ", ".join(layer.name for layer in self.stack.layers)
        return f"Viewer({names}: {self.stack.facts()})"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and the picture that a page without a kernel shows in its place."""
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        png = picture_png(self.stack, self._state())
        picture = {"image/png": b64encode(png).decode(), "text/plain": repr(self)}
        return {**(data or {}), **picture}, metadata


def view(
    cube: Any,
    guide: Any = None,
    results: Mapping[str, Any] | None = None,
    truth: Any = None,
    wavelengths: Any = None,
) -> Viewer:
    """Show a cube in a notebook, with its RGB guide, results and truth where they are given.

    A slider goes through the bands; a click shows the spectra of every image; two images are compared by a wipe or all
    side by side, zoomed alike; with a truth there are maps of the absolute error and of the spectral angle.

    Parameters
    ----------
    cube : an `ifmsr.io.Cube`, or an array or tensor (B, h, w); NaN where no value is valid.
    guide : the RGB or panchromatic image, (3, H, W) or (1, H, W).
    results : name -> cube of the same bands.
    truth : the reference cube of the same bands.
    wavelengths : (B,) band centres in nm; a `Cube` brings its own.

    Returns
    -------
    The viewer, shown if it is the last expression of a cell. ``save("page.html")`` writes it as a page of its own.

    Raises
    ------
    InputError : an image is no (B, h, w) array of numbers or has other bands, the sizes are no whole multiples of each
        other, or a package of the extra ``viewer`` is not installed.

    Examples
    --------
    >>> cube = np.linspace(0, 1, 4 * 6 * 8, dtype=np.float32).reshape(4, 6, 8)
    >>> view(cube, results={"half": cube / 2}, truth=cube)
    Viewer(Cube, half, Ground truth: 4 bands, 6 x 8 pixels)
    """
    return Viewer(stack_of(cube, guide, results, truth, wavelengths))


def _listed(spectrum: Any) -> list[float | None]:
    """A spectrum as JSON holds it."""
    return [float(value) if np.isfinite(value) else None for value in spectrum]

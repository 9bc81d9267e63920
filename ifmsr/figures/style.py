"""One look for every figure: sizes, fonts, colours, and how a figure becomes a file.

Figures are made without pyplot, so none stays open and no global setting changes. In a notebook,
`%matplotlib inline` shows the ones that a cell returns.
"""

import io
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ifmsr.errors import InputError
from ifmsr.files import write_atomically

PAGE_WIDTH = 7.16  # inches: both columns of an IEEE journal page
FONT_SIZE = 8.0
SMALL_FONT = 7.0
RED = "#e60000"

# Okabe and Ito's palette, safe for colour-blind readers, with grey for its yellow, which is too pale on
# white; black is the ground truth's.
_OKABE_ITO = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
_ORDER = ("IFMSR", "Bicubic", "Closed-form", "UAL", "MoG-DCN", "MHF-net", "PZRes-Net", "CMS", "LTTR")

PNG_BYTES = 400_000
Choice = tuple[int, int | None]  # dots per inch, and how many colours (None: all)
# Few colours come last, because a colour bar shows it.
PNG_CHOICES: tuple[Choice, ...] = (
    (200, None),
    (170, None),
    (140, None),
    (170, 256),
    (140, 256),
    (110, 256),
    (80, 256),
)


def method_styles(methods: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and dash pattern of each method's curve, by its printed name: the same in every figure."""
    methods = list(methods)
    order = [*_ORDER, *(method for method in methods if method not in _ORDER)]
    places = {method: order.index(method) for method in methods}
    return {
        # past the palette's end the dashes move on, so that no two of 49 methods look the same
        method: {
            "color": _OKABE_ITO[place % 7],
            "linestyle": _DASHES[(place + place // 7) % 7],
        }
        for method, place in places.items()
    }


def tidy(ax: Axes) -> None:
    """Small ticks and thin spines on a plot with axes."""
    ax.tick_params(labelsize=SMALL_FONT, width=0.5, length=2.5, pad=2)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_linewidth(0.5)


def save_figure(figure: Figure, path: str | Path) -> list[Path]:
    """Write `path`.pdf and `path`.png; the same figure gives the same bytes every time.

    The PDF keeps lines and letters as vectors (fonts embedded as TrueType) and pictures at 300 dots an
    inch. The PNG is for the repository: the best of `PNG_CHOICES` that stays within `PNG_BYTES`.

    Parameters
    ----------
    path : where, without a suffix.

    Raises
    ------
    InputError : `path` ends in .pdf or .png.
    """
    path = Path(path)
    if path.suffix in (".pdf", ".png"):
        raise InputError(path, "the path has a suffix", "Leave it out: a .pdf and a .png are written")
    pdf = path.with_name(path.name + ".pdf")
    write = partial(figure.savefig, format="pdf", dpi=300, metadata={"CreationDate": None})
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        write_atomically(pdf, write)
    return [
        pdf,
        write_atomically(path.with_name(path.name + ".png"), lambda file: file.write(png_of(figure))),
    ]


def png_of(figure: Figure, largest: int = PNG_BYTES, choices: Iterable[Choice] = PNG_CHOICES) -> bytes:
    """The figure as the first of the `choices` that takes at most `largest` bytes, else as the last."""
    for resolution, colours in choices:
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=resolution, metadata={"Software": None})
        if colours:
            drawn, png = png, io.BytesIO()
            Image.open(drawn).convert("RGB").quantize(colours).save(png, format="png", optimize=True)
        if png.tell() <= largest:
            break
    return png.getvalue()

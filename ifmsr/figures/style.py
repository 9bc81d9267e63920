"""The common style of all figures (sizes, fonts, colours), and saving of figures.

Figures are created without pyplot, so no figure stays open and no global setting changes. In a notebook,
`%matplotlib inline` shows the figures that a cell returns.
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
PAGE_HEIGHT = 9.4  # inches: a column of such a page
FONT_SIZE = 8.0
SMALL_FONT = 7.0
RED = "#e60000"

# Okabe and Ito's palette for colour-blind readers, with grey instead of yellow, which is too pale on white; black is
# reserved for the ground truth.
_OKABE_ITO = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
_ORDER = ("IFMSR", "Bicubic", "Closed-form", "UAL", "MoG-DCN", "MHF-net", "PZRes-Net", "CMS", "LTTR")

PNG_BYTES = 400_000
Choice = tuple[int, int | None]  # dots per inch, number of colours or None for all
PNG_CHOICES: tuple[Choice, ...] = (
    (200, None),
    (170, None),
    (140, None),
    (170, 256),
    (140, 256),
    (120, 256),
    (100, 256),
    (80, 256),
)


def method_styles(methods: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and dash pattern of each method's curve, by its title; the same in all figures."""
    methods = list(methods)
    order = [*_ORDER, *(method for method in methods if method not in _ORDER)]
    places = {method: order.index(method) for method in methods}
    return {
        # beyond the palette's seven colours the dash pattern is shifted: 49 distinct styles
        method: {
            "color": _OKABE_ITO[place % 7],
            "linestyle": _DASHES[(place + place // 7) % 7],
        }
        for method, place in places.items()
    }


def tidy(ax: Axes) -> None:
    """Use small ticks and thin spines on a plot with axes."""
    ax.tick_params(which="both", labelsize=SMALL_FONT, width=0.5, length=2.5, pad=2)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_linewidth(0.5)


def save_figure(figure: Figure, path: str | Path) -> list[Path]:
    """Write a figure to `path`.pdf and `path`.png; the same figure always gives the same bytes.

    The PDF has vector graphics with embedded TrueType fonts, and images at 300 dpi. The PNG, for the repository, has
    the first of the `PNG_CHOICES` of at most `PNG_BYTES` bytes.

    Parameters
    ----------
    path : the files' path without suffix.

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
    """The figure as PNG, by the first of the `choices` that takes at most `largest` bytes, else by the last."""
    for resolution, colours in choices:
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=resolution, metadata={"Software": None})
        if colours:
            drawn, png = png, io.BytesIO()
            picture = Image.open(drawn).convert("RGB")
            # colours that are far apart, not those of most pixels: else a colour bar beside pictures gets steps
            picture.quantize(colours, Image.Quantize.MAXCOVERAGE).save(png, format="png", optimize=True)
        if png.tell() <= largest:
            break
    return png.getvalue()

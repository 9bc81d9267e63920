"""The slides of a lecture of 45 minutes: ``python -m docs.slides`` (`make slides`) writes one page for use offline.

The pictures are those of the executed chapters, the table is computed from `results/`. Arrow keys turn the slides;
printed from a browser, each is a page.
"""

import json
import sys
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from mimetypes import guess_type
from pathlib import Path

from markdown_it import MarkdownIt

from docs.build import DOCS, OUT
from docs.tables import TABLES
from ifmsr.files import write_text
from ifmsr.paths import ROOT

STYLE = (DOCS / "slides.css").read_text(encoding="utf-8")
TURN = """
addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const slides = [...document.querySelectorAll("section")];
  const now = Math.round(scrollY / innerHeight);
  slides[Math.min(Math.max(now + step, 0), slides.length - 1)].scrollIntoView();
});
"""


@dataclass(frozen=True)
class Slide:
    """One slide.

    Attributes
    ----------
    title : the statement of the slide.
    minutes : how long it is spoken about.
    picture : "chapter#cell" for the first picture of a cell, or a file of `docs/_static`; "" for none.
    table : a name of `docs.tables.TABLES`, or "".
    text : Markdown.
    """

    title: str
    minutes: int
    text: str
    picture: str = ""
    table: str = ""


SLIDES = (
    Slide("RGB-guided hyperspectral super-resolution", 2,
        "A hyperspectral camera sees many bands and few pixels, an RGB camera three colours and many pixels. "
        "Can both together give many bands at many pixels?", "overview.png"),
    Slide("Two cameras, one scene", 2,
        "- The LR cube has the spectra, blurred and noisy.\n"
        "- The RGB guide has the detail, in three numbers per pixel.\n"
        "- Wanted: the cube at the pixels of the guide.", "00_start_here#00-problem-drawing"),
    Slide("Each pixel has a spectrum", 3,
        "- A cube is an array (bands, height, width).\n- Different materials have different curves.\n"
        "- Neighbouring bands resemble each other: that is why the task can be solved at all.", "cave/bands.jpg"),
    Slide("From a spectrum to a colour", 3,
        "The spectral response function weights every band for red, green and blue. Many spectra give the same colour: "
        "what the RGB camera sees does not determine the spectrum.", "cave/equal-colours.jpg"),
    Slide("From the scene to the LR cube", 3,
        "Blur, decimation, noise. A kernel whose centre lies elsewhere shifts the whole image: "
        "two papers that differ here solve different tasks.", "cave/degraded.jpg"),
    Slide("The kernel can be estimated", 1,
        "Both images show the same place. Where they overlap they must agree, which reveals blur and shift.",
        "02_degradation#02-25"),
    Slide("Methods and their errors", 2,
        "- Bicubic interpolation ignores the guide.\n- Hypersharpening injects its detail.\n"
        "- Unmixing shares endmembers.\n- Networks learn the relation from pairs.", "10_methods#10-16"),
    Slide("IFMSR", 3,
        "One band at a time, with its neighbours; the guide modulates the features three times: "
        "MCPA, RDE and DCFM.", "03_network#03-drawing"),
    Slide("MCPA: similar patches", 2,
        "For each patch of the guide the most similar ones are searched in the whole image; "
        "features at these places are fused.",
        "cave/similar.jpg"),
    Slide("RDE: a filter for every pixel", 2,
        "The guide generates the weights of a small convolution, other ones at every pixel.",
        "03_network#03-22"),
    Slide("Training", 2,
        "One optimiser step per band or one on many bands is not the same optimisation, even with the same data.",
        "04_training#04-21"),
    Slide("Five numbers", 2,
        "- **PSNR, RMSE**: the squared error over the whole cube.\n- **SSIM**: local structure, per band.\n"
        "- **SAM**: the angle between spectra.\n- **ERGAS**: errors relative to each band's mean.\n\n"
        "Every one of them has several conventions. Ask which."),
    Slide("What was published, and what we measured", 3,
        "The same test scenes for our rows only: the paper does not list its own.", table="readme_results"),
    Slide("What a decibel costs", 2,
        "A training-free chain of linear problems can be better and faster than a network that was trained briefly.",
        "05_table_iv#05-cost-figure"),
    Slide("Where the error is", 2,
        "Lines are edges in the wrong place, areas a wrong brightness or spectrum. All maps have one scale.",
        "06_figures#06-06"),
    Slide("What happens to a spectrum", 2,
        "Above the curves, below the differences. The shape matters before the height.",
        "06_figures#06-10"),
    Slide("A training-free chain", 3,
        "Estimate the camera, regress from colours to spectra, globally and locally, "
        "then project onto what was measured.",
        "11_beyond#11-chain-drawing"),
    Slide("How sure is an ablation?", 2,
        "The coloured dots are the same network with other seeds. A variant inside the band is not shown to differ.",
        "08_ablations#c14"),
    Slide("A real image has no truth", 3,
        "- Seen through each camera, the result must look like that camera's image.\n"
        "- This can reject a result. It cannot choose one.", "07_real_image#07-10"),
    Slide("To take home", 1,
        "- Say which degradation, which alignment, which convention.\n- Give every method the same files.\n"
        "- Compare scene by scene, and with several seeds.\n- Begin with a linear method: it may be hard to beat."),
)  # fmt: skip


def picture_of(source: str) -> str:
    """The picture that a slide names, as a data address. Raises KeyError if a cell has none."""
    if "#" not in source:
        path = DOCS / "_static" / source
        return f"data:{guess_type(path.name)[0]};base64,{b64encode(path.read_bytes()).decode()}"
    chapter, _, wanted = source.partition("#")
    cells = json.loads((ROOT / "notebooks" / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = next(cell["outputs"] for cell in cells if cell["id"] == wanted)
    pictures = [data["image/png"] for output in outputs if "image/png" in (data := output.get("data", {}))]
    if not pictures:
        raise KeyError(f"{source} has no picture")
    return f"data:image/png;base64,{''.join(pictures[0]).strip()}"


def section(number: int, slide: Slide) -> str:
    """One slide as HTML."""
    render = MarkdownIt("commonmark").enable("table").render
    parts = [f"<h1>{escape(slide.title)}</h1>", render(slide.text)]
    if slide.picture:
        parts.append(f'<img alt="{escape(slide.title)}" src="{picture_of(slide.picture)}">')
    if slide.table:
        parts.append(render(TABLES[slide.table]()))
    parts.append(f"<footer>{number} / {len(SLIDES)} · {slide.minutes} min</footer>")
    return f"<section>{''.join(parts)}</section>"


def deck() -> str:
    """The page with all slides."""
    body = "\n".join(section(number, slide) for number, slide in enumerate(SLIDES, start=1))
    head = f'<meta charset="utf-8"><title>{escape(SLIDES[0].title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}<script>{TURN}</script></body></html>\n'


def main() -> int:
    """Write the slides and return the exit code."""
    path: Path = write_text(OUT / "lecture.html", deck())
    print(f"{path}: {len(SLIDES)} slides for {sum(slide.minutes for slide in SLIDES)} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""All pictures of the built book on one: ``python -m docs.contact_sheet`` (`make contact-sheet`)."""

import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw

from docs.build import OUT
from docs.in_browser import pages_of
from ifmsr.files import write_atomically

COLUMNS, SIDE, MARGIN, CAPTION = 5, 420, 10, 16  # pixels, but for the columns
SOURCE = re.compile(r"<img\b[^>]*?\bsrc=\"([^\"]+\.(?:png|jpg))\"")


def pictures(html: Path) -> Iterator[tuple[str, Path]]:
    """The page and the file of every picture of pixels below `html`, in the order of the pages."""
    seen = set()
    for page in pages_of(html):
        for source in SOURCE.findall((html / page).read_text(encoding="utf-8")):
            file = (html / page).parent.joinpath(source).resolve()
            if file not in seen:
                seen.add(file)
                yield page, file


def contact_sheet(found: list[tuple[str, Path]]) -> Image.Image:
    """The pictures in a grid, each no larger than it is, below the number and the page that it is on."""
    shown = [_captioned(number, page, file) for number, (page, file) in enumerate(found, 1)]
    rows = [shown[first : first + COLUMNS] for first in range(0, len(shown), COLUMNS)]
    heights = [max(cell.height for cell in row) + MARGIN for row in rows]
    sheet = Image.new("RGB", (COLUMNS * (SIDE + MARGIN) + MARGIN, sum(heights) + MARGIN), "white")
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (MARGIN + column * (SIDE + MARGIN), top))
        top += height
    return sheet


def _captioned(number: int, page: str, file: Path) -> Image.Image:
    with Image.open(file) as opened:
        picture = opened.convert("RGBA")
    caption = f"{number}  {page}  {picture.width} x {picture.height}"
    picture.thumbnail((SIDE, SIDE))
    cell = Image.new("RGB", (SIDE, picture.height + CAPTION), "white")
    ImageDraw.Draw(cell).text((0, 0), caption, fill="black")
    cell.paste(picture, (0, CAPTION), picture)
    return cell


def main() -> int:
    """Write the sheet and return the exit code."""
    found = list(pictures(OUT / "html"))
    if not found:
        print("There is no built book: make book")
        return 1
    drawn = BytesIO()
    contact_sheet(found).save(drawn, format="png")
    path = write_atomically(OUT / "contact-sheet.png", lambda file: file.write(drawn.getvalue()))
    print(f"{path}: {len(found)} pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())

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
SOURCE = re.compile(r"<img\b[^>]*?\bsrc=\"([^\"]+\.png)\"")


def pictures(html: Path) -> Iterator[tuple[str, Path]]:
    """The page and the file of every PNG picture below `html`, in the order of the pages."""
    seen = set()
    for page in pages_of(html):
        for source in SOURCE.findall((html / page).read_text(encoding="utf-8")):
            file = (html / page).parent.joinpath(source).resolve()
            if file not in seen:
                seen.add(file)
                yield page, file


def contact_sheet(found: list[tuple[str, Path]]) -> Image.Image:
    """The pictures in a grid, each no larger than it is, below the number and the page that it is on."""
    rows = -(-len(found) // COLUMNS)
    cell = SIDE + MARGIN, SIDE + MARGIN + CAPTION
    sheet = Image.new("RGB", (COLUMNS * cell[0] + MARGIN, rows * cell[1] + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (page, file) in enumerate(found):
        row, column = divmod(number, COLUMNS)
        left, top = MARGIN + column * cell[0], MARGIN + row * cell[1]
        with Image.open(file) as opened:
            picture = opened.convert("RGBA")
        draw.text((left, top), f"{number + 1}  {page}  {picture.width} x {picture.height}", fill="black")
        picture.thumbnail((SIDE, SIDE))
        sheet.paste(picture, (left, top + CAPTION), picture)
    return sheet


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

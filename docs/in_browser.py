"""The built book in headless Chromium: ``python -m docs.in_browser`` (`make book-check`).

Every page opens without an error in the console and without a broken picture; nothing reaches over the right edge of a
window of 390 pixels; texts can be read in light and in dark mode; the search finds a term.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from docs.browser import Tab, chromium, find_chromium
from docs.build import OUT

SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
WIDE, NARROW = (1280, 900), (390, 844)  # pixels of the window: a laptop and a telephone
CONTRAST = 3.0  # of WCAG 2, level AA asks for 4.5 and for 3 where the text is large
TERM = "SAM"
SETTLED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serve a folder without a line per request."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which this machine serves a folder to itself."""
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def pages_of(html: Path) -> list[str]:
    """The addresses of all pages, relative to the book's folder."""
    return [
        path.relative_to(html).as_posix()
        for path in sorted(html.rglob("*.html"))
        if path.parent.name != "_static"
    ]


def open_page(tab: Tab, address: str) -> None:
    """Open a page and wait until it and the checks' script are there."""
    tab.problems.clear()
    tab.open(address)
    tab.wait(f"location.href === {json.dumps(address)} && document.readyState === 'complete'")
    tab.value(SCRIPT)
    tab.value("atOnce()")


def faults_of(tab: Tab, address: str) -> Iterator[str]:
    """One line per fault of one page."""
    tab.resize(*WIDE)
    tab.prefer("light")
    open_page(tab, address)
    yield from tab.value("brokenPictures()")
    for scheme in ("light", "dark"):
        tab.prefer(scheme)
        tab.value(SETTLED)
        yield from (f"{scheme} mode: {fault}" for fault in tab.value(f"faint({CONTRAST})"))
    yield from tab.value("transparentOnDark()")
    tab.resize(*NARROW, mobile=True)
    tab.value(SETTLED)
    yield from (f"{NARROW[0]} pixels wide: {fault}" for fault in tab.value("overflowing()"))
    yield from (f"console: {problem}" for problem in tab.problems)


def faults_of_search(tab: Tab, address: str) -> Iterator[str]:
    """One line if the search does not find the `TERM`."""
    open_page(tab, f"{address}/search.html?q={TERM}")
    try:
        tab.wait("document.querySelector('#search-results li a')", seconds=15)
    except TimeoutError:
        yield f"search.html: nothing found for {TERM}"


def faults(html: Path, profile: Path) -> Iterator[str]:
    """One line per fault of the book below `html`; `profile` is a new folder for the browser."""
    with served(html) as address, chromium(profile) as tab:
        for page in pages_of(html):
            yield from (f"{page}: {fault}" for fault in faults_of(tab, f"{address}/{page}"))
        yield from faults_of_search(tab, address)


def main() -> int:
    """Check the built book, print its faults and return the exit code."""
    html = OUT / "html"
    if find_chromium() is None:
        print("The pages were not opened: no Chromium is installed on this machine.")
        return 0
    if not (html / "index.html").is_file():
        print("There is no built book: make book")
        return 1
    with tempfile.TemporaryDirectory(prefix="ifmsr-book-") as folder:
        found = list(faults(html, Path(folder) / "profile"))
    print(
        "\n".join(found) if found else f"{len(pages_of(html))} pages opened: no fault in light or dark mode"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

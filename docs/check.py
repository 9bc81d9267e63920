"""Checks of built pages: every internal link and picture leads somewhere, and a browser loads nothing remote."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {
    "script": ("src",),
    "link": ("href",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src", "srcdoc"),
    "embed": ("src",),
    "object": ("data",),
    "video": ("src", "poster"),
    "audio": ("src",),
}
"""Element -> attributes whose address a browser loads without a click."""
INERT_LINKS = {"canonical", "next", "prev", "search", "index", "genindex", "up", "author", "help"}
REMOTE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
LOADED_BY_STYLE = re.compile(r"(?:@import\s+|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)


class Page(HTMLParser):
    """What one page has: the ids that links can lead to, its links, and the addresses that a browser loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element names, links to or loads."""
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        self.style = tag == "style"
        self.loaded += LOADED_BY_STYLE.findall(given.get("style", ""))
        if tag in ("a", "area") and "href" in given:
            self.links.append(given["href"])
        inert = tag == "link" and set(given.get("rel", "").split()) <= INERT_LINKS
        if not inert:
            self.loaded += [given[name] for name in LOADED.get(tag, ()) if given.get(name)]

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a style sheet."""
        self.style = self.style and tag != "style"

    def handle_data(self, data: str) -> None:
        """Note what a style sheet inside the page loads."""
        if self.style:
            self.loaded += LOADED_BY_STYLE.findall(data)


def faults(html: Path) -> list[str]:
    """One line per fault of the pages and style sheets below `html`."""
    files = [
        path for path in sorted(html.rglob("*.html")) if path.parent != html / "_static"
    ]  # templates there
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in files}
    found = [f"{path.relative_to(html)}: {fault}" for path in pages for fault in _faults_of(path, pages)]
    for sheet in sorted(html.rglob("*.css")):
        remote = LOADED_BY_STYLE.findall(sheet.read_text(encoding="utf-8"))
        found += [f"{sheet.relative_to(html)}: loads {address}" for address in remote]
    return found


def _faults_of(path: Path, pages: dict[Path, Page]) -> Iterator[str]:
    page = pages[path]
    for address in page.loaded:
        if REMOTE.match(address):
            yield f"loads {address}"
        elif not address.startswith("data:") and not _place(path, address).exists():
            yield f"nothing at {address}"
    for address in page.links:
        if urlsplit(address).scheme or REMOTE.match(address):
            continue
        place, anchor = _place(path, address), unquote(urlsplit(address).fragment)
        if not place.exists():
            yield f"broken link {address}"
        elif anchor and place in pages and anchor not in pages[place].ids:
            yield f"no place {address}"


def _place(path: Path, address: str) -> Path:
    within = unquote(urlsplit(address).path)
    return (path.parent / within).resolve() if within else path

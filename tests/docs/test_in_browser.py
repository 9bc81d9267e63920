"""The checks of pages in a browser find each kind of fault, and nothing in a page without one."""

import io

import pytest
from PIL import Image

from docs.browser import chromium, find_chromium
from docs.in_browser import TERM, faults_of, faults_of_search, pages_of, served

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed on this machine")

RIGHT = """<!doctype html><html><head><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><style>
body { background: white; color: black; margin: 8px } pre { overflow-x: auto }
@media (prefers-color-scheme: dark) { body { background: #121212; color: #ddd } main img { background: white } }
</style></head><body><main><p>Words</p><img src="clear.png" width="32"><pre>WIDE</pre></main></body></html>"""
RIGHT = RIGHT.replace("WIDE", "wide " * 200)


def picture(opacity):
    drawn = io.BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, opacity)).save(drawn, "png")
    return drawn.getvalue()


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as tab:
        yield tab


@pytest.fixture
def found(tab, tmp_path):
    """A function from the text of a page to its faults."""
    for name, opacity in {"clear.png": 0, "solid.png": 255}.items():
        (tmp_path / name).write_bytes(picture(opacity))

    def look(text):
        (tmp_path / "index.html").write_text(text)
        with served(tmp_path) as address:
            return list(faults_of(tab, f"{address}/index.html"))

    return look


def test_a_right_page_has_no_fault(found):
    assert found(RIGHT) == []


@pytest.mark.parametrize(
    ("old", "new", "faults"),
    [
        ("<p>", "<script>throw new Error('a fault')</script><p>", ["a fault"]),
        ("<p>", "<script>console.error('a fault')</script><p>", ["a fault"]),
        ("clear.png", "missing.png", ["broken picture missing.png", "404"]),
        ("pre { overflow-x: auto }", "", ["390 pixels wide: <pre>", "the page scrolls sideways"]),
        ("color: black", "color: #ccc", ["light mode: <p> Words: contrast 1.6", "light mode: <pre>"]),
        ("color: #ddd", "color: #333", ["dark mode: <p> Words: contrast 1.5", "dark mode: <pre>"]),
        ("main img { background: white }", "", ["transparent picture clear.png on a dark background"]),
    ],
)
def test_a_fault_is_found(found, old, new, faults):
    assert RIGHT.count(old) >= 1
    lines = found(RIGHT.replace(old, new))
    assert len(lines) == len(faults)
    assert all(fault in line for fault, line in zip(faults, lines, strict=True)), lines


def test_a_solid_picture_may_lie_on_a_dark_background(found):
    page = RIGHT.replace("main img { background: white }", "").replace("clear.png", "solid.png")
    assert found(page) == []


def test_a_search_without_results_is_a_fault(tab, tmp_path):
    result = "<ul id='search-results'><li><a href='#'>x</a></li></ul>"
    for text, faults in ((result, []), ("", [f"search.html: nothing found for {TERM}"])):
        (tmp_path / "search.html").write_text(f"<!doctype html>{text}")
        with served(tmp_path) as address:
            assert list(faults_of_search(tab, address)) == faults
    assert pages_of(tmp_path) == ["search.html"]

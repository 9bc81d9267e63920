"""The checks of built pages find each kind of fault, and nothing in a page without one."""

import pytest

from docs.check import faults

RIGHT = """<html><head><link rel="stylesheet" href="a.css"><link rel="canonical" href="https://example.org/">
<style>b { color: red }</style><script src="a.js?v=1"></script></head><body id="top"><h1 id="one">One</h1>
<a href="#one">1</a> <a href="sub/page.html#two">2</a> <a href="https://example.org/">far</a>
<a href="mailto:a@b.c">mail</a>
<img src="data:image/png;base64,AAAA"> <img src="a.png"></body></html>"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(RIGHT)
    (tmp_path / "sub" / "page.html").write_text('<p id="two"><a href="../index.html#top">up</a></p>')
    (tmp_path / "a.css").write_text("p { background: url(a.png) }")
    for name in ("a.js", "a.png"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_right_site_has_no_fault(site):
    assert faults(site) == []


@pytest.mark.parametrize(
    ("added", "fault"),
    [
        ('<script src="https://cdn.example.org/a.js"></script>', "loads https://cdn.example.org/a.js"),
        ('<img src="//example.org/a.png">', "loads //example.org/a.png"),
        ('<link rel="stylesheet" href="http://example.org/a.css">', "loads http://example.org/a.css"),
        ('<link rel="preload" as="font" href="https://example.org/a">', "loads https://example.org/a"),
        ('<iframe src="https://example.org/v"></iframe>', "loads https://example.org/v"),
        ("<style>@import 'https://example.org/a.css';</style>", "loads https://example.org/a.css"),
        ('<p style="background: url(https://example.org/a.png)">', "loads https://example.org/a.png"),
        ('<img src="missing.png">', "nothing at missing.png"),
        ('<a href="missing.html">x</a>', "broken link missing.html"),
        ('<a href="sub/page.html#three">x</a>', "no place sub/page.html#three"),
        ('<a href="#three">x</a>', "no place #three"),
    ],
)
def test_a_fault_is_found(site, added, fault):
    (site / "index.html").write_text(RIGHT.replace("</body>", f"{added}</body>"))
    assert faults(site) == [f"index.html: {fault}"]


def test_a_style_sheet_that_loads_a_remote_font_is_found(site):
    (site / "a.css").write_text("@font-face { src: url('https://example.org/font.woff2') }")
    assert faults(site) == ["a.css: loads https://example.org/font.woff2"]

"""The page in headless Chromium: drag the slider, click for spectra, move the wipe, zoom."""

import numpy as np
import pytest
from viewer.scenes import images

from docs.browser import chromium, find_chromium
from ifmsr.viewer.page import write_page
from ifmsr.viewer.planes import decode, plane
from ifmsr.viewer.render import band_picture, colour_picture, error_picture
from ifmsr.viewer.stack import stack_of

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")

SETTLED = "new Promise(done => setTimeout(done, 250))"


@pytest.fixture(scope="module")
def stack():
    return stack_of(**images())


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as tab:
        yield tab


@pytest.fixture
def tab(browser, stack, tmp_path):
    """The page, drawn."""
    browser.problems.clear()
    browser.requests.clear()
    browser.resize(1200, 1100)
    page = write_page(tmp_path / "page.html", stack)
    browser.open(page.as_uri())
    browser.wait("document.querySelector('canvas')?.dataset.drawn && document.querySelector('.plot path')")
    yield browser
    assert browser.problems == []
    assert all(address.startswith(("file:", "data:", "blob:")) for address in browser.requests)


def press(tab, text):
    buttons = "[...document.querySelectorAll('.segments button')]"
    tab.value(f"{buttons}.find(button => button.textContent === {text!r}).click()")
    tab.value(SETTLED)


def drawn(tab, rows, columns, panel=0):
    """(rows, columns, 3): the colours in the middle of each pixel of the frame."""
    colours = tab.value(
        f"""(() => {{
            const canvas = document.querySelectorAll("canvas")[{panel}];
            const context = canvas.getContext("2d");
            const found = [];
            for (let r = 0; r < {rows}; r++)
                for (let c = 0; c < {columns}; c++) {{
                    const x = Math.floor(((c + 0.5) * canvas.width) / {columns});
                    const y = Math.floor(((r + 0.5) * canvas.height) / {rows});
                    found.push(...context.getImageData(x, y, 1, 1).data.slice(0, 3));
                }}
            return found;
        }})()"""
    )
    return np.array(colours, np.uint8).reshape(rows, columns, 3)


def upsampled(picture):
    return picture.repeat(2, 0).repeat(2, 1)[..., :3]


def without_point(stack, picture):
    """The picture as an array of floats that is NaN where the ring of the chosen pixel may lie."""
    picture = picture.astype(float)
    row, column = stack.first_point()
    picture[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = np.nan
    return picture


def test_the_wiped_pair_has_the_colours_of_the_renderer_in_numpy(tab, stack):
    left = upsampled(colour_picture(stack, 0, stack.natural))
    right = colour_picture(stack, 3, stack.natural)[..., :3]
    expected = without_point(stack, np.concatenate([left[:, :6], right[:, 6:]], axis=1))
    shown = drawn(tab, 8, 12)
    there = np.isfinite(expected)
    np.testing.assert_array_equal(shown[there], expected[there])


def test_the_slider_goes_through_the_bands(tab, stack):
    tab.drag(tab.at(".slider", 0.66), tab.at(".slider", 0.97))
    tab.value(SETTLED)
    assert tab.value("document.querySelector('.band-label').textContent") == "Band 4 of 4 · 700 nm"
    assert tab.value("document.querySelector('[aria-pressed=true]').textContent") == "Single band"
    expected = without_point(stack, band_picture(stack, 3, 3)[..., :3])[:, 6:]
    there = np.isfinite(expected)
    np.testing.assert_array_equal(drawn(tab, 8, 12)[:, 6:][there], expected[there])


def test_a_click_shows_the_spectra_of_every_image_and_the_truth(tab, stack):
    tab.click(*tab.at("canvas", 2.5 / 12, 6.5 / 8))
    tab.value(SETTLED)
    assert tab.value("document.querySelector('.heading').textContent") == "Spectra at row 6, column 2"
    names = tab.value("[...document.querySelectorAll('.entry .name')].map(name => name.textContent)")
    assert names == ["LR cube", "Bicubic", "Closed-form", "Ground truth"]
    angle = tab.value("document.querySelectorAll('.entry .angle')[1].textContent")
    assert float(angle.rstrip("°")) == pytest.approx(stack.angles(2)[6, 2], abs=0.6)  # 8 bits
    heights = tab.value(
        "document.querySelector('.plot path.truth').getAttribute('d').match(/ [0-9.]+/g).map(Number)"
    )
    low, high = stack.layers[4].ranges
    truth = [decode(low[b], high[b])[plane(stack, 4, "band", b)[6, 2]] for b in range(4)]
    slope, _ = np.polyfit(truth, heights, 1)
    assert slope < 0 and np.corrcoef(truth, heights)[0, 1] == pytest.approx(-1, abs=1e-4)
    tab.value("document.querySelector('.entry').click()")
    assert tab.value("document.querySelectorAll('.plot path').length") == 3


def test_the_wipe_is_dragged_and_moved_by_keys(tab, stack):
    tab.drag(tab.at(".handle"), tab.at("canvas", 0.25))
    tab.value(SETTLED)
    assert float(tab.value("document.querySelector('.handle').getAttribute('aria-valuenow')")) == 25
    expected = without_point(stack, colour_picture(stack, 3, stack.natural)[..., :3])[:, 3:]
    there = np.isfinite(expected)
    np.testing.assert_array_equal(drawn(tab, 8, 12)[:, 3:][there], expected[there])
    tab.value("document.querySelector('.handle').focus()")
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight")
    assert float(tab.value("document.querySelector('.handle').getAttribute('aria-valuenow')")) == 27


def test_error_maps_lie_on_one_scale(tab, stack):
    press(tab, "Absolute error")
    tab.value("(() => {const s = document.querySelector('.choice select'); s.value = '2'; s.onchange()})()")
    tab.value(SETTLED)
    limit = stack.error_limits[1]
    maps = [error_picture(stack, place, "error", 2, limit)[..., :3] for place in (2, 3)]
    expected = without_point(stack, np.concatenate([maps[0][:, :6], maps[1][:, 6:]], axis=1))
    there = np.isfinite(expected)
    np.testing.assert_array_equal(drawn(tab, 8, 12)[there], expected[there])
    assert "Absolute error (reflectance)" in tab.value("document.querySelector('.scale-bar').textContent")


def test_side_by_side_every_image_is_zoomed_alike(tab, stack):
    press(tab, "Side by side")
    assert tab.value("document.querySelectorAll('canvas').length") == 5
    tab.click(*tab.at("canvas", 0.9, 0.9))
    tab.wheel(*tab.at("canvas"), -300 * np.log(2))
    tab.value(SETTLED)
    for place in (1, 4):
        part = colour_picture(stack, place, stack.natural)[2:6, 3:9, :3]
        np.testing.assert_array_equal(drawn(tab, 4, 6, place), part)  # the ring is outside


def test_nothing_is_wider_than_a_narrow_window(tab):
    tab.resize(390, 1200, mobile=True)
    tab.value(SETTLED)
    assert tab.value("document.documentElement.scrollWidth") <= 390
    assert tab.box(".plot svg")[2] <= 390

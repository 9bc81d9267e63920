"""The lecture: 45 minutes, every picture and table there, nothing loaded from elsewhere."""

import re
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("markdown_it") is None, reason='the extra is not installed: pip install "ifmsr[book]"'
)


@pytest.fixture(scope="module")
def deck():
    from docs import slides

    return slides.deck()


def test_the_lecture_takes_45_minutes():
    from docs.slides import SLIDES

    assert sum(slide.minutes for slide in SLIDES) == 45
    assert len({slide.title for slide in SLIDES}) == len(SLIDES)


def test_every_slide_has_its_picture_and_nothing_is_remote(deck, tmp_path):
    from docs.check import faults
    from docs.slides import SLIDES

    assert deck.count("<section>") == len(SLIDES)
    pictures = re.findall(
        r'<img alt="[^"]+" src="data:image/(?:png;base64,iVBOR|jpeg;base64,/9j/)[^"]+">', deck
    )
    assert len(pictures) == sum(bool(slide.picture) for slide in SLIDES)
    assert deck.count("<table>") == sum(bool(slide.table) for slide in SLIDES) == 1
    (tmp_path / "lecture.html").write_text(deck)
    assert faults(tmp_path) == []


def test_a_cell_without_a_picture_is_named():
    from docs.slides import picture_of

    with pytest.raises(KeyError, match="00-solution-1 has no picture"):
        picture_of("00_start_here#00-solution-1")

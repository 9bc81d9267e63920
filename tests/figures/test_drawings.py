from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ifmsr.figures import chain_drawing, network_drawing, problem_drawing
from ifmsr.scenes import Observation, Scene


def problem():
    rng = np.random.default_rng(0)
    cube, rgb = rng.random((200, 144, 144), np.float32), rng.random((3, 144, 144), np.float32)
    scene = Scene("field", cube, rgb_bands=(29, 19, 9))
    return problem_drawing(scene, Observation(cube[:, ::4, ::4].copy(), rgb, 4), cube)


def texts(figure):
    """Every text of a figure with the box that it takes, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    found = [text for text in figure.axes[0].texts if text.get_text()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in found]


@pytest.mark.parametrize("draw", [problem, network_drawing, chain_drawing])
def test_texts_of_a_drawing_are_inside_it_and_do_not_touch(draw):
    figure = draw()
    placed = texts(figure)
    assert len(placed) > 5
    for text, where in placed:
        assert figure.bbox.contains(where.x0, where.y0) and figure.bbox.contains(where.x1, where.y1), text
    touching = [(a, b) for (a, here), (b, there) in combinations(placed, 2) if here.overlaps(there)]
    assert touching == []


def test_the_problem_names_the_sizes_of_its_images():
    said = " ".join(text for text, _ in texts(problem()))
    assert "200 bands, 36 x 36" in said and "3 bands, 144 x 144" in said


def test_the_chain_has_the_seven_steps_of_the_method():
    numbers = [text[0] for text, _ in texts(chain_drawing()) if text[0].isdigit()]
    assert numbers == list("1234567")

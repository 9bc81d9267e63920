import numpy as np
import pytest

from ifmsr.errors import InputError
from ifmsr.figures.overview import overview_figure
from ifmsr.scenes import Observation, Scene

RNG = np.random.default_rng(0)
TRUTH = RNG.random((31, 32, 32)).astype(np.float32)
SRF = np.full((3, 31), 1 / 31, np.float32)
SCENE = Scene("made", TRUTH, srf=SRF, wavelengths=np.arange(400.0, 701.0, 10.0))
LR = TRUTH.reshape(31, 8, 4, 8, 4).mean((2, 4))
PAIR = Observation(LR, np.tensordot(SRF, TRUTH, 1), 4)
RESULTS = {"One": TRUTH + 0.01, "Other": TRUTH - 0.02}
PLACES = ((9, 10), (20, 21))


def test_errors_have_one_scale_and_the_spectra_are_those_of_the_places():
    figure = overview_figure(SCENE, PAIR, RESULTS, (8, 8, 16, 16), PLACES, limit=0.05)
    figure.canvas.draw()
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:4] == ["LR, 4 x fewer pixels", "One", "Other", "Ground truth"]
    maps = [ax.images[0] for ax in figure.axes if ax.get_title().startswith("Error of")]
    assert [drawn.get_clim() for drawn in maps] == [(0, 0.05)] * 2
    means = [float(drawn.get_array().mean()) for drawn in maps]
    assert means == pytest.approx([0.01, 0.02], rel=1e-4) and maps[0].get_array().shape == (16, 16)
    for letter, (row, column) in zip("AB", PLACES, strict=True):
        curves = figure.axes[titles.index(f"Spectrum {letter}")].lines
        shown = {curve.get_label(): curve.get_ydata() for curve in curves}
        np.testing.assert_array_equal(shown["Ground truth"], TRUTH[:, row, column])
        np.testing.assert_array_equal(shown["Other"], RESULTS["Other"][:, row, column])


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"results": {"One": TRUTH}}, "results"),
        ({"places": PLACES[:1]}, "results"),
        ({"window": (24, 0, 16, 16)}, "window"),
        ({"scene": Scene("made", TRUTH, rgb_bands=(20, 10, 5))}, "made"),
    ],
)
def test_what_cannot_be_drawn_is_refused(changed, where):
    given = {
        "scene": SCENE,
        "observation": PAIR,
        "results": RESULTS,
        "window": (8, 8, 16, 16),
        "places": PLACES,
    }
    with pytest.raises(InputError, match=f"^{where}"):
        overview_figure(**(given | changed), limit=0.05)

import numpy as np
import pytest

from ifmsr.figures.pair import assessment_figure, guide_name, result_figure, shown_bands

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("wavelengths", "bands", "colour"),
    [
        (np.arange(400.0, 701.0, 10.0), (24, 15, 6), "natural colour"),
        (np.arange(700.0, 399.0, -10.0), (6, 15, 24), "natural colour"),
        (np.arange(900.0, 1201.0, 10.0), (25, 15, 5), "false colour"),
        (None, (25, 15, 5), "false colour"),
    ],
)
def test_natural_colour_where_the_wavelengths_reach_it(wavelengths, bands, colour):
    assert shown_bands(31, wavelengths) == (bands, colour)


@pytest.mark.parametrize("bands", [1, 2, 31])
def test_pictures_of_any_number_of_bands_and_missing_values(bands):
    lr, rgb, sr = RNG.random((bands, 10, 12)), RNG.random((3, 40, 48)), RNG.random((bands, 40, 48))
    lr[:, 0], sr[:, :4], rgb[:, 5] = np.nan, np.nan, np.nan
    figure = result_figure(lr, rgb, sr, 4)
    assert [ax.get_title() for ax in figure.axes[:3]] == [
        "LR cube, false colour",
        "RGB guide",
        "result, false colour",
    ]
    curves = figure.axes[-1].lines
    assert len(curves) == 6 and all(np.isfinite(curve.get_ydata()).all() for curve in curves)
    figure.canvas.draw()
    drawn = assessment_figure(lr, rgb, RNG.random((9, 9)), RNG.random((3, bands + 1)), 4)
    assert drawn.axes[3].lines[0].get_ydata().shape == (bands,)
    drawn.canvas.draw()


def test_a_guide_of_equal_channels_is_called_panchromatic():
    grey = RNG.random((1, 4, 5)).repeat(3, axis=0)
    grey[:, 1, 2] = np.nan
    assert guide_name(grey) == "panchromatic guide"
    grey[1, 0, 0] = 2
    assert guide_name(grey) == "RGB guide"

import io

import numpy as np
import pytest
from PIL import Image
from viewer.scenes import images, truth

from ifmsr.errors import InputError
from ifmsr.viewer.picture import picture_png, viewer_figure
from ifmsr.viewer.planes import all_planes, decode, encode, plane
from ifmsr.viewer.render import band_picture, colour_picture, error_picture, palette
from ifmsr.viewer.stack import stack_of


@pytest.fixture(scope="module")
def stack():
    return stack_of(**images())


def test_bytes_are_finer_for_dark_values_and_zero_for_missing_ones():
    values = np.array([0, 0.25, 1, -1, 2, np.nan], np.float32)
    np.testing.assert_array_equal(encode(values, 0, 1), [1, 128, 255, 1, 255, 0])
    back = decode(0, 1)
    assert np.isnan(back[0]) and back[1] == 0 and back[128] == 0.25 and back[255] == 1
    levels = np.linspace(2, 3, 1000, dtype=np.float32)
    assert abs(decode(2, 3)[encode(levels, 2, 3)] - levels).max() < 1 / 254


def test_a_band_spans_its_own_range(stack):
    levels, band = plane(stack, 4, "band", 1), truth()[1]
    assert levels.shape == (8, 12) and levels.min() == 1 and levels.max() == 255
    share = (band.astype(float) - band.min()) / (float(band.max()) - band.min())
    np.testing.assert_array_equal(levels, np.floor(254 * np.sqrt(share) + 0.5) + 1)


def test_errors_and_angles_are_planes_of_their_own(stack):
    error = decode(0, stack.error_limits[0])[plane(stack, 3, "error", 2)]
    np.testing.assert_allclose(error, 0.1 * truth()[2], atol=2e-3)
    assert (plane(stack, 3, "angle") == 1).all()  # proportional spectra
    assert len(all_planes(stack)) == 4 + 3 + 3 * 4 + 2 * (4 + 1)


@pytest.mark.parametrize(
    ("place", "of", "band"), [(5, "band", 0), (0, "band", 4), (0, "error", 0), (4, "angle", 0), (0, "x", 0)]
)
def test_there_is_no_other_plane(stack, place, of, band):
    with pytest.raises(InputError):
        plane(stack, place, of, band)


def test_a_band_is_shown_as_the_root_between_the_percentiles_of_the_cube(stack):
    shown = band_picture(stack, 4, 1)
    assert shown.shape == (8, 12, 4) and (shown[..., 3] == 255).all()
    black, white = np.percentile(images()["cube"][1], (1, 99))
    expected = 255 * np.sqrt(((truth()[1] - black) / (white - black)).clip(0, 1))
    assert abs(shown[..., 0] - expected)[truth()[1] > black + 0.02].max() < 4  # of the quantisation
    assert (shown[..., 0] == shown[..., 2]).all()


def test_colours_are_three_bands_and_the_guide_its_own(stack):
    natural = colour_picture(stack, 4, stack.natural)
    for channel, band in enumerate((2, 1, 0)):
        np.testing.assert_array_equal(natural[..., channel], band_picture(stack, 4, band)[..., 0])
    guide = colour_picture(stack, 1, (3, 3, 3))
    black, white, root = stack.guide_stretch(stack.layers[1])
    assert not root
    black, white = black[:, None, None], white[:, None, None]
    expected = 255 * ((images()["guide"] - black) / (white - black)).clip(0, 1)
    assert abs(guide[..., :3].transpose(2, 0, 1) - expected).max() < 2


def test_a_linear_guide_is_shown_as_its_root():
    dark = np.random.default_rng(1).random((3, 8, 8)).astype(np.float32) ** 4
    assert stack_of(dark, guide=dark).guide_stretch(stack_of(dark, guide=dark).layers[1])[2]


def test_errors_have_the_colours_of_magma(stack):
    shown = error_picture(stack, 3, "error", 2, 0.1)
    expected = palette()[np.floor(255 * 10 * 0.1 * truth()[2] + 0.5).astype(int)]
    assert abs(shown[..., :3].astype(int) - expected).mean() < 3


def test_missing_values_are_transparent():
    cube = truth()
    cube[0, 2, 3] = np.nan
    stack = stack_of(cube)
    assert band_picture(stack, 0, 0)[2, 3, 3] == 0 and band_picture(stack, 0, 1)[2, 3, 3] == 255
    assert colour_picture(stack, 0, (0, 1, 2))[2, 3, 3] == 0


def test_the_still_picture_names_every_image_its_errors_and_the_axes(stack):
    figure = viewer_figure(stack)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:7] == [
        "LR cube, natural colour", "RGB guide", "Bicubic", "Closed-form", "Ground truth",
        "Bicubic, error", "Closed-form, error",
    ]  # fmt: skip
    spectra = figure.axes[-1]
    assert spectra.get_xlabel() == "Wavelength (nm)" and spectra.get_ylabel() == "Reflectance"
    row, column = stack.first_point()
    drawn = {line.get_label(): line.get_ydata() for line in spectra.lines}
    np.testing.assert_array_equal(drawn["Ground truth"], truth()[:, row, column])


@pytest.mark.parametrize("state", [{"mode": "angle"}, {"mode": "band", "band": 3}, {"mode": "false"}])
def test_the_still_picture_is_a_png_of_what_is_shown(stack, state):
    picture = Image.open(io.BytesIO(picture_png(stack, state)))
    assert picture.format == "PNG" and picture.width > 800
    alone = Image.open(io.BytesIO(picture_png(stack_of(truth()))))
    assert alone.width > 800

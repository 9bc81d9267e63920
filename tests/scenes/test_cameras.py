import numpy as np
import pytest

from ifmsr.errors import InputError
from ifmsr.scenes import nikon_d700
from ifmsr.scenes.cameras import camera_names, camera_response, find_response

CAVE = np.arange(400.0, 701.0, 10.0)


def test_there_are_52_cameras_and_each_sees_caves_bands():
    assert len(camera_names()) == 52
    for name in camera_names():
        response = camera_response(name, CAVE)
        assert response.shape == (3, 31) and response.dtype == np.float32 and response.min() >= 0
        np.testing.assert_allclose(response.sum(1), 1, atol=1e-5)
        red, green, blue = (response @ CAVE).tolist()
        assert blue < green < red, name


def test_values_are_the_published_ones():
    """The ratio of green to red at 385 nm of the table's first camera, from the published file."""
    response = camera_response("ARRI D21", np.array([380.0, 385.0]))
    np.testing.assert_allclose(response[0], np.array([0.000188205, 0.000440222]) / 0.000628427, rtol=1e-3)
    np.testing.assert_allclose(response[1], np.array([8.59e-05, 0.000166118]) / 0.000252018, rtol=1e-3)


def test_the_papers_d700_is_no_measured_one():
    """Its red still stands at 78 % of its peak at 700 nm; none of the 52 is above 4 %."""
    papers = nikon_d700()[0]
    assert papers[-1] / papers.max() == pytest.approx(0.78, abs=0.01)
    for name in camera_names():
        measured = camera_response(name, CAVE)[0]
        assert measured[-1] / measured.max() < 0.04, name


def test_the_response_is_zero_outside_the_table():
    response = camera_response("Nikon D700", np.array([450.0, 550.0, 650.0, 900.0]))
    assert (response[:, 3] == 0).all()


def test_an_unknown_camera_is_named_with_the_nearest_ones():
    with pytest.raises(InputError, match="Nikon D7000"):
        camera_response("Nikon D7x00", CAVE)


def test_a_response_is_found_by_name_or_file(tmp_path):
    wavelengths = np.arange(400.0, 701.0, 10.0)
    measured = camera_response("Canon EOS 5D", wavelengths)
    for name in ("Canon EOS 5D", "canon-eos-5d", "CANON EOS 5D"):
        np.testing.assert_array_equal(find_response(name, 31, wavelengths), measured)
    np.testing.assert_array_equal(find_response("nikon-d700", 31), nikon_d700())
    np.testing.assert_allclose(find_response("nikon-d700", 31, wavelengths), nikon_d700(), atol=1e-6)
    np.testing.assert_array_equal(
        find_response("Nikon D700", 31, wavelengths), camera_response("Nikon D700", wavelengths)
    )
    path = tmp_path / "mine.csv"
    path.write_text("wavelength_nm,R,G,B\n500,0,0,1\n600,0,1,0\n700,1,0,0\n")
    np.testing.assert_array_equal(find_response(path, 3), np.eye(3)[::-1].T)
    between = find_response(path, 4, np.array([500.0, 550.0, 600.0, 700.0]))
    np.testing.assert_allclose(between, [[0, 0, 0, 1], [0, 1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0, 0]], rtol=1e-6)


def test_a_satellites_bands_lie_between_their_limits():
    response = find_response("WorldView-2", 31, CAVE)
    for row, (low, high) in zip(response, ((630, 690), (510, 580), (450, 510)), strict=True):
        seen = CAVE[row > 0]
        assert (seen[0], seen[-1]) == (low, high) and np.ptp(row[row > 0]) == 0
    own = find_response("worldview-2", 8, np.array([427.0, 478.0, 546.0, 608.0, 659.0, 724.0, 831.0, 908.0]))
    np.testing.assert_array_equal(own, np.eye(8)[[4, 2, 1]])
    blue = find_response("sentinel-2", 31, CAVE)[2]
    assert CAVE[blue > 0].tolist() == [460, 470, 480, 490, 500, 510, 520]


def test_what_cannot_be_a_response_is_named():
    with pytest.raises(InputError, match=r"srf: 'canon-eos-6d' is no file and no known camera. Did you mean"):
        find_response("canon-eos-6d", 31)
    with pytest.raises(
        InputError, match="has 81 wavelengths, and those of the cube's 31 bands are not known"
    ):
        find_response("canon-eos-5d", 31)

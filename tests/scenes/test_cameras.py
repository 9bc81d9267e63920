import numpy as np
import pytest

from ifmsr.errors import InputError
from ifmsr.scenes import nikon_d700
from ifmsr.scenes.cameras import camera_names, camera_response

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


def test_wavelengths_beyond_the_table_are_unseen():
    response = camera_response("Nikon D700", np.array([450.0, 550.0, 650.0, 900.0]))
    assert (response[:, 3] == 0).all()


def test_an_unknown_camera_is_named_with_the_nearest_ones():
    with pytest.raises(InputError, match="Nikon D7000"):
        camera_response("Nikon D7x00", CAVE)

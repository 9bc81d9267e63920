import numpy as np
import pytest

from ifmsr.errors import InputError
from ifmsr.scenes.response import nikon_d700, read_srf, resample_srf


def test_nikon_d700_is_the_published_table():
    srf = nikon_d700()
    assert srf.shape == (3, 31) and srf.dtype == np.float32
    whole = srf * np.array([[255], [203], [251]])
    np.testing.assert_allclose(whole, whole.round(), atol=1e-4)
    assert whole[:, 0].round().tolist() == [2, 1, 7] and whole[:, 22].round().tolist() == [21, 2, 1]
    np.testing.assert_allclose(srf.sum(axis=1), 1, rtol=1e-6)


def test_own_table_is_normalised(tmp_path):
    path = tmp_path / "camera.csv"
    path.write_text("wavelength_nm,R,G,B\n450,0,1,3\n550,0,3,1\n650,4,0,0\n")
    wavelengths, srf = read_srf(path)
    assert wavelengths.tolist() == [450, 550, 650]
    np.testing.assert_allclose(srf, [[0, 0, 1], [0.25, 0.75, 0], [0.75, 0.25, 0]])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nm,R,G,B\n450,1,1,1\n", "cannot be read"),
        ("wavelength_nm,R,G,B\n450,1,1\n", "cannot be read"),
        ("wavelength_nm,R,G,B\n450,1,red,1\n", "cannot be read"),
        ("wavelength_nm,R,G,B\n", "empty"),
        ("wavelength_nm,R,G,B\n450,nan,1,1\n", "not finite"),
        ("wavelength_nm,R,G,B\n450,0,1,1\n", "zero everywhere"),
        ("wavelength_nm,R,G,B\n450,1,-1,1\n460,1,5,1\n", "negative"),
        ("wavelength_nm,R,G,B\n460,1,1,1\n450,1,1,1\n", "do not increase"),
    ],
)
def test_bad_tables_are_named(tmp_path, text, problem):
    path = tmp_path / "camera.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"camera\.csv.*{problem}"):
        read_srf(path)


def test_missing_table_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        read_srf(tmp_path / "nowhere.csv")


def test_resampling_at_the_same_wavelengths_changes_nothing():
    grid = np.arange(400.0, 701.0, 10.0)
    np.testing.assert_allclose(resample_srf(nikon_d700(), grid, grid), nikon_d700(), atol=1e-7)


def test_resampling_is_linear_and_zero_outside():
    srf = np.array([[1, 3]] * 3, np.float32) / 4
    found = resample_srf(srf, np.array([500.0, 600.0]), np.array([450.0, 500.0, 550.0]))
    np.testing.assert_allclose(found, [[0, 1 / 3, 2 / 3]] * 3, rtol=1e-6)
    with pytest.raises(InputError, match="zero everywhere"):
        resample_srf(srf, np.array([500.0, 600.0]), np.array([900.0, 910.0]))
    with pytest.raises(InputError, match="3 wavelengths"):
        resample_srf(srf, np.array([500.0, 600.0, 700.0]), np.array([500.0]))

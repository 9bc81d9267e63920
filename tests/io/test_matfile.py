import h5py
import numpy as np
import pytest
from conftest import REAL_DATA, real

from ifmsr.errors import InputError
from ifmsr.io import read_cube, write_cube

CUBE = np.random.default_rng(0).integers(1, 4096, (12, 16, 5)).astype(np.uint16)  # (h, w, B)
CUBE[0, 0, 0] = 4095


@pytest.mark.parametrize("by_matlab", [True, False])
def test_the_axes_of_version_73_are_its_writers(tmp_path, by_matlab):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512 * by_matlab) as file:
        file["cube"] = CUBE.T if by_matlab else CUBE
        if by_matlab:
            file["cube"].attrs["MATLAB_class"] = np.bytes_("uint16")
    cube = read_cube(tmp_path / "a.mat")
    np.testing.assert_array_equal(cube.stored(), CUBE.transpose(2, 0, 1))
    assert cube.maximum == 4095


def test_the_guides_size_tells_where_python_put_the_bands(tmp_path):
    """More bands than rows: the smallest axis would be the wrong one."""
    stored = np.random.default_rng(1).integers(0, 4096, (40, 12, 16)).astype(np.uint16)
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["cube"] = stored
    cube = read_cube(tmp_path / "a.mat", beside=(48, 64))
    np.testing.assert_array_equal(cube.stored(), stored)


def test_worldview_2_is_read_by_its_variables_name(tmp_path):
    path = real(REAL_DATA / "worldview2" / "imgWV2.mat")
    cube = read_cube(path)
    assert cube.values.shape == (8, 320, 320) and cube.maximum == 2047 and cube.dtype == "uint16"
    again = read_cube(write_cube(tmp_path / "out.mat", cube))
    np.testing.assert_array_equal(again.stored(), cube.stored())


def test_airborne_counts_with_negative_values():
    cube = read_cube(real(REAL_DATA / "sensors" / "abu-beach-1.mat"), beside=(600, 600))
    assert cube.values.shape == (188, 150, 150) and cube.dtype == "int16"
    assert cube.values.min() == 0 and cube.values.max() > 0.5 and "negative values" in cube.taken


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(InputError, match=r"a\.mat"):
        read_cube(tmp_path / "a.mat")

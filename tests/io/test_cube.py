import numpy as np
import pytest

from ifmsr.errors import InputError
from ifmsr.io import Cube

VALUES = np.random.default_rng(0).random((3, 4, 5), dtype=np.float32)
ABOUT = {
    "wavelengths": np.array([450.0, 550.0, 650.0]),
    "fwhm": np.array([5.0, 6.0, 7.0]),
    "good": np.array([True, True, False]),
    "names": ("b", "g", "r"),
    "crs": "EPSG:32611",
    "transform": (1.0, 0.0, 257957.6, 0.0, -1.0, 4110508.8),
    "scale": np.array([1e-4, 2e-4, 1e-4]),
    "offset": np.array([0.0, 0.1, 0.0]),
    "maximum": 1.25,
    "nodata": -9999.0,
    "dtype": "int16",
    "header": {"sensor type": "AVIRIS", "list": ["1", "2", "3"]},
    "taken": "read",
}


def assert_same(a, b):
    for name in ("values", *ABOUT):
        x, y = getattr(a, name), getattr(b, name)
        if isinstance(x, np.ndarray):
            np.testing.assert_array_equal(x, y, err_msg=name)
        else:
            assert x == y, name


def test_xarray_and_back_is_exact():
    cube = Cube(VALUES, **ABOUT)
    array = cube.to_xarray()
    assert (
        array.dims == ("band", "y", "x") and float(array.x[0]) == 257958.1 and float(array.y[0]) == 4110508.3
    )
    assert float(array.sel(band=1).wavelength) == 550
    assert_same(Cube.from_xarray(array), cube)
    assert_same(Cube.from_xarray(Cube(VALUES).to_xarray()), Cube(VALUES))
    with pytest.raises(InputError, match="Transpose"):
        Cube.from_xarray(array.transpose("y", "x", "band"))


TRANSFORMS = {
    "north up": (1.0, 0.0, 257957.6, 0.0, -1.0, 4110508.8),
    "south up": (1.0, 0.0, 257957.6, 0.0, 1.0, 4110508.8),
    "mirrored": (-1.0, 0.0, 257957.6, 0.0, -1.0, 4110508.8),
    "both": (-1.0, 0.0, 257957.6, 0.0, 1.0, 4110508.8),
    "rotated": (0.8, 0.6, 257957.6, 0.6, -0.8, 4110508.8),
}


def corners(transform, height, width):
    a, b, c, d, e, f = transform
    places = [(0, 0), (width, 0), (0, height), (width, height)]
    return np.array([(a * x + b * y + c, d * x + e * y + f) for x, y in places])


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_finer_grid_has_the_same_corners(transform):
    cube = Cube(VALUES, transform=transform, names=("b", "g", "r"))
    finer = cube.with_values(np.zeros((3, 40, 50), np.float32))
    np.testing.assert_allclose(corners(finer.transform, 40, 50), corners(transform, 4, 5), rtol=0, atol=1e-7)
    assert finer.names == cube.names
    with pytest.raises(InputError, match="whole number"):
        cube.with_values(np.zeros((3, 40, 51), np.float32))


def test_stored_numbers_are_rounded_clipped_and_missing_ones_marked():
    values = np.array([[[0.1, 1.0, np.nan]]], np.float32)
    cube = Cube(values, maximum=255, dtype="uint8", nodata=0)
    assert cube.stored().tolist() == [[[26, 255, 0]]] and cube.stored().dtype == np.uint8
    with pytest.raises(InputError, match="nodata"):
        Cube(values, maximum=255, dtype="uint8").stored()
    scaled = Cube(values, scale=np.array([1e-4]), maximum=1.5, dtype="int16", nodata=-9999)
    assert scaled.stored().tolist() == [[[1500, 15000, -9999]]]


def test_floating_is_reflectance_where_a_scale_is_stated():
    about = {
        "scale": np.array([1e-4]),
        "maximum": 1.5,
        "dtype": "int16",
        "header": {"reflectance scale factor": "10000"},
    }
    cube = Cube(np.array([[[0.5]]], np.float32), **about).floating()
    assert cube.stored().tolist() == [[[0.75]]] and cube.dtype == "float32" and cube.header == {}
    assert Cube(np.array([[[0.5]]], np.float32), maximum=4095, dtype="uint16").floating().stored() == 0.5


def test_what_does_not_belong_together_raises():
    with pytest.raises(InputError, match=r"wavelengths of shape \(2,\) for 3 bands"):
        Cube(VALUES, wavelengths=np.array([1.0, 2.0]))
    with pytest.raises(InputError, match="2 names for 3 bands"):
        Cube(VALUES, names=("a", "b"))
    with pytest.raises(InputError, match=r"shape \(4, 5\)"):
        Cube(VALUES[0])

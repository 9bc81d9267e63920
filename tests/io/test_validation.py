from pathlib import Path

import numpy as np
import pytest

from ifmsr.errors import InputError
from ifmsr.io.stored import Stored
from ifmsr.io.validation import to_cube

PATH = Path("a.dat")


def stored(array, **about):
    return Stored(PATH, np.asarray(array), **about)


def ramp(dtype=np.float32, most=1):
    return np.linspace(0, most, 4 * 6 * 8).reshape(4, 6, 8).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "most", "maximum"),
    [
        ("uint8", 200, 255),
        ("uint16", 592, 1023),
        ("uint16", 4095, 4095),
        ("uint16", 4096, 8191),
        ("int16", 32767, 32767),
    ],
)
def test_counts_are_divided_by_the_bits_that_hold_them(dtype, most, maximum):
    cube = to_cube(stored(ramp(dtype, most)))
    assert cube.maximum == maximum and cube.values.max() == pytest.approx(most / maximum)
    assert "divided by" in cube.taken and cube.dtype == dtype


def test_the_scale_of_the_file_counts_per_band():
    array = np.array([[[100.0]], [[100.0]]])
    cube = to_cube(stored(array, scale=np.array([0.001, 0.002]), offset=np.array([0.0, 0.1])))
    np.testing.assert_allclose(cube.values.ravel(), [0.1, 0.3], rtol=1e-6)
    np.testing.assert_allclose(cube.stored(), array)


def test_reflectance_beyond_one_is_divided_by_the_largest():
    cube = to_cube(stored(ramp("int16", 15000), scale=1e-4))
    assert cube.maximum == pytest.approx(1.5) and cube.values.max() == 1
    assert "scale 0.0001 as the file says, then divided by 1.5" in cube.taken
    np.testing.assert_array_equal(cube.stored(), ramp("int16", 15000))


def test_floats_beyond_one_are_divided_by_the_largest():
    assert to_cube(stored(ramp(most=1.5))).maximum == 1.5
    assert to_cube(stored(ramp(most=0.4))).maximum == 1


@pytest.mark.parametrize("value", [-9999, np.nan, np.inf, -3.4e38, -3.39e38])
def test_missing_values_become_nan(value):
    array = ramp()
    array[:, 2, 3] = value
    cube = to_cube(stored(array))
    assert np.isnan(cube.values[:, 2, 3]).all() and np.isnan(cube.values).sum() == 4
    assert "1 pixels without valid values" in cube.taken


def test_the_no_data_number_of_the_file_counts_and_a_given_one_before_it():
    array = ramp("int16", 1000)
    array[:, 0, 0], array[:, 0, 1] = 7, -5
    assert np.isnan(to_cube(stored(array, nodata=7)).values).sum() == 4
    assert np.isnan(to_cube(stored(array, nodata=7), nodata=-5).values[:, 0]).sum() == 4


def test_a_no_data_number_that_the_type_has_not_is_none():
    cube = to_cube(stored(ramp("uint8", 200), nodata=-9999))
    assert cube.nodata is None and not np.isnan(cube.values).any()


def test_slightly_negative_reflectance_is_clipped_and_said():
    array = ramp()
    array[0, 0, :3] = -0.01
    cube = to_cube(stored(array))
    assert cube.values.min() == 0 and "3 slightly negative values (least -0.01) set to 0" in cube.taken


@pytest.mark.parametrize("value", [-1, -1000])
def test_values_far_below_zero_raise(value):
    array = ramp()
    array[0, 0, 0] = value
    with pytest.raises(InputError, match=f"a.dat: values from {value} to 1.*nodata="):
        to_cube(stored(array))


def test_bad_and_empty_bands_are_left_out():
    array = ramp()
    array[1] = np.nan
    good = np.array([True, True, True, False])
    about = {"wavelengths": np.arange(400.0, 440.0, 10.0), "good": good, "names": tuple("abcd")}
    header = {"default bands": ["3", "1"], "per band": list("wxyz"), "sensor": "x"}
    cube = to_cube(stored(array, header=header, **about))
    np.testing.assert_array_equal(cube.wavelengths, [400, 420])
    assert cube.names == ("a", "c") and cube.good.tolist() == [True, True]
    assert cube.header == {"default bands": ["2", "1"], "per band": ["w", "y"], "sensor": "x"}
    assert "2 bands left out" in cube.taken
    assert len(to_cube(stored(array, header=header, **about), bad_bands=True).values) == 3


def test_nothing_valid_nothing_at_all_and_no_numbers():
    with pytest.raises(InputError, match="no valid value"):
        to_cube(stored(np.full((2, 3, 4), -9999.0)))
    with pytest.raises(InputError, match="empty array"):
        to_cube(stored(np.zeros((2, 0, 4))))
    with pytest.raises(InputError, match="values of type bool"):
        to_cube(stored(np.zeros((2, 3, 4), bool)))


def test_a_picture_is_missing_only_where_every_channel_says_so():
    picture = np.full((3, 4, 4), 100, np.uint8)
    picture[0, 1, 1] = 255
    picture[:, 2, 2] = 255
    values = to_cube(stored(picture, nodata=255), whole_pixels=True).values
    assert values[0, 1, 1] == 1 and np.isnan(values[:, 2, 2]).all() and np.isnan(values).sum() == 3

import numpy as np
import pytest
import spectral
import tifffile
from PIL import Image
from scipy.io import savemat

from ifmsr.errors import InputError
from ifmsr.scenes.own import load_cube, load_image

CUBE = np.random.default_rng(0).integers(0, 65536, (5, 12, 16)).astype(np.uint16)  # (B, H, W)
IMAGE = np.random.default_rng(1).integers(0, 256, (3, 12, 16)).astype(np.uint8)


def write(path, array):
    """`array` (B, H, W) in the file type's customary order."""
    last = np.ascontiguousarray(array.transpose(1, 2, 0))
    match path.suffix:
        case ".npy":
            np.save(path, array)
        case ".npz":
            np.savez(path, cube=last, wavelengths=np.arange(3))
        case ".mat":
            savemat(path, {"cube": last, "wavelengths": np.arange(3)})
        case ".tif":
            tifffile.imwrite(path, last, photometric="minisblack")
        case ".hdr":
            spectral.envi.save_image(str(path), last, interleave="bil")
        case _:
            Image.fromarray(last).save(path)
    return path


@pytest.mark.parametrize("kind", ["npy", "npz", "mat", "tif", "hdr"])
def test_every_type_gives_the_same_cube(tmp_path, kind):
    cube = load_cube(write(tmp_path / f"mine.{kind}", CUBE))
    assert cube.dtype == np.float32
    np.testing.assert_allclose(cube, CUBE / 65535, rtol=1e-6)


@pytest.mark.parametrize("kind", ["npy", "mat", "tif", "hdr", "png", "bmp"])
def test_every_type_gives_the_same_colour_image(tmp_path, kind):
    np.testing.assert_allclose(load_image(write(tmp_path / f"mine.{kind}", IMAGE)), IMAGE / 255, rtol=1e-6)


def test_jpeg_is_near(tmp_path):
    flat = np.full((3, 16, 24), 100, np.uint8)
    np.testing.assert_allclose(load_image(write(tmp_path / "mine.jpg", flat)), flat / 255, atol=0.02)


def test_transparency_is_dropped(tmp_path):
    rgba = np.concatenate([IMAGE, np.full((1, 12, 16), 255, np.uint8)])
    np.testing.assert_allclose(load_image(write(tmp_path / "mine.png", rgba)), IMAGE / 255, rtol=1e-6)


def test_maximum_is_the_value_that_becomes_one(tmp_path):
    path = write(tmp_path / "mine.npy", CUBE // 16)
    np.testing.assert_allclose(load_cube(path, maximum=4095), (CUBE // 16) / 4095, rtol=1e-6)
    with pytest.raises(InputError, match="maximum: 0"):
        load_cube(path, maximum=0)
    with pytest.raises(InputError, match=r"mine\.npy: values from"):
        load_cube(path, maximum=255)


def test_layout_decides_where_the_shape_does_not(tmp_path):
    tall = np.zeros((31, 8, 8), np.float32)
    tall[30, 1, 2] = 1
    path = write(tmp_path / "mine.npy", tall)
    with pytest.raises(InputError, match=r"\(31, 8, 8\) is ambiguous.*layout="):
        load_cube(path)
    np.testing.assert_array_equal(load_cube(path, layout="CHW"), tall)
    assert load_cube(path, layout="HWC").shape == (8, 31, 8)
    with pytest.raises(InputError, match="ambiguous"):
        load_cube(write(tmp_path / "bil.npy", CUBE.transpose(1, 0, 2)))


@pytest.mark.parametrize(
    ("value", "problem"), [(1.5, "values from 0 to 1.5"), (-1, "values from -1"), (np.nan, "NaN")]
)
def test_floats_must_be_in_range(tmp_path, value, problem):
    cube = np.zeros((4, 9, 9), np.float32)
    cube[0, 0, 0] = value
    with pytest.raises(InputError, match=rf"mine\.npy.*{problem}"):
        load_cube(write(tmp_path / "mine.npy", cube))


def test_candidates_are_listed(tmp_path):
    savemat(tmp_path / "two.mat", {"a": CUBE.T, "b": CUBE.T})
    with pytest.raises(InputError, match=r"2 arrays with three axes \(found: a .*, b .*key="):
        load_cube(tmp_path / "two.mat")
    assert load_cube(tmp_path / "two.mat", key="b").shape == (5, 16, 12)
    np.savez(tmp_path / "two.npz", a=CUBE, b=CUBE)
    with pytest.raises(InputError, match=r"no array 'c'.*a, b"):
        load_cube(tmp_path / "two.npz", key="c")


def test_wrong_channels_axes_and_types(tmp_path):
    with pytest.raises(InputError, match="5 channels"):
        load_image(write(tmp_path / "five.npy", CUBE))
    np.save(tmp_path / "four.npy", np.zeros((2, 3, 4, 5)))
    with pytest.raises(InputError, match=r"shape \(2, 3, 4, 5\)"):
        load_cube(tmp_path / "four.npy")
    np.save(tmp_path / "complex.npy", np.zeros((3, 8, 9), complex))
    with pytest.raises(InputError, match="complex128"):
        load_cube(tmp_path / "complex.npy")
    with pytest.raises(InputError, match=r"unknown file type '\.txt'"):
        load_cube(tmp_path / "mine.txt")


def test_a_pickle_is_never_opened(tmp_path):
    np.save(tmp_path / "trap.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"trap\.npy: cannot be read"):
        load_cube(tmp_path / "trap.npy")


@pytest.mark.parametrize("kind", ["npy", "npz", "mat", "tif", "hdr", "png"])
def test_missing_and_truncated_files_are_named(tmp_path, kind):
    path = tmp_path / f"mine.{kind}"
    with pytest.raises(InputError, match=rf"mine\.{kind}: there is no such file"):
        load_cube(path)
    write(path, IMAGE if kind == "png" else CUBE)
    data = path.with_suffix(".img") if kind == "hdr" else path
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 3])
    with pytest.raises(InputError, match=rf"mine\.{kind}"):
        load_cube(path)

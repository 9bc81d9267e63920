import numpy as np
import pytest
import spectral
import tifffile
from PIL import Image
from scipy.io import savemat

from ifmsr.errors import InputError
from ifmsr.io import read_cube, read_guide

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
    values = read_cube(write(tmp_path / f"mine.{kind}", CUBE)).values
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, CUBE / 65535, rtol=1e-6)


@pytest.mark.parametrize("kind", ["npy", "mat", "tif", "hdr", "png", "bmp"])
def test_every_type_gives_the_same_guide(tmp_path, kind):
    guide = read_guide(write(tmp_path / f"mine.{kind}", IMAGE))
    np.testing.assert_allclose(guide.values, IMAGE / 255, rtol=1e-6)


def test_maximum_is_the_value_that_becomes_one(tmp_path):
    path = write(tmp_path / "mine.npy", CUBE // 16)
    cube = read_cube(path, maximum=5000)
    np.testing.assert_allclose(cube.values, (CUBE // 16) / 5000, rtol=1e-6)
    np.testing.assert_array_equal(cube.stored(), CUBE // 16)
    with pytest.raises(InputError, match="maximum: 0"):
        read_cube(path, maximum=0)
    with pytest.raises(InputError, match=r"mine\.npy: values from"):
        read_cube(path, maximum=255)


def test_layout_decides_where_the_shape_does_not(tmp_path):
    tall = np.zeros((31, 8, 8), np.float32)
    tall[30, 1, 2] = 1
    path = write(tmp_path / "mine.npy", tall)
    with pytest.raises(InputError, match=r"\(31, 8, 8\) is ambiguous.*layout="):
        read_cube(path)
    np.testing.assert_array_equal(read_cube(path, layout="CHW").values, tall)
    assert read_cube(path, layout="HWC").values.shape == (8, 31, 8)
    with pytest.raises(InputError, match="layout: 'BIL' is unknown"):
        read_cube(path, layout="BIL")
    with pytest.raises(InputError, match="ambiguous"):
        read_cube(write(tmp_path / "bil.npy", CUBE.transpose(1, 0, 2)))


def test_the_size_of_the_image_beside_it_decides_the_layout(tmp_path):
    tall = np.zeros((31, 8, 8), np.float32)
    path = write(tmp_path / "mine.npy", tall)
    assert read_cube(path, beside=(32, 32)).values.shape == (31, 8, 8)
    last = np.zeros((8, 6, 31), np.float32)  # more bands than rows: the smallest axis would be wrong
    np.save(path, last)
    assert read_cube(path, beside=(32, 24)).values.shape == (31, 8, 6)


def test_candidates_are_listed_and_one_can_be_named(tmp_path):
    savemat(tmp_path / "two.mat", {"a": CUBE.T, "b": CUBE.T})
    with pytest.raises(InputError, match=r"2 arrays with three axes \(found: a .*, b .*key="):
        read_cube(tmp_path / "two.mat")
    assert read_cube(tmp_path / "two.mat", key="b").values.shape == (5, 16, 12)
    np.savez(tmp_path / "two.npz", a=CUBE, b=CUBE[:4])
    with pytest.raises(InputError, match=r"no array 'c'.*a \(5, 12, 16\), b"):
        read_cube(tmp_path / "two.npz", key="c")
    assert read_cube(tmp_path / "two.npz", key="b").values.shape == (4, 12, 16)


def test_wrong_axes_types_and_suffixes(tmp_path):
    np.save(tmp_path / "four.npy", np.zeros((2, 3, 4, 5)))
    with pytest.raises(InputError, match=r"shape \(2, 3, 4, 5\)"):
        read_cube(tmp_path / "four.npy")
    np.save(tmp_path / "complex.npy", np.zeros((3, 8, 9), complex))
    with pytest.raises(InputError, match="complex128"):
        read_cube(tmp_path / "complex.npy")
    with pytest.raises(InputError, match=r"unknown file type '\.txt'"):
        read_cube(tmp_path / "mine.txt")
    with pytest.raises(InputError, match="path: found 3"):
        read_cube(3)


@pytest.mark.parametrize("bands", [2, 5])
def test_a_guide_whose_colours_cannot_be_told_raises(tmp_path, bands):
    path = write(tmp_path / "mine.npy", np.resize(CUBE, (bands, 12, 16)))
    with pytest.raises(InputError, match=f"mine.npy: {bands} bands, where a guide has red.*rgb_bands="):
        read_guide(path)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_panchromatic_guide_is_taken_three_times(tmp_path, mapped):
    np.save(tmp_path / "mine.npy", CUBE[0])
    guide = read_guide(tmp_path / "mine.npy", mapped=mapped)
    np.testing.assert_allclose(guide.values[:, :, :], CUBE[[0, 0, 0]] / 65535, rtol=1e-6)
    assert guide.taken.endswith("red, green, blue: bands 1, 1, 1 of 1")


def test_colours_are_found_by_wavelength(tmp_path):
    """WorldView-2's eight bands; a sensor without blue has none."""
    centres = np.array([427.0, 478.0, 546.0, 608.0, 659.0, 724.0, 831.0, 908.0])
    cube = np.resize(CUBE, (8, 12, 16))
    np.savez(tmp_path / "mine.npz", cube=cube, wavelengths=centres)
    guide = read_guide(tmp_path / "mine.npz")
    np.testing.assert_array_equal(guide.stored(), cube[[4, 2, 1]])
    assert "red, green, blue: bands 5, 3, 2 of 8" in guide.taken
    np.savez(tmp_path / "nine.npz", cube=cube, wavelengths=centres + 100)
    with pytest.raises(InputError, match=r"8 bands \(527 nm, 578 nm.*rgb_bands="):
        read_guide(tmp_path / "nine.npz")


def test_three_of_many_bands_can_be_chosen_as_guide(tmp_path):
    path = write(tmp_path / "mine.hdr", CUBE)
    guide = read_guide(path, rgb_bands=(5, 3, 1), maximum=65535)
    np.testing.assert_allclose(guide.values, CUBE[[4, 2, 0]] / 65535, rtol=1e-6)
    for wrong in ((6, 3, 1), (0, 1, 2), (1, 2)):
        with pytest.raises(InputError, match=r"rgb_bands: .* of 5 bands\. Choose three from 1 to 5"):
            read_guide(path, rgb_bands=wrong)


def test_a_pickle_is_never_opened(tmp_path):
    np.save(tmp_path / "trap.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"trap\.npy: cannot be read"):
        read_cube(tmp_path / "trap.npy")


@pytest.mark.parametrize("kind", ["npy", "npz", "mat", "tif", "hdr", "png"])
def test_missing_and_truncated_files_are_named(tmp_path, kind):
    path = tmp_path / f"mine.{kind}"
    with pytest.raises(InputError, match=rf"mine\.{kind}: there is no such file"):
        read_cube(path)
    write(path, IMAGE if kind == "png" else CUBE)
    data = path.with_suffix(".img") if kind == "hdr" else path
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 3])
    with pytest.raises(InputError, match=rf"mine\.{kind}"):
        read_cube(path)


def test_a_size_that_memory_cannot_hold_raises_before_it_is_read(tmp_path):
    path = tmp_path / "huge.npy"
    with path.open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (1000, 100_000, 100_000)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(InputError, match=r"huge\.npy: an array of shape .* takes 111758\.\d GiB"):
        read_cube(path)
    spectral.envi.save_image(str(tmp_path / "sparse.hdr"), CUBE.transpose(1, 2, 0))
    header = (tmp_path / "sparse.hdr").read_text().replace("lines = 12", "lines = 2000000000")
    (tmp_path / "sparse.hdr").write_text(header)
    with open(tmp_path / "sparse.img", "r+b") as file:
        file.truncate(2 * 5 * 16 * 2_000_000_000)
    with pytest.raises(InputError, match=r"sparse\.hdr: an array .* GiB are free"):
        read_cube(tmp_path / "sparse.hdr")

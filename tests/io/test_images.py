import zlib

import numpy as np
import pytest
import rasterio
from conftest import REAL_DATA, real
from PIL import Image

from ifmsr.errors import InputError
from ifmsr.io import read_cube, read_guide

PICTURE = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
UPRIGHT = {
    1: PICTURE,
    2: PICTURE[:, ::-1],
    3: PICTURE[::-1, ::-1],
    4: PICTURE[::-1],
    5: PICTURE.swapaxes(0, 1),
    6: np.rot90(PICTURE, -1),
    7: PICTURE[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(PICTURE, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_turns_the_picture_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(PICTURE).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(
        read_guide(tmp_path / "a.png").stored(), UPRIGHT[orientation].transpose(2, 0, 1)
    )


def test_jpeg_is_near(tmp_path):
    flat = np.full((16, 24, 3), 100, np.uint8)
    Image.fromarray(flat).save(tmp_path / "a.jpg")
    np.testing.assert_allclose(read_guide(tmp_path / "a.jpg").values, 100 / 255, atol=0.02)


def test_colours_of_sixteen_bits_are_kept(tmp_path):
    deep = np.random.default_rng(1).integers(0, 65536, (3, 8, 9)).astype(np.uint16)
    about = {"driver": "PNG", "count": 3, "height": 8, "width": 9, "dtype": "uint16"}
    with rasterio.open(tmp_path / "a.png", "w", **about) as target:
        target.write(deep)
    guide = read_guide(tmp_path / "a.png")
    np.testing.assert_array_equal(guide.stored(), deep)
    assert guide.maximum == 65535


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_turns_colours_of_sixteen_bits_too(tmp_path, orientation):
    about = {"driver": "PNG", "count": 3, "height": 4, "width": 6, "dtype": "uint16"}
    with rasterio.open(tmp_path / "a.png", "w", **about) as target:
        target.write(PICTURE.transpose(2, 0, 1).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[274] = orientation
    chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    png = (tmp_path / "a.png").read_bytes()
    length, crc = (len(chunk) - 4).to_bytes(4), zlib.crc32(chunk).to_bytes(4)
    (tmp_path / "a.png").write_bytes(png[:33] + length + chunk + crc + png[33:])  # after the header
    expected = UPRIGHT[orientation].transpose(2, 0, 1).astype(np.uint16) * 257
    np.testing.assert_array_equal(read_guide(tmp_path / "a.png").stored(), expected)


def test_twelve_bits_in_sixteen_are_taken_as_twelve(tmp_path):
    grey = np.random.default_rng(1).integers(0, 4096, (8, 9)).astype(np.uint16)
    grey[0, 0] = 4095
    Image.fromarray(grey).save(tmp_path / "a.png")
    cube = read_cube(tmp_path / "a.png")
    assert cube.maximum == 4095 and cube.values.max() == 1
    np.testing.assert_array_equal(cube.stored()[0], grey)


def test_colours_of_twelve_bits_in_sixteen_are_taken_as_twelve(tmp_path):
    deep = np.random.default_rng(1).integers(0, 4096, (3, 8, 9)).astype(np.uint16)
    deep[0, 0, 0] = 4095
    about = {"driver": "PNG", "count": 3, "height": 8, "width": 9, "dtype": "uint16"}
    with rasterio.open(tmp_path / "a.png", "w", **about) as target:
        target.write(deep)
    guide = read_guide(tmp_path / "a.png")
    np.testing.assert_allclose(guide.values, deep / 4095, rtol=1e-6)
    assert "divided by 4095" in guide.taken


def test_transparent_pixels_are_missing(tmp_path):
    rgba = np.concatenate([PICTURE, np.full((4, 6, 1), 255, np.uint8)], axis=2)
    rgba[1, 2, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    values = read_guide(tmp_path / "a.png").values
    assert np.isnan(values[:, 1, 2]).all() and np.isnan(values).sum() == 3
    grey = Image.fromarray(rgba[..., 0])
    grey.putpalette([value for index in range(256) for value in (index, 0, 0)])
    grey.save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_guide(tmp_path / "b.png").stored()[0], rgba[..., 0])


@pytest.mark.parametrize("kind", ["jpg", "tif"])
def test_inks_raise(tmp_path, kind):
    Image.new("CMYK", (8, 8)).save(tmp_path / f"a.{kind}")
    with pytest.raises(InputError, match=rf"a\.{kind}: its colours are inks \(CMYK\). Save it as RGB"):
        read_guide(tmp_path / f"a.{kind}")


def test_a_grey_picture_is_a_guide(tmp_path):
    Image.fromarray(PICTURE[..., 0]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        read_guide(tmp_path / "a.png").stored(), PICTURE[..., [0, 0, 0]].transpose(2, 0, 1)
    )


def test_a_folder_of_bands_is_a_cube_in_the_order_of_the_numbers(tmp_path):
    bands = np.random.default_rng(0).integers(0, 65536, (12, 4, 6)).astype(np.uint16)
    for place, band in enumerate(bands):
        Image.fromarray(band).save(tmp_path / f"b_{place + 1}.png")  # b_10 comes before b_2 by name
    (tmp_path / "notes.txt").touch()
    Image.fromarray(PICTURE).save(tmp_path / "photo.png")
    cube = read_cube(tmp_path)
    np.testing.assert_array_equal(cube.stored(), bands)
    (tmp_path / "b_3.png").unlink()
    with pytest.raises(InputError, match="band 3 is missing"):
        read_cube(tmp_path)
    Image.fromarray(bands[0][:2]).save(tmp_path / "b_3.png")
    with pytest.raises(InputError, match="its pictures differ"):
        read_cube(tmp_path)
    Image.fromarray(PICTURE).save(tmp_path / "b_3.png")
    with pytest.raises(InputError, match=r"b_3\.png: .* one grey picture per band"):
        read_cube(tmp_path)
    Image.fromarray(bands[0]).save(tmp_path / "b_03.png")
    with pytest.raises(InputError, match="are the same band"):
        read_cube(tmp_path)


def test_a_folder_without_bands_raises(tmp_path):
    with pytest.raises(InputError, match="it holds no pictures"):
        read_cube(tmp_path)


@pytest.mark.parametrize("scene", ["feathers", "watercolors"])  # the latter is 8-bit RGBA with R = G = B
def test_caves_layout_is_what_the_data_set_reads(scene):
    from ifmsr.scenes import open_dataset

    root = real(REAL_DATA / "cave" / "complete_ms_data")
    cube = read_cube(root / f"{scene}_ms", maximum=255 if scene == "watercolors" else 65535)
    truth = open_dataset("cave", root.parent).load(scene)
    np.testing.assert_allclose(cube.values, truth.cube, rtol=1e-6)
    np.testing.assert_array_equal(cube.wavelengths, truth.wavelengths)

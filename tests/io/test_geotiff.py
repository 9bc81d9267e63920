import os

import numpy as np
import pytest
import rasterio
import tifffile
from conftest import REAL_DATA, real
from PIL import Image

from ifmsr.errors import InputError
from ifmsr.files import WriteError
from ifmsr.io import Cube, read_cube, read_guide, write_cube
from ifmsr.io.geotiff import WHOLE, write_geotiff

COUNTS = np.random.default_rng(0).integers(1, 10000, (4, 16, 24)).astype(np.uint16)
TRANSFORMS = {
    "north up": (1.0, 0.0, 257957.6, 0.0, -1.0, 4110508.8),
    "south up": (1.0, 0.0, 257957.6, 0.0, 1.0, 4110508.8),
    "mirrored": (-1.0, 0.0, 257957.6, 0.0, -1.0, 4110508.8),
    "both": (-1.0, 0.0, 257957.6, 0.0, 1.0, 4110508.8),
    "rotated": (0.8, 0.6, 257957.6, 0.6, -0.8, 4110508.8),
}


def write(path, array=COUNTS, **profile):
    bands, height, width = array.shape
    about = {"driver": "GTiff", "count": bands, "height": height, "width": width, "dtype": array.dtype}
    with rasterio.open(path, "w", **about, **profile) as target:
        target.write(array)
    return path


@pytest.mark.parametrize("compress", ["lzw", "deflate", "zstd", "packbits", "none"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_usual_compressions(tmp_path, compress, interleave):
    path = write(tmp_path / "a.tif", compress=compress, interleave=interleave)
    np.testing.assert_array_equal(read_cube(path).stored(), COUNTS)


def test_a_jpeg_compressed_guide(tmp_path):
    flat = np.full((3, 16, 24), 100, np.uint8)
    path = write(tmp_path / "a.tif", flat, compress="jpeg", photometric="ycbcr")
    np.testing.assert_allclose(read_guide(path).values, flat / 255, atol=0.02)


def test_scale_offset_and_no_data_per_band(tmp_path):
    path = write(tmp_path / "a.tif", nodata=int(COUNTS[1, 2, 3]))
    with rasterio.open(path, "r+") as target:
        target.scales, target.offsets = (1e-4, 2e-4, 1e-4, 1e-4), (0.0, 0.1, 0.0, 0.0)
    cube = read_cube(path)
    physical = COUNTS * np.array([1, 2, 1, 1])[:, None, None] * 1e-4 + np.array([0, 0.1, 0, 0])[:, None, None]
    missing = COUNTS[1, 2, 3] == COUNTS
    assert missing[1, 2, 3]
    np.testing.assert_array_equal(np.isnan(cube.values), missing)
    np.testing.assert_allclose((cube.values * cube.maximum)[~missing], physical[~missing], rtol=1e-5)


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_inks_and_cielab_raise(tmp_path, mode):
    Image.new(mode, (8, 8)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"a\.tif: its colours are .* Save it as RGB"):
        read_guide(tmp_path / "a.tif")


def test_an_orientation_tag_turns_the_picture(tmp_path):
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    for orientation, right in {
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.swapaxes(0, 1),
        6: np.rot90(picture, -1),
        7: picture[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(picture, 1),
    }.items():
        Image.fromarray(picture).save(tmp_path / "a.tif", tiffinfo={274: orientation})
        np.testing.assert_array_equal(read_guide(tmp_path / "a.tif").stored(), right.transpose(2, 0, 1))


def test_transparent_pixels_are_missing(tmp_path):
    picture = np.full((4, 16, 24), 100, np.uint8)
    picture[3, 2, 5] = 0
    path = write(tmp_path / "a.tif", picture, photometric="rgb", alpha="yes")
    guide = read_guide(path).values
    assert np.isnan(guide[:, 2, 5]).all() and np.isnan(guide).sum() == 3


def test_a_fourth_band_is_no_transparency(tmp_path):
    """Neither where the file says nothing, nor where GDAL has called it alpha, as it does with four bands of a byte."""
    path = write(tmp_path / "a.tif", COUNTS, photometric="minisblack")
    np.testing.assert_array_equal(read_cube(path).stored(), COUNTS)
    with pytest.raises(InputError, match=r"4 bands, where a guide has red.*rgb_bands="):
        read_guide(path)
    with rasterio.open(path, "r+") as target:
        for band, name in enumerate(("blue", "green", "red", "nir")):
            target.set_band_description(band + 1, name)
    guide = read_guide(path)
    np.testing.assert_array_equal(guide.stored(), COUNTS[[2, 1, 0]])
    assert guide.names == ("red", "green", "blue") and "bands 3, 2, 1 of 4" in guide.taken
    np.testing.assert_array_equal(read_guide(path, rgb_bands=(1, 2, 4)).stored(), COUNTS[[0, 1, 3]])
    measured = (COUNTS // 40).astype(np.uint8)
    measured[3, 0, 0] = 0
    path = write(tmp_path / "b.tif", measured)
    with rasterio.open(path) as source:
        assert source.colorinterp[3].name == "alpha"
    cube, guide = read_cube(path), read_guide(path)
    np.testing.assert_array_equal(cube.stored(), measured)
    np.testing.assert_array_equal(guide.stored(), measured[:3])
    assert not np.isnan(cube.values).any() and cube.names == ("red", "green", "blue", "")


def test_pages_are_bands_in_their_order(tmp_path):
    stack = np.random.default_rng(1).integers(0, 65535, (12, 20, 30)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    np.testing.assert_array_equal(read_cube(tmp_path / "a.tif").stored(), stack)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_result_lies_where_the_photo_lies(tmp_path, transform):
    """Corners equal to 1e-6 of the photo's pixel, for four orientations of the axes and a rotated grid."""
    scale = 10
    photo = rasterio.Affine(*transform) @ rasterio.Affine.scale(1 / scale)
    lr = write(tmp_path / "lr.tif", COUNTS, crs="EPSG:32611", transform=rasterio.Affine(*transform))
    cube = read_cube(lr)
    assert cube.transform == pytest.approx(transform, rel=1e-15)
    result = write_cube(tmp_path / "sr.tif", cube.with_values(cube.values.repeat(scale, 1).repeat(scale, 2)))
    with rasterio.open(result) as written:
        assert written.crs.to_epsg() == 32611 and written.shape == (160, 240)
        for corner in ((0, 0), (240, 0), (0, 160), (240, 160)):
            apart = np.subtract(~photo @ (written.transform @ corner), corner)
            assert np.abs(apart).max() < 1e-6


def test_the_neon_pair_is_the_oracle(tmp_path):
    lr = read_cube(real(REAL_DATA / "neon" / "SJER_052_hyperspectral.tif"))
    photo = read_guide(REAL_DATA / "neon" / "SJER_052.tif")
    assert lr.values.shape == (426, 40, 40) and lr.dtype == "int16" and lr.maximum == 16383
    assert (
        photo.values.shape == (3, 400, 400) and photo.values.max() == 1 and not np.isnan(photo.values).any()
    )
    assert photo.crs.startswith("PROJCS") and photo.nodata == 255 and photo.maximum == 255
    result = lr.with_values(np.zeros((426, 400, 400), np.float32))
    np.testing.assert_allclose(result.transform, photo.transform, rtol=0, atol=1e-7)


def test_enmap_round_trips_with_every_key(tmp_path):
    source = real(REAL_DATA / "enmap" / "enmap_potsdam_tile_128_96.tif")
    cube = read_cube(source)
    assert cube.values.shape == (218, 32, 32) and "6 bands left out" in cube.taken
    assert cube.wavelengths[[0, -1]].tolist() == [418.24, 2445.53] and cube.fwhm[0] == 6.99561
    assert cube.scale[0] == 1e-4 and cube.nodata == -32768 and cube.good.all()
    assert cube.names[0] == "band 1 (418.24 Nanometers)" and cube.header == {
        "start_time": "2022-07-24T10:45:26"
    }
    path = write_cube(tmp_path / "out.tif", cube)
    with rasterio.open(source) as before, rasterio.open(path) as after:
        kept = [band for band in range(1, 225) if before.tags(band)["bbl"] == "1"]
        assert (after.crs, after.transform, after.nodata) == (before.crs, before.transform, before.nodata)
        assert after.dtypes[0] == before.dtypes[0] and after.tags() == before.tags()
        assert after.descriptions == tuple(before.descriptions[band - 1] for band in kept)
        assert set(after.scales) == {1e-4} and set(after.offsets) == {0}
        for place, band in enumerate(kept):
            assert _numbers(after.tags(place + 1)) == _numbers(before.tags(band))
        stored = before.read(kept)
        np.testing.assert_allclose(after.read(), stored, rtol=1e-5, atol=1e-4)


def _numbers(tags):
    return {key: value if key == "wavelength_units" else float(value) for key, value in tags.items()}


def test_integers_come_back_exactly(tmp_path):
    cube = read_cube(write(tmp_path / "a.tif", COUNTS, nodata=0))
    again = read_cube(write_cube(tmp_path / "b.tif", cube))
    np.testing.assert_array_equal(again.stored(), COUNTS)
    assert again.dtype == "uint16" and again.nodata == 0 and again.transform is None


@pytest.mark.parametrize(("side", "overviews"), [(300, []), (520, [2]), (1030, [2, 4])])
def test_what_is_written_is_cloud_optimised(tmp_path, side, overviews):
    """Tiles, and before them all directories: that of the whole first, then the coarser ones."""
    counts = np.resize(COUNTS, (2, side, 270))
    about = {
        "nodata": 0.0,
        "dtype": "uint16",
        "maximum": 16383.0,
        "names": ("a", "b"),
        "header": {"sensor": "x"},
    }
    cube = Cube(counts / np.float32(16383), transform=TRANSFORMS["rotated"], crs="EPSG:32611", **about)
    path = write_cube(tmp_path / "a.tif", cube)
    with rasterio.open(path) as file:
        assert file.overviews(1) == file.overviews(2) == overviews and file.profile["tiled"]
        assert file.block_shapes == [(256, 256)] * 2 and file.compression.name == "deflate"
    with tifffile.TiffFile(path) as file:
        pages = [page for page in file.pages]
        sizes = [page.imagelength for page in pages]
        starts = [page.offset for page in pages]
        assert sizes == sorted(sizes, reverse=True) and starts == sorted(starts) and starts[0] < 500
        assert max(starts) < min(min(page.dataoffsets) for page in pages)
    again = read_cube(path)
    np.testing.assert_array_equal(again.stored(), cube.stored())
    assert again.names == ("a", "b") and again.nodata == 0 and again.transform == cube.transform
    assert again.header == {"sensor": "x"}


def test_a_broken_coordinate_system_is_an_input_error(tmp_path):
    cube = Cube(np.zeros((2, 3, 4), np.float32), crs="nowhere", transform=TRANSFORMS["rotated"])
    with pytest.raises(InputError, match=r"b\.tif: cannot be written as a GeoTIFF"):
        write_cube(tmp_path / "b.tif", cube)
    assert not (tmp_path / "b.tif").exists()


def test_a_copy_that_ends_early_is_a_full_disk(tmp_path, monkeypatch):
    """GDAL does not report it."""
    from rasterio import shutil

    whole, path = shutil.copy, tmp_path / "cube.tif"

    def cut_short(source, target, **how):
        whole(source, target, **how)
        os.truncate(target, target.stat().st_size * 3 // 4)

    path.write_text("before")
    monkeypatch.setattr(shutil, "copy", cut_short)
    noise = np.random.default_rng(0).random((2, WHOLE + 8, 300), np.float32)
    with pytest.raises(WriteError, match=r"cube\.tif: .* the disk is full"):
        write_geotiff(path, Cube(noise))
    assert path.read_text() == "before"

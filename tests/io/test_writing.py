import os

import numpy as np
import pytest
from conftest import REAL_DATA, real
from rasterio.crs import CRS

from ifmsr.errors import InputError
from ifmsr.io import Cube, check_target, read_cube, write_cube

COUNTS = np.random.default_rng(0).integers(1, 10000, (3, 6, 8)).astype(np.int16)
COUNTS[:, 1, 2] = -9999
EVERYTHING = Cube(
    np.where(COUNTS < 0, np.nan, COUNTS * 1e-4).astype(np.float32),
    wavelengths=np.array([450.0, 550.5, 650.0]),
    fwhm=np.array([5.0, 6.25, 7.0]),
    good=np.array([True, True, True]),
    names=("blue", "green", "red"),
    crs="EPSG:32611",
    transform=(1.0, 0.0, 257957.6, 0.0, -1.0, 4110508.8),
    scale=np.full(3, 1e-4),
    nodata=-9999.0,
    dtype="int16",
    header={"sensor type": "AVIRIS", "flight": ["a", "b", "c"]},
)
FILES = ("npz", "nc", "mat", "tif", "tiff", "hdr", "img", "dat", "bsq", "bil", "bip")
SUFFIXES = (*FILES, "zarr")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_keeps_everything(tmp_path, suffix):
    again = read_cube(write_cube(tmp_path / f"a.{suffix}", EVERYTHING))
    np.testing.assert_array_equal(again.stored(), COUNTS)
    np.testing.assert_allclose(again.values, EVERYTHING.values, rtol=1e-6)
    for name in ("wavelengths", "fwhm", "good", "scale", "offset"):
        np.testing.assert_array_equal(getattr(again, name), getattr(EVERYTHING, name), err_msg=name)
    for name in ("names", "transform", "nodata", "dtype", "maximum"):
        assert getattr(again, name) == getattr(EVERYTHING, name), name
    assert "32611" in again.crs
    assert {key: again.header[key] for key in EVERYTHING.header} == EVERYTHING.header


SOURCES = {
    "EnMAP": "enmap/enmap_potsdam_tile_160_96.tif",
    "NEON, HDF5": "neon/ex.h5",
    "NEON, GeoTIFF": "neon/SJER_052_hyperspectral.tif",
    "WorldView-2": "worldview2/imgWV2.mat",
    "AVIRIS": "sensors/abu-airport-3.mat",
}


@pytest.mark.parametrize("suffix", ["npz", "nc", "mat", "tif", "hdr", "bip", "zarr"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_real_cube_keeps_everything(tmp_path, source, suffix):
    cube = read_cube(real(REAL_DATA / SOURCES[source]), layout="HWC")
    again = read_cube(write_cube(tmp_path / f"a.{suffix}", cube))
    np.testing.assert_allclose(again.stored(), cube.stored(), rtol=1e-5, atol=1e-3)
    for name in ("wavelengths", "fwhm", "good", "scale", "offset"):
        before, after = getattr(cube, name), getattr(again, name)
        assert (before is None) == (after is None), name
        if before is not None:
            np.testing.assert_allclose(after, before, rtol=1e-9, err_msg=name)
    for name in ("names", "nodata", "dtype", "maximum"):
        assert getattr(again, name) == getattr(cube, name), name
    if cube.transform is None:
        assert again.transform is None
    else:
        np.testing.assert_allclose(again.transform, cube.transform, rtol=1e-15)
    if cube.crs is not None:
        assert CRS.from_user_input(again.crs) == CRS.from_user_input(cube.crs)
    for key, value in cube.header.items():
        found = again.header[key]  # GeoTIFF and ENVI keep numbers as texts
        assert value == (float(found) if isinstance(value, float) else found), key


def test_npy_keeps_the_numbers(tmp_path):
    write_cube(tmp_path / "a.npy", EVERYTHING)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), COUNTS)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_float_reflectance_can_be_written_instead(tmp_path, suffix):
    again = read_cube(write_cube(tmp_path / f"a.{suffix}", EVERYTHING.floating()))
    np.testing.assert_array_equal(again.values, EVERYTHING.values)
    assert again.dtype == "float32" and (again.scale == 1).all()


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.jpg"])
def test_an_unknown_suffix_raises(tmp_path, name):
    with pytest.raises(InputError, match=r"unknown file type .*Choose one of \.npy"):
        write_cube(tmp_path / name, EVERYTHING)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", ["npy", *FILES])
def test_only_a_regular_file_is_replaced(tmp_path, suffix):
    places = {name: tmp_path / f"{name}.{suffix}" for name in ("folder", "pipe", "link", "dangling")}
    places["folder"].mkdir()
    os.mkfifo(places["pipe"])
    (tmp_path / "target").write_text("kept")
    places["link"].symlink_to(tmp_path / "target")
    places["dangling"].symlink_to(tmp_path / "nowhere")
    before = sorted(os.listdir(tmp_path))
    for place in places.values():
        with pytest.raises(InputError, match="it is no regular file"):
            check_target(place)
        with pytest.raises(InputError, match="it is no regular file"):
            write_cube(place, EVERYTHING)
    assert sorted(os.listdir(tmp_path)) == before and (tmp_path / "target").read_text() == "kept"


def test_the_header_beside_the_data_is_looked_at_too(tmp_path):
    (tmp_path / "a.hdr").mkdir()
    with pytest.raises(InputError, match=r"a\.hdr: it is no regular file"):
        check_target(tmp_path / "a.img")


@pytest.mark.parametrize("suffix", ["npy", "npz", "mat", "tif", "img"])
def test_a_full_disk_leaves_the_old_file(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="the disk is full"):
        write_cube(path, EVERYTHING)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == [path.name]

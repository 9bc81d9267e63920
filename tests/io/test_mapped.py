import errno
import os

import numpy as np
import pytest
import rasterio
from conftest import REAL_DATA, real

from ifmsr.errors import InputError
from ifmsr.files import WriteError
from ifmsr.io import Cube, read_cube, read_guide, write_cube
from ifmsr.io.blockwise import TARGETS, block_target
from ifmsr.io.mapped import Values

COUNTS = np.random.default_rng(0).integers(1, 10000, (5, 40, 60)).astype(np.int16)
COUNTS[:, 1, 2] = -9999
COUNTS[3] = -9999  # a band without a valid value
EVERYTHING = Cube(
    np.where(COUNTS < 0, np.nan, COUNTS * 1e-4).astype(np.float32),
    wavelengths=np.array([450.0, 550.5, 650.0, 700.0, 750.0]),
    names=("a", "b", "c", "d", "e"),
    crs="EPSG:32611",
    transform=(1.0, 0.0, 257957.6, 0.0, -1.0, 4110508.8),
    scale=np.full(5, 1e-4),
    nodata=-9999.0,
    dtype="int16",
    header={"sensor type": "AVIRIS"},
)
PLACE = slice(None), slice(7, 31), slice(0, 55)


def assert_alike(mapped, whole):
    assert isinstance(mapped.values, Values) and mapped.values.shape == whole.values.shape
    np.testing.assert_array_equal(mapped.values[:, :, :], whole.values)
    np.testing.assert_array_equal(mapped.values[PLACE], whole.values[PLACE])
    for name in ("wavelengths", "fwhm", "good", "scale", "offset"):
        np.testing.assert_array_equal(getattr(mapped, name), getattr(whole, name), err_msg=name)
    for name in ("names", "crs", "transform", "nodata", "dtype", "maximum", "header"):
        assert getattr(mapped, name) == getattr(whole, name), name
    assert whole.taken.replace("; 1 pixels without valid values", "") == mapped.taken


@pytest.mark.parametrize("suffix", ["npy", "tif", "hdr", "bil", "bip"])
def test_a_mapped_file_holds_what_the_file_holds(tmp_path, suffix):
    path = write_cube(tmp_path / f"a.{suffix}", EVERYTHING)
    assert_alike(read_cube(path, mapped=True), read_cube(path))
    assert read_cube(path, mapped=True).values.missing


def test_options_mean_the_same(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.moveaxis(COUNTS[:3], 0, -1))
    for options in ({"layout": "HWC", "nodata": -9999.0}, {"beside": (80, 120), "maximum": 20000.0}):
        assert_alike(read_cube(path, **options, mapped=True), read_cube(path, **options))
    with pytest.raises(InputError, match="more than the maximum"):
        read_cube(path, maximum=100.0, mapped=True)


def test_real_files(tmp_path):
    for name in ("enmap/enmap_potsdam_tile_160_96.tif",):
        path = real(REAL_DATA / name)
        assert_alike(read_cube(path, mapped=True), read_cube(path))


def test_a_mapped_guide_has_its_bands_in_the_order_asked_for(tmp_path):
    path = write_cube(tmp_path / "a.tif", EVERYTHING)
    mapped, whole = (read_guide(path, rgb_bands=(5, 1, 2), mapped=mapped) for mapped in (True, False))
    assert_alike(mapped, whole)
    np.testing.assert_array_equal(mapped.wavelengths, [750, 450, 550.5])
    assert_alike(read_guide(path, mapped=True), read_guide(path))


def test_what_cannot_be_read_in_parts_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read in parts"):
        read_cube(write_cube(tmp_path / "a.npz", EVERYTHING), mapped=True)
    with rasterio.open(
        tmp_path / "alpha.tif", "w", driver="GTiff", count=4, height=8, width=9, dtype="uint8",
        photometric="RGB", alpha="YES",
    ) as file:  # fmt: skip
        file.write(np.ones((4, 8, 9), np.uint8))
    with pytest.raises(InputError, match="cannot be read in parts"):
        read_guide(tmp_path / "alpha.tif", mapped=True)


def in_parts(target, values):
    for top in range(0, values.shape[1], 16):
        for left in range(0, values.shape[2], 25):
            place = slice(None), slice(top, top + 16), slice(left, left + 25)
            target[place] = values[place]


@pytest.mark.parametrize("suffix", TARGETS)
def test_a_file_written_in_parts_is_the_file_written_at_once(tmp_path, suffix):
    shaped = Cube(**{**vars(EVERYTHING), "values": np.broadcast_to(np.float32(0), COUNTS.shape)})
    with block_target(tmp_path / f"parts{suffix}", shaped) as target:
        in_parts(target, EVERYTHING.values)
    write_cube(tmp_path / f"whole{suffix}", EVERYTHING)
    parts, whole = (
        read_cube(tmp_path / f"{name}{suffix}", layout="CHW" if suffix == ".npy" else None)
        for name in ("parts", "whole")
    )
    np.testing.assert_array_equal(parts.values, whole.values)
    assert parts.header == whole.header and parts.transform == whole.transform and parts.dtype == "int16"


@pytest.mark.parametrize("suffix", TARGETS)
def test_a_failure_half_way_leaves_what_was_there(tmp_path, suffix):
    path = write_cube(tmp_path / f"a{suffix}", EVERYTHING)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ZeroDivisionError), block_target(path, EVERYTHING) as target:
        target[:, :10, :10] = EVERYTHING.values[:, :10, :10]
        raise ZeroDivisionError
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("suffix", [".npy", ".hdr"])
def test_a_disk_without_room_is_one_sentence_before_any_work(tmp_path, monkeypatch, suffix):
    path = write_cube(tmp_path / f"a{suffix}", EVERYTHING)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(WriteError, match="the disk is full"), block_target(path, EVERYTHING):
        pytest.fail("the work has begun")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before

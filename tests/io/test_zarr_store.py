import json
import os
import pickle

import numpy as np
import pytest
import xarray
import zarr
from conftest import REAL_DATA, real

from ifmsr.errors import InputError
from ifmsr.io import Cube, check_target, read_cube, write_cube

COUNTS = np.random.default_rng(0).integers(1, 10000, (4, 6, 8)).astype(np.int16)  # (B, h, w)
CENTRES = np.array([400.0, 500.0, 600.0, 700.0])


def test_a_store_that_is_one_array_is_read(tmp_path):
    """As `Blocks.to_dask().to_zarr` leaves it."""
    zarr.save_array(str(tmp_path / "a.zarr"), COUNTS.astype(np.float32) / 10000)
    cube = read_cube(tmp_path / "a.zarr")
    np.testing.assert_array_equal(cube.values, COUNTS.astype(np.float32) / 10000)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dimensions", [("band", "y", "x"), ("y", "x", "wavelength")])
def test_what_xarray_writes_is_read(tmp_path, version, dimensions):
    """Both versions of the format, either layout, and the conventions' scale, fill value and pixel centres."""
    array = xarray.DataArray(COUNTS, dims=("band", "y", "x"))
    bands = dimensions[2] if dimensions[2] != "x" else "band"
    array = array.rename(band=bands).transpose(*dimensions)
    array.attrs = {"scale_factor": 1e-4, "_FillValue": COUNTS[0, 0, 0], "sensor": "mine"}
    coords = {"x": 1000 + 2.0 * np.arange(8), "y": 500 - 2.0 * np.arange(6), "wavelengths": (bands, CENTRES)}
    stored = xarray.Dataset({"reflectance": array}, coords=coords)
    stored.to_zarr(tmp_path / "a.zarr", zarr_format=version, consolidated=False)
    cube = read_cube(tmp_path / "a.zarr")
    np.testing.assert_array_equal(np.isnan(cube.values), COUNTS[0, 0, 0] == COUNTS)
    np.testing.assert_array_equal(cube.stored(), COUNTS)
    assert cube.wavelengths.tolist() == CENTRES.tolist() and cube.scale[0] == 1e-4
    assert cube.transform == (2.0, 0.0, 999.0, 0.0, -2.0, 501.0) and cube.header["sensor"] == "mine"


def test_xarray_and_zarr_open_what_is_written(tmp_path):
    cube = Cube(
        COUNTS / np.float32(1e4),
        wavelengths=CENTRES,
        crs="EPSG:32611",
        transform=(2.0, 0.0, 1000.0, 0.0, -2.0, 500.0),
        scale=np.full(4, 1e-4),
        dtype="int16",
        nodata=-9999.0,
    )
    path = write_cube(tmp_path / "new" / "a.zarr", cube)
    with xarray.open_dataset(path, engine="zarr") as found:
        np.testing.assert_allclose(found["cube"], cube.values, rtol=1e-6)
        assert found["wavelength"].values.tolist() == CENTRES.tolist() and found["x"].values[0] == 1001
    np.testing.assert_array_equal(zarr.open(str(path), mode="r")["cube"][...], COUNTS)
    assert os.listdir(path.parent) == ["a.zarr"]


def test_several_arrays_are_listed(tmp_path):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    for name in ("a/cube", "b/cube"):
        group.create_array(name, data=COUNTS)
    with pytest.raises(InputError, match=r"2 arrays with three axes \(found: .*a/cube \(4, 6, 8\).*key="):
        read_cube(tmp_path / "a.zarr")
    assert read_cube(tmp_path / "a.zarr", key="b/cube").values.shape == (4, 6, 8)


def test_nothing_is_replaced(tmp_path):
    path = write_cube(tmp_path / "a.zarr", Cube(np.ones((2, 3, 4), np.float32)))
    for place in (path, tmp_path / "link.zarr"):
        if not place.exists():
            place.symlink_to(tmp_path / "nowhere")
        for refuse in (
            check_target,
            lambda target: write_cube(target, Cube(np.zeros((2, 3, 4), np.float32))),
        ):
            with pytest.raises(InputError, match="it is there already, and folders are not replaced"):
                refuse(place)
    assert read_cube(path).values.min() == 1


class Trap:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (self.place,)


@pytest.mark.parametrize("step", ["filters", "compressor"])
def test_pickled_chunks_are_never_opened(tmp_path, step):
    """Version 2 of the format may name any codec of numcodecs, and one of them runs what it decodes."""
    path, trap = tmp_path / "a.zarr", tmp_path / "sprung"
    zarr.save_array(str(path), COUNTS, zarr_format=2)
    codec = {"id": "pickle", "protocol": 5}
    about = json.loads((path / ".zarray").read_text())
    about |= {"filters": None, "compressor": None, "chunks": COUNTS.shape}
    (path / ".zarray").write_text(json.dumps({**about, step: [codec] if step == "filters" else codec}))
    (path / "0.0.0").write_bytes(pickle.dumps(Trap(str(trap))))
    with pytest.raises(InputError, match=r"a\.zarr: .*pickle"):
        read_cube(path)
    assert not trap.exists()


def test_a_missing_or_damaged_store_is_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.zarr: there is no such file"):
        read_cube(tmp_path / "a.zarr")
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(InputError, match=r"a\.zarr: cannot be read as a zarr store"):
        read_cube(tmp_path / "a.zarr")
    zarr.create_array(str(tmp_path / "b.zarr"), shape=(10**5, 10**5, 10**3), chunks=(10, 10, 10), dtype="f4")
    with pytest.raises(InputError, match=r"b\.zarr: an array of shape .* GiB"):
        read_cube(tmp_path / "b.zarr")


def test_neons_cube_keeps_everything(tmp_path):
    cube = read_cube(real(REAL_DATA / "neon" / "ex.h5"))
    again = read_cube(write_cube(tmp_path / "a.zarr", cube))
    np.testing.assert_array_equal(again.stored(), cube.stored())
    np.testing.assert_array_equal(again.wavelengths, cube.wavelengths)
    assert (again.transform, again.crs, again.nodata) == (cube.transform, cube.crs, cube.nodata)
    assert cube.header.items() <= again.header.items()

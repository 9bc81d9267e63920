import h5py
import numpy as np
import pytest
import rasterio
import xarray
from conftest import REAL_DATA, real

from ifmsr.errors import InputError
from ifmsr.io import Cube, read_cube, write_cube

COUNTS = np.random.default_rng(0).integers(1, 10000, (6, 8, 4)).astype(np.int16)  # (h, w, B)


def test_neons_own_layout(tmp_path):
    cube = read_cube(real(REAL_DATA / "neon" / "ex.h5"))
    with h5py.File(REAL_DATA / "neon" / "ex.h5") as file:
        stored = file["SJER/Reflectance/Reflectance_Data"][()].transpose(2, 0, 1)
        wavelengths = file["SJER/Reflectance/Metadata/Spectral_Data/Wavelength"][()]
    np.testing.assert_array_equal(cube.stored(), stored)
    np.testing.assert_array_equal(cube.wavelengths, wavelengths)
    np.testing.assert_allclose(cube.values * cube.maximum, stored / 1e4, rtol=1e-5)
    assert cube.maximum == pytest.approx(1.4998) and cube.nodata == -9999 and cube.crs == "EPSG:32611"
    assert cube.transform == (1.0, 0.0, 257000.0, 0.0, -1.0, 4112000.0)
    again = read_cube(write_cube(tmp_path / "neon.hdr", cube))
    np.testing.assert_array_equal(again.stored(), stored)
    assert (again.transform, again.crs, again.nodata) == (cube.transform, cube.crs, cube.nodata)
    np.testing.assert_allclose(again.wavelengths, wavelengths, rtol=1e-9)


def write(path, **sets):
    with h5py.File(path, "w") as file:
        for name, array in sets.items():
            file[name.replace("__", "/")] = array
    return path


def test_the_only_cube_is_taken_and_several_are_listed(tmp_path):
    path = write(tmp_path / "a.h5", data__cube=COUNTS, wavelengths=np.array([400.0, 500.0, 600.0, 700.0]))
    cube = read_cube(path)
    np.testing.assert_array_equal(cube.stored(), COUNTS.transpose(2, 0, 1))
    assert cube.wavelengths.tolist() == [400, 500, 600, 700]
    path = write(tmp_path / "b.h5", data__cube=COUNTS, raw__cube=COUNTS[..., :3], mask=COUNTS[..., 0])
    with pytest.raises(InputError, match=r"2 arrays with three axes \(found: .*data/cube \(6, 8, 4\).*key="):
        read_cube(path)
    assert read_cube(path, key="raw/cube").values.shape == (3, 6, 8)
    with pytest.raises(InputError, match="2 arrays 'cube'"):
        read_cube(path, key="cube")


def test_netcdf_scale_offset_and_fill_value(tmp_path):
    path = write(tmp_path / "a.nc", cube=COUNTS)
    with h5py.File(path, "r+") as file:
        file["cube"].attrs.update({"scale_factor": 1e-4, "add_offset": 0.02, "_FillValue": COUNTS[0, 0, 0]})
        file["cube"].attrs["sensor"] = "mine"
    cube = read_cube(path)
    assert cube.header == {"sensor": "mine"}  # what became a field is no entry that outlives it
    missing = (COUNTS[0, 0, 0] == COUNTS).transpose(2, 0, 1)
    np.testing.assert_array_equal(np.isnan(cube.values), missing)
    physical = (COUNTS.transpose(2, 0, 1) * 1e-4 + 0.02)[~missing]
    np.testing.assert_allclose((cube.values * cube.maximum)[~missing], physical, rtol=1e-5)


def test_netcdf_is_written_as_the_conventions_have_it(tmp_path):
    """GDAL and xarray find the same numbers, band centres and places."""
    cube = Cube(
        COUNTS.transpose(2, 0, 1) / np.float32(1e4),
        wavelengths=np.array([400.0, 500.0, 600.0, 700.0]),
        crs="EPSG:32611",
        transform=(2.0, 0.0, 257000.0, 0.0, -2.0, 4112000.0),
        scale=np.full(4, 1e-4),
        dtype="int16",
        nodata=-9999.0,
    )
    path = write_cube(tmp_path / "a.nc", cube)
    with xarray.open_dataset(path, engine="h5netcdf") as found:
        np.testing.assert_allclose(found["cube"], cube.values, rtol=1e-6)
        assert found["wavelength"].values.tolist() == cube.wavelengths.tolist()
        assert found["x"].values[0] == 257001 and found["y"].values[-1] == 4112000 - 11
    with h5py.File(path, "r+") as file:  # as another program writes it
        del file["cube"].attrs["metadata"]
    again = read_cube(path)
    assert (
        again.transform == cube.transform and rasterio.crs.CRS.from_user_input(again.crs).to_epsg() == 32611
    )
    np.testing.assert_array_equal(again.stored(), cube.stored())


@pytest.mark.parametrize(("across", "down", "crs"), [("x", "y", None), ("lon", "lat", "EPSG:4326")])
def test_evenly_spaced_pixel_centres_are_a_place(tmp_path, across, down, crs):
    """The conventions' own way to say it, as float32 here; uneven ones say nothing."""
    x, y = (10 + 0.1 * np.arange(8)).astype(np.float32), (50 - 0.1 * np.arange(6)).astype(np.float32)
    cube = read_cube(write(tmp_path / "a.nc", cube=COUNTS, **{across: x, down: y}))
    np.testing.assert_allclose(cube.transform, (0.1, 0, 9.95, 0, -0.1, 50.05), atol=1e-5)
    assert cube.crs == crs
    x[3] += 0.02
    assert read_cube(write(tmp_path / "b.nc", cube=COUNTS, **{across: x, down: y})).transform is None


def test_an_unknown_reference_system_raises(tmp_path):
    cube = Cube(np.ones((2, 3, 3), np.float32), crs="nonsense", transform=(1.0, 0.0, 0.0, 0.0, -1.0, 0.0))
    with pytest.raises(InputError, match=r"a\.nc: unknown coordinate reference system"):
        write_cube(tmp_path / "a.nc", cube)
    assert not (tmp_path / "a.nc").exists()


def test_prismas_bands_lie_in_the_middle_and_empty_channels_are_left_out(tmp_path):
    counts = (
        np.random.default_rng(0).integers(1, 65536, (6, 4, 8)).astype(np.uint16)
    )  # (rows, bands, columns)
    fields = "HDFEOS__SWATHS__PRS_L2D_HCO__Data Fields__"
    path = write(tmp_path / "a.he5", **{f"{fields}VNIR_Cube": counts, f"{fields}SWIR_Cube": counts})
    with h5py.File(path, "r+") as file:
        file.attrs.update({"L2ScaleVnirMin": 0.1, "L2ScaleVnirMax": 0.9})
        file.attrs["List_Cw_Vnir"] = np.array([700.0, 600.0, 500.0, 0.0], np.float32)
        file.attrs["List_Fwhm_Vnir"] = np.array([10.0, 11.0, 12.0, 0.0], np.float32)
    with pytest.raises(InputError, match=r"SWIR_Cube .*VNIR_Cube .*key="):
        read_cube(path)
    cube = read_cube(path, key="VNIR_Cube")
    assert cube.wavelengths.tolist() == [700, 600, 500] and cube.fwhm.tolist() == [10, 11, 12]
    expected = counts.transpose(1, 0, 2)[:3] * (0.8 / 65535) + 0.1
    np.testing.assert_allclose(cube.values, expected, rtol=1e-5)


def test_data_in_other_files_raise(tmp_path):
    write(tmp_path / "other.h5", secret=COUNTS)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["cube"] = h5py.ExternalLink("other.h5", "/secret")
    with h5py.File(tmp_path / "storage.h5", "w") as file:
        size = h5py.h5f.UNLIMITED
        file.create_dataset(
            "cube", COUNTS.shape, COUNTS.dtype, external=[(str(tmp_path / "other.h5"), 0, size)]
        )
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout(COUNTS.shape, COUNTS.dtype)
        layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", COUNTS.shape)
        file.create_virtual_dataset("cube", layout)
    for name in ("link", "storage", "virtual"):
        with pytest.raises(InputError, match=rf"{name}\.h5: .*another file"):
            read_cube(tmp_path / f"{name}.h5")
        (tmp_path / f"{name}.h5").rename(tmp_path / f"{name}.mat")
        with pytest.raises(InputError, match=rf"{name}\.mat: .*another file"):
            read_cube(tmp_path / f"{name}.mat")


def test_a_group_that_holds_itself_is_walked_once(tmp_path):
    path = write(tmp_path / "a.h5", group__cube=COUNTS)
    with h5py.File(path, "r+") as file:
        file["group/again"] = file["group"]
    assert read_cube(path).values.shape == (4, 6, 8)


def test_a_declared_size_beyond_memory_raises(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("cube", (100_000, 100_000, 1000), np.float32, chunks=(10, 10, 10))
    with pytest.raises(InputError, match=r"a\.h5: an array of shape .* GiB are free"):
        read_cube(tmp_path / "a.h5")


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"not HDF5")
    with pytest.raises(InputError, match=r"a\.h5: cannot be read as an HDF5 file"):
        read_cube(tmp_path / "a.h5")
    with pytest.raises(InputError, match=r"b\.h5: there is no such file"):
        read_cube(tmp_path / "b.h5")

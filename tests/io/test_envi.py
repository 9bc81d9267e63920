import os

import numpy as np
import pytest
import rasterio

from ifmsr.errors import InputError
from ifmsr.io import Cube, read_cube, write_cube

COUNTS = np.random.default_rng(0).integers(1, 10000, (4, 6, 8)).astype(np.int16)  # (B, h, w)
HEADER = """ENVI
description = {{
  Flight line 7, {place}}}
samples = 8
lines = 6
bands = 4
header offset = 0
file type = ENVI Standard
data type = 2
interleave = {interleave}
{order}sensor type = AVIRIS
{extra}
"""
AXES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}
WAVELENGTHS = """wavelength = {0.45, 0.55, 0.65, 0.75}
wavelength units = Micrometers
fwhm = {0.005, 0.005, 0.006, 0.006}"""
UTM = "map info = {UTM, 1, 1, 257957.6, 4110508.8, 1, 1, 11, North, WGS-84, units=Meters}"


def write(
    folder,
    extra="",
    interleave="bsq",
    data="cube.img",
    place="Sierra",
    order="byte order = 0\n",
    encoding="utf-8",
):
    header = folder / "cube.hdr"
    text = HEADER.format(extra=extra, interleave=interleave, place=place, order=order)
    header.write_bytes(text.encode(encoding))
    axes = AXES.get(interleave.lower(), (0, 1, 2))
    (folder / data).write_bytes(np.ascontiguousarray(COUNTS.transpose(axes)).astype("<i2").tobytes())
    return header


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip", "BIL"])
def test_every_interleave_gives_the_same_cube(tmp_path, interleave):
    cube = read_cube(write(tmp_path, interleave=interleave))
    np.testing.assert_array_equal(cube.stored(), COUNTS)
    assert cube.dtype == "int16" and cube.maximum == 16383


@pytest.mark.parametrize(
    "data", ["cube.img", "cube.dat", "cube.bsq", "cube.bil", "cube.bip", "cube.raw", "cube", "cube.IMG"]
)
def test_header_and_data_find_each_other(tmp_path, data):
    header = write(tmp_path, data=data)
    np.testing.assert_array_equal(read_cube(header).stored(), COUNTS)
    if "." in data and data != "cube.IMG":
        np.testing.assert_array_equal(read_cube(tmp_path / data).stored(), COUNTS)


def test_a_header_named_after_the_whole_data_file_is_found(tmp_path):
    write(tmp_path).rename(tmp_path / "cube.img.hdr")
    assert read_cube(tmp_path / "cube.img").values.shape == (4, 6, 8)


def test_a_missing_half_is_named(tmp_path):
    header = write(tmp_path)
    (tmp_path / "cube.img").rename(tmp_path / "lonely.dat")
    with pytest.raises(InputError, match=r"cube\.hdr: there is no data file beside it"):
        read_cube(header)
    with pytest.raises(InputError, match=r"lonely\.dat: there is no ENVI header beside it.*lonely\.hdr"):
        read_cube(tmp_path / "lonely.dat")


def test_reflectance_scale_factor_divides(tmp_path):
    cube = read_cube(write(tmp_path, "reflectance scale factor = 10000"))
    np.testing.assert_allclose(cube.values, COUNTS / 1e4, rtol=1e-6)
    assert "scale 0.0001" in cube.taken


def test_a_scale_of_zero_raises_and_can_be_replaced(tmp_path):
    header = write(tmp_path, "reflectance scale factor = 0")
    with pytest.raises(InputError, match=r"cube\.hdr: its scale or offset is 0 or no number.*maximum="):
        read_cube(header)
    np.testing.assert_allclose(read_cube(header, maximum=10000).values, COUNTS / 1e4, rtol=1e-6)


def test_gains_and_offsets_belong_to_their_bands(tmp_path):
    extra = "data gain values = {1e-5, 2e-5, 3e-5, 4e-5}\ndata offset values = {0, 0.1, 0.2, 0.3}"
    gains, offsets = np.arange(1, 5) * 1e-5, np.arange(4) * 0.1
    physical = COUNTS * gains[:, None, None] + offsets[:, None, None]
    np.testing.assert_allclose(read_cube(write(tmp_path, extra)).values, physical, rtol=1e-6)


def test_ignore_value_bad_bands_names_and_wavelengths(tmp_path):
    extra = "\n".join(
        [
            f"data ignore value = {COUNTS[2, 3, 4]}",
            "bbl = {1, 0, 1, 1}",
            "band names = {blue, green, red, near infrared}",
            "default bands = {4, 3, 1}",
            WAVELENGTHS,
        ]
    )
    cube = read_cube(write(tmp_path, extra))
    missing = np.isnan(cube.values)
    np.testing.assert_array_equal(missing, (COUNTS[2, 3, 4] == COUNTS)[[0, 2, 3]])
    np.testing.assert_allclose(cube.wavelengths, [450, 650, 750])
    np.testing.assert_allclose(cube.fwhm, [5, 6, 6])
    assert cube.names == ("blue", "red", "near infrared")
    assert cube.header["default bands"] == ["3", "2", "1"] and cube.header["sensor type"] == "AVIRIS"
    assert "1 bands left out" in cube.taken and "450 to 750 nm" in cube.taken


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("Nanometers", [450, 550, 650, 750]), ("", [450, 550, 650, 750]), ("Index", None), ("Wavenumber", None)],
)
def test_units_of_wavelengths(tmp_path, unit, expected):
    extra = "wavelength = {450, 550, 650, 750}" + (f"\nwavelength units = {unit}" if unit else "")
    found = read_cube(write(tmp_path, extra)).wavelengths
    assert found is None if expected is None else found.tolist() == expected


@pytest.mark.parametrize("rotation", [0, 30, -12.5])
@pytest.mark.parametrize("pixel", ["1, 1", "3.5, 2"])
def test_map_info_is_read_as_gdal_reads_it(tmp_path, rotation, pixel):
    place = f"{pixel}, 257957.6, 4110508.8, 1.5, 1.5, 11, North, WGS-84"
    cube = read_cube(write(tmp_path, f"map info = {{UTM, {place}, units=Meters, rotation={rotation}}}"))
    with rasterio.open(tmp_path / "cube.img") as gdal:
        if "3.5" not in pixel or not rotation:  # GDAL turns about the corner, whatever the reference pixel
            np.testing.assert_allclose(cube.transform, tuple(gdal.transform)[:6], rtol=1e-12, atol=1e-9)
        assert cube.crs == "EPSG:32611" and gdal.crs.to_epsg() == 32611


def test_an_invalid_georeference_or_default_bands_are_omitted(tmp_path):
    extra = UTM.replace(" 11,", " 1x,") + "\ndefault bands = {red, 2, 1}\nbbl = {1, 1, 0, 1}"
    cube = read_cube(write(tmp_path, extra))
    assert cube.crs is None and cube.transform is not None and "default bands" not in cube.header
    cube = read_cube(write(tmp_path, UTM.replace("257957.6", "somewhere")))
    assert cube.transform is None and cube.crs == "EPSG:32611"


def test_a_misspelt_interleave_raises(tmp_path):
    with pytest.raises(InputError, match=r"cube\.hdr: its interleave is 'bup'. Did you mean"):
        read_cube(write(tmp_path, interleave="bup"))


def test_spectral_libraries_raise(tmp_path):
    header = write(tmp_path)
    header.write_text(header.read_text().replace("ENVI Standard", "ENVI Spectral Library"))
    with pytest.raises(InputError, match="it is a spectral library"):
        read_cube(header)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-8-sig"])
def test_headers_in_any_encoding_and_without_byte_order(tmp_path, encoding):
    cube = read_cube(write(tmp_path, place="Zürich", order="", encoding=encoding))
    assert cube.header["description"] == "Flight line 7, Zürich"
    np.testing.assert_array_equal(cube.stored(), COUNTS)


def test_big_endian_numbers_and_a_header_offset(tmp_path):
    header = write(tmp_path, order="byte order = 1\n")
    (tmp_path / "cube.img").write_bytes(bytes(100) + COUNTS.astype(">i2").tobytes())
    header.write_text(header.read_text().replace("header offset = 0", "header offset = 100"))
    np.testing.assert_array_equal(read_cube(header).stored(), COUNTS)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("ENVI\n", "INVE\n", "cannot be read as an ENVI header"),
        ("lines = 6\n", "", "its header has no lines"),
        ("lines = 6\n", "lines = six\n", "its lines is 'six'"),
        ("data type = 2", "data type = 99", "its data type is '99'"),
        ("lines = 6\n", "lines = 60\n", "shorter than the header says"),
        ("lines = 6\n", "lines = 6\nbbl = {1, 1}\n", "2 values of bbl for 4 bands"),
        ("lines = 6\n", "lines = 6\nwavelength = {a, b, c, d}\n", "its wavelength is"),
    ],
)
def test_headers_that_cannot_be_right_say_why(tmp_path, before, after, problem):
    header = write(tmp_path)
    header.write_text(header.read_text().replace(before, after, 1))
    with pytest.raises(InputError, match=rf"cube\.hdr: .*{problem}"):
        read_cube(header)


@pytest.mark.parametrize("suffix", ["hdr", "img", "bil", "bip"])
def test_what_is_written_is_read_again_with_every_entry(tmp_path, suffix):
    extra = "\n".join(
        [
            "reflectance scale factor = 10000",
            "data ignore value = -9999",
            "bbl = {1, 1, 1, 1}",
            "band names = {blue, green, red, near infrared}",
            "default bands = {4, 3, 1}",
            "acquisition time = 2022-07-24T10:45:26Z",
            WAVELENGTHS,
            UTM,
        ]
    )
    cube = read_cube(write(tmp_path, extra, interleave="bil", place="Zürich"))
    again = read_cube(write_cube(tmp_path / "out" / f"cube.{suffix}", cube))
    np.testing.assert_array_equal(again.stored(), COUNTS)
    for name in ("wavelengths", "fwhm", "good", "scale", "offset"):
        np.testing.assert_allclose(getattr(again, name), getattr(cube, name), rtol=1e-12, err_msg=name)
    for name in ("names", "crs", "transform", "nodata", "dtype", "maximum"):
        assert getattr(again, name) == getattr(cube, name), name
    interleave = {"bip": "bip"}.get(suffix, "bil")
    assert again.header == {**cube.header, "interleave": interleave}
    assert len(os.listdir(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    "transform", [(0.1, 0.0, 257957.6, 0.0, -0.1, 4110508.8), (0.08, 0.06, 257957.6, 0.06, -0.08, 4110508.8)]
)
def test_gdal_reads_the_georeference_of_written_files(tmp_path, transform):
    cube = Cube(np.full((2, 3, 4), 0.5, np.float32), crs="EPSG:32611", transform=transform)
    write_cube(tmp_path / "cube.img", cube)
    with rasterio.open(tmp_path / "cube.img") as gdal:
        np.testing.assert_allclose(tuple(gdal.transform)[:6], transform, rtol=0, atol=1e-7)
        assert gdal.crs.to_epsg() == 32611


def test_wkt_survives_the_header(tmp_path):
    wkt = rasterio.crs.CRS.from_epsg(2056).to_wkt()
    cube = Cube(np.zeros((2, 3, 4), np.float32), crs=wkt, transform=(2.0, 0.0, 2.6e6, 0.0, -2.0, 1.2e6))
    again = read_cube(write_cube(tmp_path / "cube.hdr", cube))
    assert rasterio.crs.CRS.from_wkt(again.crs) == rasterio.crs.CRS.from_epsg(2056)


def test_a_grid_or_a_type_that_envi_cannot_hold_raises(tmp_path):
    mirrored = Cube(np.zeros((2, 3, 4), np.float32), transform=(-1.0, 0.0, 5.0, 0.0, -1.0, 5.0))
    with pytest.raises(InputError, match="no mirrored or sheared grid"):
        write_cube(tmp_path / "cube.hdr", mirrored)
    with pytest.raises(InputError, match="ENVI has no type int8"):
        write_cube(tmp_path / "cube.hdr", Cube(np.zeros((2, 3, 4), np.float32), dtype="int8"))
    assert os.listdir(tmp_path) == []

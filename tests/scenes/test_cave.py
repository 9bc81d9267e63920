import numpy as np
import pytest
from PIL import Image

from ifmsr.errors import InputError
from ifmsr.scenes import open_dataset
from ifmsr.scenes.cave import Cave, published_scenes


def write_scene(folder, scene="balloons", side=512):
    """31 bands of the published size; band b is b * 2000 everywhere but in one corner pixel."""
    folder.mkdir(parents=True)
    for band in range(1, 32):
        pixels = np.full((side, side), band * 2000, np.uint16)
        pixels[0, 0] = 65535
        Image.fromarray(pixels).save(folder / f"{scene}_ms_{band:02d}.png", compress_level=1)
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_scene(tmp_path / "complete_ms_data" / "balloons_ms" / "balloons_ms")


def test_values_wavelengths_and_response(folder, tmp_path):
    scene = Cave(tmp_path).load("balloons")
    assert scene.cube.shape == (31, 512, 512) and scene.cube.dtype == np.float32
    assert scene.cube[0, 0, 0] == 1
    np.testing.assert_allclose(scene.cube[:, 5, 7], np.arange(1, 32) * 2000 / 65535, rtol=1e-6)
    assert scene.wavelengths[[0, -1]].tolist() == [400, 700]
    assert scene.rgb().shape == (3, 512, 512)


@pytest.mark.parametrize("layout", ["complete_ms_data/face_ms/face_ms", "face_ms/face_ms", "face_ms"])
def test_every_layout_is_found(tmp_path, layout):
    write_scene(tmp_path / layout, "face")
    data = Cave(tmp_path)
    assert data.names == ["face"]
    assert data.load("face", window=(0, 500, 4, 12)).cube.shape == (31, 4, 12)


def test_window_is_the_same_as_a_crop(folder, tmp_path):
    data = Cave(tmp_path)
    whole = data.load("balloons").cube
    np.testing.assert_array_equal(data.load("balloons", (0, 0, 3, 5)).cube, whole[:, :3, :5])
    with pytest.raises(InputError, match=r"window 8 x 8 at \(508, 0\) leaves the image 512 x 512"):
        data.load("balloons", (508, 0, 8, 8))


def test_a_photograph_is_read_as_stored_and_cropped_along(folder, tmp_path):
    assert Cave(tmp_path).load("balloons").photograph is None
    pixels = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "balloons_RGB.bmp")
    whole, part = (Cave(tmp_path).load("balloons", window) for window in (None, (8, 16, 12, 20)))
    np.testing.assert_array_equal(whole.photograph, pixels.transpose(2, 0, 1))
    np.testing.assert_array_equal(part.photograph, whole.photograph[:, 8:20, 16:36])
    np.testing.assert_array_equal(whole.crop(8, 16, 12, 20).photograph, part.photograph)
    Image.fromarray(pixels[:256]).save(folder / "balloons_RGB.bmp")
    with pytest.raises(InputError, match=r"balloons_RGB\.bmp: found uint8 of shape \(256, 512, 3\)"):
        Cave(tmp_path).load("balloons")


@pytest.mark.parametrize("root", ["nowhere", "."])
def test_wrong_root_says_what_to_do(tmp_path, root):
    with pytest.raises(InputError, match=r"ifmsr data fetch cave.*complete_ms_data\.zip"):
        Cave(tmp_path / root)


def test_missing_scene_and_unknown_scene_differ(folder, tmp_path):
    with pytest.raises(InputError, match="scene face is not here"):
        Cave(tmp_path).load("face")
    with pytest.raises(InputError, match="no such scene"):
        Cave(tmp_path).load("mona_lisa")


def test_missing_band_is_named(folder, tmp_path):
    (folder / "balloons_ms_31.png").unlink()
    with pytest.raises(InputError, match=r"1 of 31 bands are missing: balloons_ms_31\.png"):
        Cave(tmp_path).load("balloons")


@pytest.mark.parametrize("keep", [0, 20, 200])
def test_truncated_png_is_named(folder, tmp_path, keep):
    file = folder / "balloons_ms_07.png"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"balloons_ms_07\.png.*cannot be read as an image"):
        Cave(tmp_path).load("balloons")


def test_wrong_size_is_named(folder, tmp_path):
    Image.fromarray(np.zeros((256, 512), np.uint16)).save(folder / "balloons_ms_03.png")
    with pytest.raises(InputError, match=r"balloons_ms_03\.png: its size is \(256, 512\)"):
        Cave(tmp_path).load("balloons")


def test_only_watercolors_may_be_eight_bit(folder, tmp_path):
    Image.fromarray(np.zeros((512, 512, 4), np.uint8)).save(folder / "balloons_ms_03.png")
    with pytest.raises(InputError, match=r"balloons_ms_03\.png: found uint8.*not 16-bit grey"):
        Cave(tmp_path).load("balloons")


def test_watercolors_must_be_grey(tmp_path):
    folder = write_scene(tmp_path / "watercolors_ms", "watercolors")
    for band in range(1, 32):
        pixels = np.full((512, 512, 4), 8 * band, np.uint8)
        pixels[..., 3] = 255
        Image.fromarray(pixels).save(folder / f"watercolors_ms_{band:02d}.png")
    scene = Cave(tmp_path).load("watercolors")
    np.testing.assert_allclose(scene.cube[:, 9, 9], 8 * np.arange(1, 32) / 255, rtol=1e-6)
    pixels[3, 3, 1] = 0
    Image.fromarray(pixels).save(folder / "watercolors_ms_31.png")
    with pytest.raises(InputError, match=r"watercolors_ms_31\.png"):
        Cave(tmp_path).load("watercolors")


def test_real_scenes(cave_root):
    data = open_dataset("cave", cave_root)
    assert set(data.names) <= set(published_scenes()) and len(published_scenes()) == 32
    assert {"balloons", "face", "watercolors"} <= set(data.names)
    scene = data.load("balloons")
    assert scene.cube.shape == (31, 512, 512)
    assert 0.5 < scene.cube.max() <= 1


@pytest.mark.parametrize("name", ["watercolors", "balloons"])
def test_real_bands_have_the_same_scale_as_the_published_colour_picture(cave_root, name):
    scene = open_dataset("cave", cave_root).load(name)
    folder = cave_root / "complete_ms_data" / f"{name}_ms" / f"{name}_ms"
    picture = np.asarray(Image.open(folder / f"{name}_RGB.bmp").convert("RGB")) / 255
    ours, theirs = scene.rgb().mean(0).ravel(), picture.mean(-1).ravel()
    assert np.corrcoef(ours, theirs)[0, 1] > 0.85
    assert scene.cube.mean() > 0.02  # an 8-bit scene divided by 65535 would lie below 1/256

import numpy as np
import pytest
import tifffile
from scipy.io import loadmat, savemat

from ifmsr.errors import InputError
from ifmsr.scenes import open_dataset
from ifmsr.scenes.worldview2 import WorldView2, real_observation

RANDOM = np.random.default_rng(0)
MS = RANDOM.integers(1, 2048, (215, 80, 8)).astype(np.uint16)
RGB = RANDOM.integers(0, 256, (860, 320, 3)).astype(np.uint8)


def test_real_values_and_bands(worldview2_file):
    data = open_dataset("worldview2", worldview2_file.parent)
    scene = data.load("imgWV2")
    stored = loadmat(worldview2_file)
    np.testing.assert_allclose(scene.cube, stored["I_MS"].transpose(2, 0, 1) / 2047, rtol=1e-6)
    assert scene.rgb_bands == (4, 2, 1)  # the file says 5, 3, 2, counted from 1
    assert scene.cube.max() == 1 and len(scene.wavelengths) == 8


def test_real_parts_share_no_pixel_and_make_up_the_image(worldview2_file):
    data = open_dataset("worldview2", worldview2_file.parent)
    split = data.split("imgWV2")
    assert split == data.split("spatial")
    parts = [data.load(name).cube for name in (*split.train, *split.validation, *split.test)]
    assert all(side % 8 == 0 for part in parts for side in part.shape[1:])
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), data.load("imgWV2").cube)


def test_real_window(worldview2_file):
    data = open_dataset("worldview2", worldview2_file.parent)
    window = data.load("imgWV2-test", window=(8, 16, 24, 32)).cube
    np.testing.assert_array_equal(window, data.load("imgWV2-test").cube[:, 8:32, 16:48])


def test_real_observation_has_the_detail_of_the_pan_image_and_the_spectrum_of_the_cube(worldview2_file):
    observation = real_observation(worldview2_file)
    assert observation.lr.shape == (8, 320, 320) and observation.rgb.shape == (3, 1280, 1280)
    assert observation.srf is None
    pan = loadmat(worldview2_file)["I_PAN"] / 2047
    inside = (observation.rgb < 1).all(axis=0)  # clipping breaks the ratio
    np.testing.assert_allclose(observation.rgb.mean(axis=0)[inside], pan[inside], atol=1e-3)
    coarse = observation.rgb.reshape(3, 320, 4, 320, 4).mean(axis=(2, 4))
    low = observation.lr[[4, 2, 1]]
    for ours, theirs in zip(coarse / coarse.sum(0), low / low.sum(0), strict=True):
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9


def test_real_observation_checks_the_scale(worldview2_file):
    with pytest.raises(
        InputError, match=r"imgWV2\.mat: its fine image is \(1280, 1280\), not \(2560, 2560\)"
    ):
        real_observation(worldview2_file, scale=8)


@pytest.mark.parametrize("layout", ["mat", "tif", "npy"])
def test_roman_colosseum(tmp_path, layout):
    if layout == "mat":
        path = tmp_path / "roman-colosseum.mat"
        savemat(path, {"MS": MS, "RGB": RGB})
    else:
        path = tmp_path / f"roman-colosseum_ms.{layout}"
        write = tifffile.imwrite if layout == "tif" else np.save
        write(path, MS)
        write(tmp_path / f"roman-colosseum_rgb.{layout}", RGB)
    data = WorldView2(tmp_path)
    assert data.views == ("roman-colosseum",)
    train, validation, test = (
        data.load(f"roman-colosseum-{part}").cube for part in ("train", "validation", "test")
    )
    cube = MS.transpose(2, 0, 1).astype(np.float32) / 2047
    np.testing.assert_allclose(np.concatenate([train, validation], axis=2), cube[:, :209], rtol=1e-6)
    np.testing.assert_allclose(test, cube[:, 209:], rtol=1e-6)
    observation = real_observation(path)
    np.testing.assert_allclose(observation.rgb, RGB.transpose(2, 0, 1) / 255, rtol=1e-5)


def test_missing_rgb_image_is_named(tmp_path):
    np.save(tmp_path / "roman-colosseum_ms.npy", MS)
    with pytest.raises(InputError, match=r"roman-colosseum_ms\.npy: no RGB image.*roman-colosseum_rgb\.tif"):
        WorldView2(tmp_path).load("roman-colosseum")


def test_wrong_files_are_named(tmp_path, worldview2_file):
    with pytest.raises(InputError, match=r"imgWV2\.mat"):
        WorldView2(tmp_path)
    path = tmp_path / "imgWV2.mat"
    path.write_bytes(worldview2_file.read_bytes()[:100_000])
    with pytest.raises(InputError, match=r"imgWV2\.mat: .*(cannot be read|cut off)"):
        WorldView2(tmp_path).load("imgWV2")
    savemat(path, {"I_MS": MS[..., :7], "I_PAN": MS[..., 0], "RGB_indexes": [[5, 3, 2]]})
    with pytest.raises(InputError, match=r"shape \(215, 80, 7\)"):
        WorldView2(tmp_path).load("imgWV2")
    savemat(path, {"I_MS": MS, "I_PAN": MS[..., 0]})
    with pytest.raises(InputError, match="no numeric variable 'RGB_indexes'"):
        WorldView2(tmp_path).load("imgWV2")
    savemat(path, {"I_MS": MS * 2, "I_PAN": MS[..., 0], "RGB_indexes": [[5, 3, 2]]})
    with pytest.raises(InputError, match=r"imgWV2\.mat: values from"):
        WorldView2(tmp_path).load("imgWV2")


@pytest.mark.parametrize("name", ["imgWV2-tests", "imgWV3", "roman-colosseum-train", "imgWV2-"])
def test_unknown_scenes_and_splits(worldview2_file, name):
    data = WorldView2(worldview2_file.parent)
    with pytest.raises(InputError, match="imgWV2-train"):
        data.load(name)
    with pytest.raises(InputError, match="spatial, imgWV2"):
        data.split(name)

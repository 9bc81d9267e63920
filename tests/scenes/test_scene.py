import numpy as np
import pytest
import torch

from ifmsr.errors import InputError
from ifmsr.scenes import Observation, Scene

LR = np.random.default_rng(0).random((4, 5, 6), dtype=np.float32)
RGB = np.random.default_rng(1).random((3, 20, 24), dtype=np.float32)
SRF = np.full((3, 4), 0.25, np.float32)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array[..., ::-1].copy()[..., ::-1],
        lambda array: array[::-1, ::-1].copy()[::-1, ::-1],
        lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
        np.asfortranarray,
        read_only,
    ],
    ids=["turned", "turned twice", "every other", "by columns", "read-only"],
)
@pytest.mark.filterwarnings("error")
def test_arrays_of_every_memory_layout_become_tensors(change):
    observation = Observation(change(LR), change(RGB), 4, change(SRF))
    for name, expected in (("lr", LR), ("rgb", RGB), ("srf", SRF)):
        np.testing.assert_array_equal(torch.from_numpy(getattr(observation, name)), expected)


def test_arrays_that_are_usable_as_they_are_are_not_copied():
    observation = Observation(LR, RGB, 4, SRF)
    assert observation.lr is LR and observation.rgb is RGB and observation.srf is SRF


@pytest.mark.parametrize("scale", [4, 4.0, np.int64(4), np.float32(4), torch.tensor(4)])
def test_a_whole_number_is_a_scale_whatever_its_type(scale):
    observation = Observation(LR, RGB, scale)
    assert observation.scale == 4 and type(observation.scale) is int


@pytest.mark.parametrize("scale", [None, "4", True, 0, -4, 4.5, np.nan, np.inf, [4], 10**30])
def test_anything_else_is_none(scale):
    with pytest.raises(InputError, match=r"scale"):
        Observation(LR, RGB, scale)


@pytest.mark.parametrize(
    "srf",
    [[[1, 0, 0, 0]] * 3, SRF[:, :3], SRF[0], np.ones((3, 4), int), SRF * np.nan, SRF * np.inf, 3, "d700"],
)
def test_a_response_that_is_none_is_named(srf):
    with pytest.raises(InputError, match="srf: "):
        Observation(LR, RGB, 4, srf)
    with pytest.raises(InputError, match="scene a: "):
        Scene("a", LR, srf=srf)


def test_a_response_in_double_precision_is_one():
    assert Observation(LR, RGB, 4, SRF.astype(float)).srf.dtype == np.float32


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("name", [None, 3, b"a", LR]),
        ("cube", [None, "a", LR.tolist(), LR[0], LR[:0], LR.astype(float), LR + 1, LR * np.nan]),
        (
            "wavelengths",
            [3, "a", [1, 2, 3], [1, 2, 3, np.nan], [[1.0], [2, 3]], ["a", "b", "c", "d"], object()],
        ),
        ("rgb_bands", [3, "abc", (0, 1), (0, 1, 4), (0, 1, -1), (0, 1, 1.5), (0, 1, None), LR]),
        ("photograph", [3, "abc", LR, LR[:3], np.uint8(LR[:3])[:, 1:], np.uint8(LR)]),
    ],
)
def test_a_scene_that_is_none_is_named(field, values):
    for value in values:
        with pytest.raises(InputError, match=f"{field}|scene a"):
            Scene(**{"name": "a", "cube": LR, field: value})


def test_band_centres_and_bands_may_be_lists():
    scene = Scene("a", LR, wavelengths=[400, 500, 600, 700], rgb_bands=[2.0, np.int64(1), 0])
    assert scene.wavelengths.dtype == np.float64 and scene.rgb_bands == (2, 1, 0)
    np.testing.assert_array_equal(scene.rgb(), LR[[2, 1, 0]])


def test_a_stored_observation_that_is_none_is_named(tmp_path):
    for content in (b"", b"junk"):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.npz: cannot be read as a stored observation"):
            Observation.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", lr=LR, rgb=RGB)
    np.savez(tmp_path / "c.npz", lr=LR, rgb=RGB, scale=np.nan)
    np.savez(tmp_path / "d.npz", lr=LR, rgb=RGB, scale=3)
    for name in "bcd":
        with pytest.raises(InputError, match=rf"{name}\.npz: "):
            Observation.load(tmp_path / f"{name}.npz")
    for missing in (tmp_path / "nowhere.npz", tmp_path, None, 3):
        with pytest.raises(InputError):
            Observation.load(missing)

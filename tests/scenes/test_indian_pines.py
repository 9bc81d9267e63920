import numpy as np
import pytest
from tensorly.datasets import load_indian_pines

from ifmsr.errors import InputError
from ifmsr.scenes import DATASETS, open_dataset
from ifmsr.scenes.indian_pines import IndianPines, restore_carriage_returns


def test_parts_make_up_the_real_cube():
    data = open_dataset("indian-pines")
    split = data.split("spatial")
    parts = [data.load(name).cube for name in (*split.train, *split.validation, *split.test)]
    assert [part.shape for part in parts] == [(200, 144, 72), (200, 144, 24), (200, 144, 48)]
    whole = data.load("full").cube
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), whole)
    counts, stored = whole * 9604, np.asarray(load_indian_pines()["tensor"])[:144, :144].transpose(2, 0, 1)
    restored = np.abs(counts - stored) > 1
    np.testing.assert_allclose(counts[restored], stored[restored] + 768, rtol=1e-6)
    assert (stored[restored] // 256 == 10).all() and 0.02 < restored.mean() < 0.04


def test_bytes_lost_in_a_text_conversion_are_restored():
    image = restore_carriage_returns(load_indian_pines()["tensor"])
    damaged = np.where(image // 256 == 14, image - 768, image)  # the same, done to another byte
    doubtful = damaged // 256 == 11
    restored = restore_carriage_returns(damaged, before=14, after=11)
    assert (restored == image)[doubtful].mean() > 0.995
    np.testing.assert_array_equal(restored[~doubtful], image[~doubtful])


def test_the_caveat_says_how_much_is_restored():
    stored = load_indian_pines()["tensor"]
    changed = restore_carriage_returns(stored) != stored
    assert IndianPines.caveat.startswith(f"{100 * changed.mean():.0f} % of the values")
    assert changed.mean(axis=(0, 1)).max() == pytest.approx(0.5, abs=0.02)  # "up to half of a band"
    assert not any(data.caveat for name, data in DATASETS.items() if name != "indian-pines")


def test_a_sound_image_stays_as_it_is():
    image = np.array([[[13 * 256 + 5, 10 * 256 + 7, 300]]])
    np.testing.assert_array_equal(restore_carriage_returns(image), image)


def test_rgb_image_and_window():
    data = open_dataset("indian-pines")
    scene = data.load("test", window=(8, 0, 16, 48))
    np.testing.assert_array_equal(scene.cube, data.load("test").cube[:, 8:24])
    np.testing.assert_array_equal(scene.rgb(), scene.cube[[29, 19, 9]])
    assert scene.srf is None and scene.wavelengths is None


def test_loading_twice_gives_independent_cubes():
    data = open_dataset("indian-pines")
    first = data.load("train").cube
    first[:] = 0
    assert data.load("train").cube.min() > 0


def test_unknown_names():
    data = open_dataset("indian-pines")
    with pytest.raises(InputError, match="train, validation, test, full"):
        data.load("corn")
    with pytest.raises(InputError, match="Choose spatial"):
        data.split("seed-0")
    with pytest.raises(InputError, match="leaves the image 144 x 48"):
        data.load("test", window=(0, 0, 144, 72))

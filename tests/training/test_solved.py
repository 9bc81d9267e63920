from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ifmsr import metrics
from ifmsr.degradation.protocol import degrade
from ifmsr.errors import InputError
from ifmsr.inference.api import load_method
from ifmsr.methods.bicubic import Bicubic
from ifmsr.methods.subspace_net.network import SubspaceNet, prepare
from ifmsr.scenes import Scene, nikon_d700, open_dataset
from ifmsr.training import PRESETS, Patches, TrainConfig, build_network, solved, train
from ifmsr.training.loop import samples
from ifmsr.training.solved import LEAST_BANDS, SolvedPatches, another_camera, observe

TINY = TrainConfig(
    network="subspace-net",
    options={"features": 4, "blocks": 1},
    epochs=2,
    crops_per_scene=4,
    batch=2,
    patch_side=32,
    steps="batched",
    learning_rate=1e-3,
    degradation="test",
    checkpoint_every=0,
)
WIDE = replace(TINY, degradation="train")
SCALES = {2, 3, 4, 6, 8, 12, 16}


@pytest.fixture(scope="module")
def pines():
    """Two windows of Indian Pines, 31 bands, seen by the camera."""
    cube = open_dataset("indian-pines").load("train").cube[10:41]
    windows = (cube[:, :72], cube[:, 72:, :64])
    return [Scene(f"pines-{i}", np.ascontiguousarray(w), srf=nikon_d700()) for i, w in enumerate(windows)]


@pytest.fixture
def prepared(monkeypatch):
    """Every observation that is solved, in order."""
    seen = []

    def recorder(observation):
        seen.append(observation)
        return prepare(observation)

    monkeypatch.setattr(solved, "prepare", recorder)
    return seen


def assert_equal_samples(a, b):
    assert len(a) == len(b) == 7
    for ours, theirs in zip(a, b, strict=True):
        assert ours.dtype == torch.float32 and torch.equal(ours, theirs)


def moved(image):
    """An image in all the ways that flips and quarter turns move it."""
    for flipped in (image, image[..., ::-1]):
        for turns in range(4):
            yield np.rot90(flipped, turns, axes=(-2, -1))


# --- samples -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [TINY, WIDE])
def test_samples_depend_on_seed_epoch_and_number_only(pines, config):
    first, second = SolvedPatches(pines, config), SolvedPatches(pines, config)
    assert len(first) == 8
    numbers = [0, 5, 8, 13, 3]
    there = {number: first[number] for number in numbers}
    back = {number: second[number] for number in reversed(numbers)}
    for number in numbers:
        assert_equal_samples(there[number], back[number])
    assert not torch.equal(there[5][0], there[13][0])  # the same number of another epoch
    other = SolvedPatches(pines, replace(config, seed=1))
    assert not torch.equal(other[5][0], there[5][0])


def test_every_scene_is_solved_once_an_epoch_and_gives_all_its_crops(pines, prepared):
    patches = SolvedPatches(pines, TINY)
    for epoch in (0, 1):
        taken = [patches[epoch * len(patches) + number] for number in range(len(patches))]
        assert len(prepared) == 2 * (epoch + 1)
        levels = [sample[5].item() for sample in taken]  # one a scene
        assert sorted(levels.count(level) for level in set(levels)) == [4, 4]
        assert len({sample[6].numpy().tobytes() for sample in taken}) == 8  # no crop twice
    assert not np.array_equal(prepared[0].lr, prepared[2].lr)


def test_solved_scenes_of_an_old_epoch_are_dropped(pines, prepared):
    patches = SolvedPatches(pines, TINY)
    for number in range(len(patches)):
        patches[number]
    kept = patches.solved
    assert set(kept) == {0, 1}
    patches[len(patches)]
    assert len(patches.solved) == 1 and patches.epoch == 1
    assert all(new is not old for new in patches.solved.values() for old in kept.values())
    patches[0]  # solved again, not remembered
    assert len(prepared) == 4


def test_crops_of_all_images_are_at_the_same_position(pines, prepared):
    """Smooth and detail parts of the RGB values add up to the denoised guide; the start is close to the truth."""
    patches = SolvedPatches(pines, TINY)
    srf = nikon_d700()
    for number in range(len(patches)):
        sample = [part.numpy() for part in patches[number]]
        smooth, detail, conditions, to_bands, closed, level, truth = sample
        assert smooth.shape == (27, 32, 32) and detail.shape == (15, 32, 32)
        assert closed.shape == truth.shape == (31, 32, 32)
        assert conditions.shape == (6,) and to_bands.shape == (31, 12) and level.shape == ()
        seen, colours = np.tensordot(srf, truth, axes=1).clip(0, 1), smooth[24:] + detail[12:]
        elsewhere = min(np.abs(colours - np.roll(seen, 1, axis)).mean() for axis in (1, 2))
        assert np.abs(colours - seen).mean() < 0.5 * elsewhere
        assert np.isfinite(closed).all()
        assert np.abs(closed - truth).mean() < 2 * level


def test_a_solved_scene_is_nearer_to_the_truth_than_bicubic_and_its_level_is_its_error(pines, prepared):
    patches = SolvedPatches(pines, TINY)
    for epoch in (0, 1):
        for number in (0, 1):
            fields, level, truth = (
                part if isinstance(part, tuple) else part.numpy() for part in patches.solve(epoch, number)
            )
            blurry = Bicubic()(prepared[-1]) / fields.solution.pair.lr_unit
            assert metrics.psnr(truth, fields.closed.numpy()) > metrics.psnr(truth, blurry) + 1
            assert level == pytest.approx(np.abs(fields.closed.numpy() - truth).mean(), rel=1e-4)


def test_missing_bands_are_zeros(pines, prepared):
    patches = SolvedPatches(pines[1:], WIDE)
    counts = set()
    for epoch in range(60):
        truth, observation = observe(pines[1], WIDE, (WIDE.seed, epoch, 0, 7))
        if len(truth) == 31 or len(counts) == 2:
            continue
        fields, level, padded = patches.solve(epoch, 0)
        bands = len(truth)
        truth = truth / np.float32(fields.solution.pair.lr_unit)
        counts.add(bands)
        np.testing.assert_array_equal(prepared[-1].lr, observation.lr)
        assert fields.to_bands.shape == (31, 12) and fields.closed.shape == padded.shape
        np.testing.assert_array_equal(padded[:bands], truth)
        assert not (padded[bands:].any() or fields.to_bands[bands:].any() or fields.closed[bands:].any())
        alone = prepare(observation)
        assert torch.equal(fields.to_bands[:bands], alone.to_bands)
        assert torch.equal(fields.closed[:bands], alone.closed)
        assert level.item() == pytest.approx(np.abs(alone.closed.numpy() - truth).mean(), rel=1e-4)
    assert len(counts) == 2


def test_unusable_scenes_are_named(pines):
    small = Scene("tiny", pines[0].cube[:, :20], srf=nikon_d700())
    fewer = Scene("fewer", pines[0].cube[:10], rgb_bands=(8, 5, 1))
    for scenes, message in (([], "none"), ([small], "tiny"), ([pines[0], fewer], "fewer")):
        with pytest.raises(InputError, match=message):
            SolvedPatches(scenes, TINY)


# --- random degradations -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def window(pines):
    return pines[0].crop(0, 0, 48, 48)


def test_the_test_family_always_knows_its_camera(window):
    scales, moves = [], set()
    ways = [way.tobytes() for way in moved(window.cube)]
    for number in range(250):
        truth, observation = observe(window, TINY, (0, number))
        np.testing.assert_array_equal(observation.srf, window.srf)
        scales.append(observation.scale)
        assert truth.shape == window.cube.shape
        moves.add(ways.index(truth.tobytes()))
        rgb = np.tensordot(window.srf, truth, axes=1).clip(0, 1)
        np.testing.assert_allclose(observation.rgb, rgb, atol=1e-6)
        assert observation.lr.shape == (31, 48 // observation.scale, 48 // observation.scale)
    assert set(scales) == SCALES and moves == set(range(8))
    usual = np.isin(scales, (4, 8)).mean()
    assert usual == pytest.approx(0.8, abs=0.12)


def test_three_bands_as_rgb_image_are_an_unknown_camera(window):
    scene = Scene("bands", window.cube, rgb_bands=(25, 15, 5))
    for config in (TINY, WIDE):
        for number in range(30):
            truth, observation = observe(scene, config, (0, number))
            assert observation.srf is None
            if len(truth) == 31:
                np.testing.assert_array_equal(observation.rgb, truth[[25, 15, 5]])


def test_the_wide_family_has_other_and_unknown_cameras_and_fewer_bands(window, monkeypatch):
    monkeypatch.setattr(solved, "MOVING", 0)
    counts = {"known": 0, "other": 0, "unknown": 0, "bands": 0}
    ways = [np.ascontiguousarray(way) for way in moved(window.cube)]
    total = 300
    for number in range(total):
        truth, observation = observe(window, WIDE, (0, number))
        assert len(observation.lr) == len(truth) and observation.rgb.min() >= 0
        if len(truth) < 31:
            counts["bands"] += 1
            assert len(truth) >= LEAST_BANDS and observation.srf is None
            whole = next(way for way in ways if any(np.array_equal(band, truth[0]) for band in way))
            places = [next(i for i in range(31) if np.array_equal(whole[i], band)) for band in truth]
            assert places == sorted(set(places))
            rgb = np.tensordot(window.srf, whole, axes=1)
        elif observation.srf is None:
            counts["unknown"] += 1
            rgb = np.tensordot(window.srf, truth, axes=1)
        else:
            counts["known" if np.array_equal(observation.srf, window.srf) else "other"] += 1
            rgb = np.tensordot(observation.srf, truth, axes=1)
        np.testing.assert_allclose(observation.rgb, rgb.clip(0, 1), atol=1e-6)
    shares = {kind: count / total for kind, count in counts.items()}
    assert shares == pytest.approx({"known": 0.76, "other": 0.12, "unknown": 0.06, "bands": 0.06}, abs=0.06)
    assert all(counts.values())


def test_in_a_share_of_the_wide_samples_there_is_motion_in_both_images(window):
    ways = {way.tobytes() for way in moved(window.cube)}
    total, still = 0, 0
    for number in range(200):
        truth, observation = observe(window, WIDE, (0, number))
        if len(truth) == 31 and observation.srf is not None:
            total, still = total + 1, still + (truth.tobytes() in ways)
            rgb = np.tensordot(observation.srf, truth, axes=1)
            np.testing.assert_allclose(observation.rgb, rgb.clip(0, 1), atol=1e-6)
    assert still / total == pytest.approx(1 - solved.MOVING, abs=0.1)


def test_another_camera_is_a_camera():
    srf, generator = nikon_d700(), np.random.default_rng(0)
    for _ in range(50):
        other = another_camera(srf, generator)
        assert other.shape == srf.shape and other.dtype == np.float32
        assert other.min() >= 0 and not np.allclose(other, srf)
        np.testing.assert_allclose(other.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(srf, nikon_d700())


def test_other_cameras_curves_are_elsewhere_and_wider_or_narrower():
    bands, generator = np.arange(61), np.random.default_rng(0)
    middles = np.array([15, 30, 45])
    srf = np.exp(-0.5 * ((bands - middles[:, None]) / 3) ** 2)
    srf /= srf.sum(1, keepdims=True)
    shifts, widths = [], []
    for _ in range(100):
        other = another_camera(srf.astype(np.float32), generator)
        centres = (other * bands).sum(1)
        shifts.append(centres - middles)
        widths.append(np.sqrt((other * (bands - centres[:, None]) ** 2).sum(1)) / 3)
    shifts, widths = np.array(shifts), np.array(widths)
    assert -2.05 < shifts.min() < -1.8 and 1.8 < shifts.max() < 2.05
    assert 0.76 < widths.min() < 0.82 and 1.22 < widths.max() < 1.33
    assert np.abs(np.corrcoef(shifts.T) - np.eye(3)).max() < 0.4  # every curve by itself


def test_a_stretched_and_moved_camera_is_read_off_its_curves():
    """A draw without shift and stretch changes nothing, one by whole bands moves them."""

    class Fixed:
        def __init__(self, *values):
            self.values = list(values) * 3

        def uniform(self, low, high):
            value = self.values.pop(0)
            assert low <= value <= high
            return value

    srf = nikon_d700()
    np.testing.assert_allclose(another_camera(srf, Fixed(0.0, 0.0)), srf, atol=1e-6)
    for shift in (-2, 1, 2):
        expected = np.zeros_like(srf)
        for band in range(31):
            if 0 <= band - shift < 31:
                expected[:, band] = srf[:, band - shift]
        expected /= expected.sum(1, keepdims=True)
        np.testing.assert_allclose(another_camera(srf, Fixed(float(shift), 0.0)), expected, atol=1e-6)


# --- training ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degradation", ["test", "train"])
def test_a_training_leaves_weights_for_every_scale_and_sensor(pines, tmp_path, degradation):
    config = replace(TINY, degradation=degradation)
    validation = [Scene("seen", pines[1].cube[:, :, :32], srf=nikon_d700())]
    weights = train(config, pines, validation, tmp_path)
    log = pd.read_csv(tmp_path / "log.csv")
    assert list(log["epoch"]) == [1, 2] and list(log["step"]) == [4, 8]
    assert np.isfinite(log[["loss", "val_psnr"]].to_numpy()).all() and log["val_psnr"].min() > 25

    start = build_network(config).state_dict()
    trained = load_file(weights)
    assert trained.keys() == start.keys()
    assert any(not torch.equal(trained[name], start[name]) for name in start)
    for scale, bands in ((4, 31), (2, 12)):
        method = load_method("subspace-net", scale, weights=weights)
        assert isinstance(method.net, SubspaceNet) and "2 epochs" in method.schedule
        scene = Scene("part", pines[0].cube[:bands, :24, :32], rgb_bands=(9, 5, 1))
        observation = degrade(scene, scale)
        sr = method(observation)
        assert sr.shape == scene.cube.shape and sr.dtype == np.float32
        assert sr.min() >= 0 and sr.max() <= 1
        assert np.abs(sr - scene.cube).mean() < 0.1


def test_a_training_goes_on_where_it_was_stopped(pines, tmp_path):
    """Bit for bit, with epochs solved anew."""
    config = replace(TINY, crops_per_scene=2)
    train(config, pines, [], tmp_path / "whole")

    class Enough(Exception):
        pass

    calls = []

    class Stopping(SolvedPatches):
        def __getitem__(self, index):
            calls.append(index)
            if index == 6:  # in the middle of the second epoch
                raise Enough
            return super().__getitem__(index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ifmsr.training.solved.SolvedPatches", Stopping)
        with pytest.raises(Enough):
            train(config, pines, [], tmp_path / "stopped")
    assert calls == [0, 1, 2, 3, 4, 5, 6]
    train(config, pines, [], tmp_path / "stopped")
    whole, stopped = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "stopped"))
    for name, weight in whole.items():
        assert torch.equal(weight, stopped[name]), name


def test_other_networks_learn_from_patches_and_the_preset_is_complete(pines):
    assert isinstance(samples(pines, TINY), SolvedPatches)
    assert isinstance(samples(pines, TrainConfig(crops_per_scene=1)), Patches)
    preset = PRESETS["subspace-net"]
    assert (preset.network, preset.steps, preset.degradation) == ("subspace-net", "batched", "train")
    assert preset.gradient_clip == 1
    assert preset.side % 4 == 0 and preset.learning_rate_at(preset.epochs) == pytest.approx(5e-6)
    net = build_network(preset)
    assert isinstance(net, SubspaceNet) and (net.config.features, net.config.blocks) == (96, 8)

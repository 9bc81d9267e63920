import threading
from contextlib import closing
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tiny import CONFIG

from ifmsr.scenes import Scene, open_dataset
from ifmsr.training import Patches, TrainConfig, loop, on_device, train
from ifmsr.training.on_device import OnDevice, ahead
from ifmsr.training.state import State

CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))
PRESETS = ("train", "test", "lttr", "cms", "pzres-net", "mhf-net", "mog-dcn", "ual")


@pytest.fixture(scope="module")
def scenes():
    """Seven bands of Indian Pines: a scene with RGB bands and one with a response, neither square nor of one size."""
    cube = open_dataset("indian-pines").load("train").cube[20:27]
    response = np.random.default_rng(0).dirichlet(np.ones(7), 3).astype(np.float32)
    return [
        Scene("bands", cube[:, :, :60].copy(), rgb_bands=(5, 3, 1)),
        Scene("response", cube[:, :50, 3:].copy(), srf=response),
    ]


def assert_equal_to_patches(patches, device, numbers):
    """Sample by sample; returns what was drawn."""
    made = OnDevice(patches, torch.device(device))
    with closing(made.batches(loop.in_batches(numbers, patches.config.batch))) as batches:
        parts = [torch.cat(part).cpu() for part in zip(*batches, strict=True)]
    expected = [torch.stack(part) for part in zip(*(patches[number] for number in numbers), strict=True)]
    for name, ours, theirs in zip(("lr", "rgb", "truth"), parts, expected, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == torch.float32, name
        torch.testing.assert_close(
            ours, theirs, rtol=0, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )
    assert torch.equal(parts[2], expected[2])
    return [patches.draw(number) for number in numbers]


@pytest.mark.cpu
@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_sample_equals_that_of_patches(scenes, preset, scale, device):
    config = TrainConfig(scale=scale, crops_per_scene=8, batch=5, degradation=preset, seed=scale)
    draws = assert_equal_to_patches(Patches(scenes, config), device, range(16, 32))
    assert {draw.scene for draw in draws} == {0, 1}
    assert len({draw.augmentation for draw in draws}) > 6


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("alignment", ["released", "centred"])
@pytest.mark.parametrize("augment", [True, False])
def test_the_whole_family_of_training_degradations_occurs(scenes, alignment, augment, device):
    config = TrainConfig(
        scale=2, patch_side=8, crops_per_scene=40, batch=7, alignment=alignment, augment=augment
    )  # a patch narrower than most kernels' reach: borders repeat more than once
    draws = assert_equal_to_patches(Patches(scenes, config), device, range(80))
    kinds = {(len(draw.degradation.kernel), draw.degradation.mode) for draw in draws}
    assert len(kinds) >= 13 and {draw.degradation.sigma > 0 for draw in draws} == {True, False}
    assert (len({draw.augmentation for draw in draws}) > 12) == augment


@pytest.mark.parametrize("preset", ["train", "mog-dcn"])
def test_large_scales_and_single_samples(scenes, preset):
    config = TrainConfig(scale=8, patch_side=48, crops_per_scene=3, batch=1, degradation=preset)
    assert_equal_to_patches(Patches(scenes, config), "cpu", range(5))


def test_only_scenes_that_leave_half_of_the_memory_free_are_held(scenes, monkeypatch):
    needed = 4 * (7 + 3) * sum(scene.cube[0].size for scene in scenes)
    assert OnDevice(Patches(scenes, CONFIG), torch.device("cpu")).pixels.numel() * 4 == needed
    monkeypatch.setattr(on_device, "free_memory", lambda _: 2 * needed)
    assert OnDevice.fits(scenes, torch.device("cpu"))
    monkeypatch.setattr(on_device, "free_memory", lambda _: 2 * needed - 1)
    assert not OnDevice.fits(scenes, torch.device("cpu"))
    with pytest.warns(UserWarning, match="the samples are made on the CPU"):
        loop.batches_on(torch.device("cuda"), Patches(scenes, CONFIG), 0)


def sample_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("samples")]


def test_work_is_done_ahead_in_order_and_in_another_thread():
    started, both_ahead = [], threading.Event()

    def work(item):
        started.append((item, threading.current_thread().name))
        if item == 2:
            both_ahead.set()
        return 10 * item

    with closing(ahead(work, range(6))) as results:
        assert next(results) == 0
        assert both_ahead.wait(10)  # items 1 and 2, while item 0 is in use
        assert [item for item, _ in started] == [0, 1, 2]
        assert list(results) == [10, 20, 30, 40, 50]
    assert all(name.startswith("samples") for _, name in started)
    assert not sample_threads()


def test_an_error_in_the_thread_is_raised_here_and_ends_it():
    def work(item):
        if item == 2:
            raise ValueError("no such sample")
        return item

    results = ahead(work, range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="no such sample"):
        next(results)
    assert not sample_threads()


@pytest.fixture
def made_on_device(monkeypatch):
    """Training on the CPU, with batches made as on a GPU."""
    monkeypatch.setattr(loop, "batches_on", lambda device, patches, *_: OnDevice(patches, device).batches)


def test_training_learns_the_same_from_batches_made_on_the_device(scenes, tmp_path, request):
    train(CONFIG, scenes, [], tmp_path / "plain")
    request.getfixturevalue("made_on_device")
    train(CONFIG, scenes, [], tmp_path / "device")
    plain, device = (pd.read_csv(tmp_path / name / "log.csv")["loss"] for name in ("plain", "device"))
    np.testing.assert_allclose(plain, device, rtol=1e-4)
    assert not sample_threads()


def test_a_training_that_is_stopped_ends_its_thread_and_resumes(
    scenes, tmp_path, monkeypatch, made_on_device
):
    train(CONFIG, scenes, [], tmp_path / "whole")
    learn = State.learn

    def stopped(state, *batch, share):
        if state.batch == 3:
            raise KeyboardInterrupt
        learn(state, *batch, share=share)

    with monkeypatch.context() as patch:
        patch.setattr(State, "learn", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(CONFIG, scenes, [], tmp_path / "stopped")
    assert not sample_threads()
    train(CONFIG, scenes, [], tmp_path / "stopped")
    whole, resumed = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("steps", ["per-band", "batched"])
def test_the_loop_never_waits_for_the_gpu(scenes, tmp_path, steps):
    config = replace(
        CONFIG, steps=steps, bands_per_step=0 if steps == "per-band" else 2, precision="bfloat16"
    )
    device = torch.device("cuda")
    state, made = State(config, scenes, tmp_path, device), OnDevice(Patches(scenes, config), device)
    with closing(made.batches(loop.in_batches(range(10), config.batch))) as batches:
        state.learn(*next(batches))  # the first step may set things up
        torch.cuda.set_sync_debug_mode("error")
        try:
            for batch in batches:
                state.learn(*batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    state.read_losses()
    assert np.isfinite(state.mean_loss)

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from safetensors.torch import load_file

from ifmsr.errors import InputError, InputWarning
from ifmsr.inference.api import load_method
from ifmsr.methods import NETWORKS
from ifmsr.methods.ifmsr.network import IFMSR, IFMSRConfig
from ifmsr.scenes import Scene, open_dataset
from ifmsr.training import (
    PRESETS,
    Patches,
    TrainConfig,
    build_network,
    preset,
    preset_names,
    stages,
    train,
)
from ifmsr.training import state as training_state
from ifmsr.training.loop import train as loop_train
from ifmsr.training.patches import augment
from ifmsr.training.state import State
from ifmsr.weights import save_weights


@pytest.fixture(scope="module")
def pines():
    return tiny.parts()


def test_samples_depend_on_seed_epoch_and_number_only(pines):
    patches = Patches(pines[:1], replace(tiny.CONFIG, crops_per_scene=8, seed=1))
    first = patches[13]
    assert [x.shape for x in first] == [(12, 12, 12), (3, 48, 48), (12, 48, 48)]
    patches[2]
    for again, before in zip(patches[13], first, strict=True):
        assert torch.equal(again, before)
    assert not torch.equal(patches[5][2], first[2])  # the same number of another epoch
    other = Patches(pines[:1], replace(tiny.CONFIG, crops_per_scene=8, seed=2))
    assert not torch.equal(other[13][0], first[0])


def test_every_scene_gives_its_crops_once_an_epoch(pines):
    scenes = [replace(pines[0], name=name) for name in "abc"]
    patches = Patches(scenes, replace(tiny.CONFIG, crops_per_scene=5))
    numbers = [patches.draw(3 * len(patches) + number).scene for number in range(len(patches))]
    assert sorted(numbers) == sorted([0, 1, 2] * 5) and numbers != sorted(numbers)


def test_augmentation_moves_both_images_alike():
    truth = np.arange(2 * 12 * 12, dtype=np.float32).reshape(2, 12, 12)
    rgb = np.concatenate([truth, truth[:1]])
    seen = set()
    for seed in range(60):
        a, b = augment(truth, rgb, np.random.default_rng(seed))
        np.testing.assert_array_equal(a, b[:2])
        assert sorted(a.ravel()) == sorted(truth.ravel())
        seen.add(a.tobytes())
    assert len(seen) > 10


def test_training_learns_and_leaves_a_log_and_usable_weights(pines, tmp_path):
    config = replace(tiny.CONFIG, epochs=6, crops_per_scene=24, learning_rate=3e-3)
    weights = train(config, pines[:1], pines[1:], tmp_path)
    log = pd.read_csv(tmp_path / "log.csv")
    assert list(log.columns) == ["epoch", "step", "lr", "loss", "val_psnr", "seconds"]
    assert list(log["epoch"]) == [1, 2, 3, 4, 5, 6] and list(log["step"]) == [12, 24, 36, 48, 60, 72]
    assert log["loss"].iloc[-1] < 0.5 * log["loss"].iloc[0]
    assert log["val_psnr"].iloc[-1] > log["val_psnr"].iloc[0] + 3
    method = load_method("ifmsr", 4, weights)
    assert "6 epochs" in method.schedule and "seed 0" in method.schedule


def test_the_learning_rate_is_halved_on_time(pines, tmp_path):
    train(replace(tiny.CONFIG, epochs=3, crops_per_scene=2, decay_every=1), pines[:1], [], tmp_path)
    log = pd.read_csv(tmp_path / "log.csv")
    assert list(log["lr"]) == pytest.approx([1e-3, 5e-4, 2.5e-4])
    assert log["val_psnr"].isna().all()


def test_a_cosine_falls_from_step_to_step(pines, tmp_path, monkeypatch):
    rates = []
    step = torch.optim.Adam.step

    def watched(optimizer, *args, **kwargs):
        rates.append([group["lr"] for group in optimizer.param_groups])
        return step(optimizer, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    config = replace(tiny.CONFIG, steps="per-band", bands_per_step=0, decay="cosine", decay_by=0.1)
    train(config, pines[:1], [], tmp_path)
    assert config.epochs == 2 and len(rates) == 2 * 3 * 12  # epochs, batches, bands
    along = np.arange(len(rates)) / len(rates)
    expected = 1e-3 * (0.1 + 0.9 * (1 + np.cos(np.pi * along)) / 2)
    np.testing.assert_allclose(np.ravel(rates), expected, rtol=1e-6)


def test_per_band_takes_one_step_per_band_and_batched_one_per_batch(pines, tmp_path):
    for steps, expected in (("per-band", 12 * 3), ("batched", 3)):
        train(replace(tiny.CONFIG, epochs=1, steps=steps), pines[:1], [], tmp_path / steps)
        assert list(pd.read_csv(tmp_path / steps / "log.csv")["step"]) == [expected]


def test_a_gradient_above_the_limit_is_scaled_down_to_it(pines, tmp_path):
    """Read off Adam's first moment: after one step it is a tenth of the gradient that the step was given."""
    config = replace(tiny.CONFIG, bands_per_step=0)
    patches = Patches(pines[:1], config)
    batch = [torch.stack(field) for field in zip(patches[0], patches[1], strict=True)]
    net = State(config, pines, tmp_path, torch.device("cpu")).net
    net.loss(*batch, bands=torch.arange(12)).backward()
    gradients = [parameter.grad for parameter in net.parameters()]
    norm = sum(float((gradient.double() ** 2).sum()) for gradient in gradients) ** 0.5
    assert TrainConfig().gradient_clip == 0
    for clip, share in ((0.0, 1), (2 * norm, 1), (norm / 7, 1 / 7), (1e-3 * norm, 1e-3)):
        state = State(replace(config, gradient_clip=clip), pines, tmp_path, torch.device("cpu"))
        state.learn(*batch)
        moments = [state.optimizer.state[parameter]["exp_avg"] / 0.1 for parameter in state.net.parameters()]
        for moment, gradient in zip(moments, gradients, strict=True):
            torch.testing.assert_close(moment, share * gradient, atol=1e-5 * share * norm, rtol=1e-4)
        found = sum(float((moment.double() ** 2).sum()) for moment in moments) ** 0.5
        assert found == pytest.approx(share * norm, rel=1e-4)


def test_the_moving_average_of_the_weights_is_what_is_kept(pines, tmp_path, monkeypatch):
    seen = []
    learn = State.learn

    def watched(state, *batch, share):
        seen.append([parameter.detach().clone().double() for parameter in state.net.parameters()])
        learn(state, *batch, share=share)
        last.append([parameter.detach().clone().double() for parameter in state.net.parameters()])
        averages.append([parameter.detach().clone() for parameter in state.trained.parameters()])

    last, averages = [], []
    monkeypatch.setattr(State, "learn", watched)
    config = replace(tiny.CONFIG, average=0.7, epochs=1)
    kept = load_file(train(config, pines[:1], [], tmp_path / "mean"))
    expected = seen[0]
    for weights in last:
        expected = [0.7 * mean + 0.3 * now for mean, now in zip(expected, weights, strict=True)]
    names = [name for name, _ in build_network(config, 12).named_parameters()]
    assert len(last) == 3
    for name, mean, average, now in zip(names, expected, averages[-1], last[-1], strict=True):
        torch.testing.assert_close(average.double(), mean, atol=1e-7, rtol=1e-5)
        assert torch.equal(kept[name], average.half())
        assert not torch.allclose(mean, now, atol=1e-5)
    assert "EMA 0.7" in config.schedule(1) and "EMA" not in tiny.CONFIG.schedule(1)
    with pytest.raises(InputError, match="average"):
        replace(tiny.CONFIG, average=1.0)


@pytest.mark.parametrize("gradients_off", [torch.no_grad, torch.inference_mode])
def test_a_training_learns_where_gradients_are_off(pines, tmp_path, gradients_off):
    config = replace(tiny.CONFIG, epochs=1)
    train(config, pines[:1], [], tmp_path / "on")
    with gradients_off():
        train(config, pines[:1], [], tmp_path / "off")
    tiny.assert_same_weights(tiny.weights_of(tmp_path / "on"), tiny.weights_of(tmp_path / "off"))


def test_a_folder_device_or_number_of_workers_that_is_none_is_named(pines, tmp_path):
    (tmp_path / "file").touch()
    for out, how, message in (
        (tmp_path / "file", {}, "file: it cannot be made a folder"),
        (tmp_path / "file" / "below", {}, "below: it cannot be made a folder"),
        (tmp_path / "run", {"device": "gpu"}, "device: 'gpu' cannot be used"),
        (tmp_path / "run", {"workers": -1}, "workers: found -1"),
    ):
        with pytest.raises(InputError, match=message):
            train(tiny.CONFIG, pines[:1], [], out, **how)


def test_workers_change_nothing(pines, tmp_path):
    for workers in (0, 2):
        train(replace(tiny.CONFIG, epochs=1), pines[:1], [], tmp_path / str(workers), workers=workers)
    tiny.assert_same_weights(tiny.weights_of(tmp_path / "0"), tiny.weights_of(tmp_path / "2"))


def compile_with(monkeypatch, backend):
    choice = {"backend": backend, "dynamic": False}
    monkeypatch.setattr(training_state, "COMPILERS", {"per-band": choice, "batched": choice})
    torch.compiler.reset()


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.cpu)])
def test_a_compiled_training_equals_the_plain_one(pines, tmp_path, monkeypatch, precision, computes_bfloat16):
    compile_with(monkeypatch, "aot_eager")
    config = replace(tiny.CONFIG, precision=precision)
    for name, compiled in (("plain", False), ("compiled", True)):
        train(config, pines[:1], pines[1:], tmp_path / name, compile=compiled)
    plain, compiled = tiny.weights_of(tmp_path / "plain"), tiny.weights_of(tmp_path / "compiled")
    assert plain.keys() == compiled.keys()
    losses = [pd.read_csv(tmp_path / name / "log.csv")["loss"] for name in ("plain", "compiled")]
    np.testing.assert_allclose(*losses, rtol=1e-4 if precision == "float32" else 2e-2)
    # the compiler is no part of the identity, the precision that was computed in is
    assert train(config, pines[:1], [], tmp_path / "plain", compile=True).exists()
    other = replace(config, precision="float32" if precision == "bfloat16" else "bfloat16")
    refused = pytest.raises(InputError, match="precision") if computes_bfloat16 else nullcontext()
    with refused:
        train(other, pines[:1], [], tmp_path / "plain")


@pytest.mark.parametrize("steps", ["per-band", "batched"])
def test_every_shape_is_compiled_once_whatever_the_bands(pines, tmp_path, monkeypatch, steps):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    compile_with(monkeypatch, backend)
    config = replace(tiny.CONFIG, epochs=3, crops_per_scene=5, steps=steps)  # batches of 2, 2 and 1
    train(config, pines[:1], pines[1:], tmp_path, compile=True)
    assert len(graphs) == 2


@pytest.mark.parametrize("steps", ["per-band", "batched"])
def test_the_compilers_choices_are_known_to_pytorch(steps):
    torch.compile(lambda x: x, **training_state.COMPILERS[steps])


def test_channels_last_changes_losses_and_gradients_by_rounding_only(pines):
    """The memory layout of networks on a GPU, here on whatever there is. MHF-net amplifies rounding to 1 %."""
    lr, rgb, truth = (x[None] for x in Patches(pines[:1], tiny.CONFIG)[0])
    for name, kind in NETWORKS.items():
        if kind.scale_free:  # another kind of sample; see test_subspace_net
            continue
        losses, gradients = [], []
        for layout in (torch.contiguous_format, torch.channels_last):
            net = build_network(TrainConfig(network=name, steps="batched"), bands=12)
            net.start_from(pines[:1])
            net.to(memory_format=layout)
            loss = net.loss(lr, rgb, truth, torch.tensor([3]) if net.bandwise else None)
            loss.backward()
            losses.append(loss.item())
            gradients.append(torch.cat([w.grad.flatten() for w in net.parameters() if w.grad is not None]))
        assert losses[0] == pytest.approx(losses[1], rel=1e-5), name
        assert (gradients[0] - gradients[1]).norm() < 0.05 * gradients[0].norm(), name


def test_the_last_stage_is_the_preset_and_each_is_wider_than_the_one_before():
    for name in preset_names():
        assert stages(name)[-1] == preset(name)
    for name, widths in (("ifmsr-test-family", [16, 32, 64]), ("ifmsr-wide", [16, 32, 64, 64])):
        assert [config.options.get("features", 64) for config in stages(name)] == widths
    assert [config.degradation for config in stages("ifmsr-wide")] == ["test", "test", "test", "train"]


def test_the_same_seed_gives_the_same_network_and_presets_are_the_protocols():
    a, b = build_network(tiny.CONFIG), build_network(tiny.CONFIG)
    tiny.assert_same_weights(dict(a.state_dict()), dict(b.state_dict()))
    paper, released = PRESETS["paper"], PRESETS["released"]
    assert (paper.epochs, paper.crops_per_scene, paper.batch, paper.learning_rate) == (200, 64, 16, 1e-4)
    assert (paper.decay_every, paper.beta2, paper.steps) == (30, 0.99, "per-band")
    assert (released.crops_per_scene, released.beta2) == (16, 0.999)
    assert build_network(paper).config == IFMSRConfig(scale=4)


def test_a_training_can_start_from_other_weights_of_the_same_shape(pines, tmp_path):
    """Also those of another scale and band count: no parameter of IFMSR depends on them."""
    weights = train(replace(tiny.CONFIG, epochs=1), pines[:1], [], tmp_path / "first")
    config = replace(tiny.CONFIG, scale=2, start=str(weights))
    tiny.assert_same_weights(dict(build_network(config).state_dict()), load_file(weights))
    tuned = load_method("ifmsr", 2, train(config, pines[:1], [], tmp_path / "second"))
    assert tuned.schedule.startswith("fine-tuned from first: 2 epochs")
    with pytest.raises(InputError, match="another network"):
        build_network(replace(config, options={"features": 6, "stages": 1}))
    with pytest.raises(InputError, match="no such file"):
        build_network(replace(config, start="nowhere.safetensors"))


def test_weights_for_another_number_of_bands_fit_where_a_layer_has_the_same_shape(pines, tmp_path):
    """The other layers start as without weights: at random, and from the scenes."""
    config = TrainConfig(network="mhf-net", steps="batched", seed=1)
    weights = save_weights(
        tmp_path / "w.safetensors", build_network(replace(config, seed=0), 8), "mhf-net", ""
    )
    scene = Scene("eleven", pines[0].cube[:11], rgb_bands=(5, 3, 1))
    fresh = build_network(config, 11, [scene]).state_dict()
    with pytest.warns(InputWarning, match=r"start: weights for 8 bands: \d+ of \d+ tensors .* for 11 bands"):
        started = build_network(replace(config, start=str(weights)), 11, [scene]).state_dict()
    taken = {name for name, value in load_file(weights).items() if started[name].equal(value.float())}
    assert len(taken) > 100 and not taken & {"A", "B"}
    assert all(started[name].equal(fresh[name]) for name in fresh.keys() - taken)
    assert not started["A"].equal(build_network(config, 11).state_dict()["A"])


def test_weights_of_which_no_layer_fits_are_named_with_both_numbers_of_bands(tmp_path):
    config = TrainConfig(network="pzres-net", steps="batched")
    weights = save_weights(tmp_path / "w.safetensors", build_network(config, 8), "pzres-net", "")
    started = replace(config, start=str(weights))
    assert build_network(replace(started, scale=8), 8).config.bands == 8
    with pytest.raises(InputError, match=r"w\.safetensors: .*made for 8 bands, and no layer .* for 31"):
        build_network(started)


def test_unusable_scenes_are_named(pines, tmp_path):
    small = Scene("tiny", pines[0].cube[:, :40], rgb_bands=(9, 5, 1))
    fewer = Scene("fewer", pines[0].cube[:10], rgb_bands=(9, 5, 1))
    for scenes, message in (([], "none"), ([small], "tiny"), ([pines[0], fewer], "fewer")):
        with pytest.raises(InputError, match=message):
            loop_train(tiny.CONFIG, scenes, [], tmp_path)


def test_one_patch_can_be_learned_by_heart():
    """The whole network, every component on, must be able to overfit."""
    torch.manual_seed(0)
    net = IFMSR(IFMSRConfig(features=16))
    part = open_dataset("indian-pines").load("train")
    scene = Scene("patch", part.cube[10:16], rgb_bands=(4, 2, 0)).crop_to_multiple(4, 48)
    truth, rgb = torch.from_numpy(scene.cube)[None], torch.from_numpy(scene.rgb())[None]
    lr = torch.nn.functional.avg_pool2d(truth, 4)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    rate = torch.optim.lr_scheduler.LinearLR(
        optimizer, 1, 0.1, 120
    )  # at a full one the last steps are 2 dB apart
    for _ in range(120):
        loss = (net(lr, rgb) - truth).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    mse = (net(lr, rgb) - truth).square().mean().item()
    assert -10 * np.log10(mse) > 36

"""The state of a training by itself: its optimiser, its bands, its clock, when it writes, and what it validates on."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from ifmsr.errors import InputError
from ifmsr.files import sha256
from ifmsr.scenes import Scene
from ifmsr.training import state as module
from ifmsr.training.processes import ALONE, Processes
from ifmsr.training.state import (
    CHECKPOINT,
    State,
    TrainingError,
    build_network,
    read_checkpoint,
    start_digest,
)
from ifmsr.weights import save_weights

CPU = torch.device("cpu")
SECOND = Processes(rank=1)  # of one: it waits for nobody, and is not the one that writes


@pytest.fixture(scope="module")
def scenes():
    """One scene of random numbers."""
    return [Scene("a", np.random.default_rng(0).random((12, 48, 48), np.float32), rgb_bands=(9, 5, 1))]


@pytest.fixture
def clock(monkeypatch):
    """The seconds that the state reads."""
    now = [1000.0]
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    return now


def new(scenes, folder, processes=ALONE, batches=3, **changes):
    return State(replace(tiny.CONFIG, **changes), scenes, folder, CPU, batches=batches, processes=processes)


def batch(size=2, bands=12):
    """LR and RGB patches and their truth, of random numbers."""
    random = torch.Generator().manual_seed(0)
    shapes = (size, bands, 8, 8), (size, 3, 32, 32), (size, bands, 32, 32)
    return [torch.rand(shape, generator=random) for shape in shapes]


def test_the_optimiser_is_the_protocols(scenes, tmp_path):
    state = new(scenes, tmp_path, beta2=0.98, weight_decay=0.01)
    (group,) = state.optimizer.param_groups
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.9, 0.98), 1e-8, 0.01)
    assert group["fused"] and len(group["params"]) == len([*state.net.parameters()])


def test_a_training_begins_with_nothing(scenes, tmp_path):
    state = new(scenes, tmp_path)
    assert (state.epoch, state.batch, state.bad_in_a_row, state.seconds) == (0, 0, 0, 0.0)
    assert math.isnan(state.mean_loss) and math.isnan(state.last_psnr)
    state.losses, state.rows = [1.0, 4.0], [{"val_psnr": 30.0}, {"val_psnr": 31.0}, {"val_psnr": 20.0}]
    assert state.mean_loss == 2.5 and state.last_psnr == 20.0


def test_the_bands_of_a_step(scenes, tmp_path):
    state = new(scenes, tmp_path, bands_per_step=4, seed=7)
    state.epoch, state.batch = 2, 5
    (bands,) = state._bands(31)
    expected = np.sort(np.random.default_rng((7, 2, 5, 2)).permutation(31)[:4])
    assert bands.tolist() == expected.tolist()  # as in every training that is committed
    state.batch = 6
    assert state._bands(31)[0].tolist() != bands.tolist()
    assert new(scenes, tmp_path, bands_per_step=0)._bands(6)[0].tolist() == [0, 1, 2, 3, 4, 5]
    each = new(scenes, tmp_path, steps="per-band")._bands(3)
    assert [band.tolist() for band in each] == [[0], [1], [2]]
    state.net.bandwise = False
    assert state._bands(31) == [None]


def test_one_step_per_band_each_at_its_own_part_of_the_epoch(scenes, tmp_path, monkeypatch):
    state = new(scenes, tmp_path, steps="per-band", batches=4)
    parts = []
    monkeypatch.setattr(state, "set_learning_rate", parts.append)
    state.batch = 1
    state.learn(*batch(bands=3))
    assert parts == pytest.approx([1 / 4, (1 + 1 / 3) / 4, (1 + 2 / 3) / 4])
    assert state.batch == 2 and len(state.losses) == 3 and state.unread == []


def test_the_learning_rate_is_that_of_the_place_in_the_schedule(scenes, tmp_path):
    state = new(scenes, tmp_path, decay="cosine", epochs=4)
    state.epoch = 2
    state.set_learning_rate(0.5)
    assert state.optimizer.param_groups[0]["lr"] == state.config.learning_rate_at(2.5)
    assert state.config.learning_rate_at(1.5) > state.config.learning_rate_at(2.5) > 0


def test_the_share_of_a_process_scales_its_loss_and_its_gradient(scenes, tmp_path):
    whole, half = (new(scenes, tmp_path) for _ in range(2))
    for state in (whole, half):
        state.optimizer.step = lambda: None
    whole.learn(*batch())
    half.learn(*batch(), share=0.25)
    assert half.losses[0] == pytest.approx(whole.losses[0] / 4, rel=1e-6)
    for a, b in zip(half.net.parameters(), whole.net.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad / 4)
    assert any((b.grad != 0).any() for b in whole.net.parameters())


def test_the_moving_average_follows_by_what_is_left_of_it(scenes, tmp_path):
    state = new(scenes, tmp_path, average=0.75)
    assert state.trained is not state.net
    before = [parameter.clone() for parameter in state.trained.parameters()]
    with torch.no_grad():
        for parameter in state.net.parameters():
            parameter.add_(1)
    state.update_ema()
    for a, b in zip(state.trained.parameters(), before, strict=True):
        torch.testing.assert_close(a, b + 0.25)
    plain = new(scenes, tmp_path)
    assert plain.trained is plain.net


def test_five_losses_in_a_row_that_are_not_finite_stop_it(scenes, tmp_path):
    state = new(scenes, tmp_path)
    bad, good = torch.tensor(float("nan")), torch.tensor(2.0)
    state.unread = [bad, bad, bad, bad, good, bad, bad, bad, bad]
    state.read_losses()
    assert state.losses == [2.0] and state.bad_in_a_row == 4 and state.unread == []
    state.unread = [torch.tensor(float("inf"))]
    with pytest.raises(TrainingError, match="NaN or infinite 5 steps in a row"):
        state.read_losses()


def test_its_seconds_are_those_of_all_its_runs(scenes, tmp_path, clock):
    state = new(scenes, tmp_path)
    state.learn(*batch())
    clock[0] += 12.34
    row = state.finish_epoch([])
    assert (row["seconds"], row["epoch"], row["step"]) == (12.3, 1, 1) and math.isnan(row["val_psnr"])
    clock[0] += 5
    state.save_checkpoint()
    clock[0] += 100  # it is killed
    again = new(scenes, tmp_path)
    again.restore()
    assert again.seconds == pytest.approx(17.34) and (again.epoch, again.batch, again.losses) == (1, 0, [])
    again.learn(*batch())
    clock[0] += 2
    row = again.finish_epoch([])
    assert (row["seconds"], row["epoch"], row["step"]) == (19.3, 2, 2)
    log = pd.read_csv(tmp_path / "log.csv")
    assert list(log.columns) == ["epoch", "step", "lr", "loss", "val_psnr", "seconds"]
    assert log["epoch"].tolist() == [1, 2] and log["seconds"].tolist() == [12.3, 19.3]


def test_a_checkpoint_is_due_after_its_seconds_and_written_by_the_first_process(scenes, tmp_path, clock):
    state = new(scenes, tmp_path, checkpoint_every=60)
    clock[0] += 60
    state.checkpoint_if_due()
    assert not (tmp_path / CHECKPOINT).exists()
    clock[0] += 1
    state.checkpoint_if_due()
    assert (tmp_path / CHECKPOINT).exists()
    (tmp_path / CHECKPOINT).unlink()
    clock[0] += 60
    state.checkpoint_if_due()
    assert not (tmp_path / CHECKPOINT).exists(), "counted from the last one"
    other = new(scenes, tmp_path, SECOND, checkpoint_every=60)
    clock[0] += 100
    other.rows = [{"epoch": 1}]
    other.checkpoint_if_due()
    other.save_checkpoint()
    other.write_log()
    assert [*tmp_path.iterdir()] == []


def test_a_later_checkpoint_of_another_process_is_refused(scenes, tmp_path):
    state = new(scenes, tmp_path)
    state.epoch, state.batch = 2, 1
    asked = []
    state.processes = type("All", (), {"first": True, "largest": lambda _, seen: asked.append(seen) or 8})()
    with pytest.raises(InputError, match="another process has found a later checkpoint"):
        state.restore()
    assert asked == [7]  # two epochs of three batches, and one batch
    state.processes = type("All", (), {"first": True, "largest": lambda _, seen: seen})()
    state.restore()


def test_a_checkpoint_says_what_it_belongs_to(scenes, tmp_path):
    state = new(scenes, tmp_path)
    assert read_checkpoint(tmp_path, state.config, state.scenes, CPU) is None
    state.learn(*batch())
    state.save_checkpoint()
    content = read_checkpoint(tmp_path, state.config, state.scenes, CPU)
    assert content["scenes"] == [scenes[0].name] and (content["epoch"], content["batch"]) == (0, 1)
    assert content["start_sha256"] == "" and len(content["losses"]) == 1
    with pytest.raises(InputError, match="training with other learning_rate"):
        read_checkpoint(tmp_path, replace(state.config, learning_rate=0.5), state.scenes, CPU)
    with pytest.raises(InputError, match="training with other scenes"):
        read_checkpoint(tmp_path, state.config, ["another"], CPU)


def test_validation_is_on_the_middle_96_pixels_under_the_test_degradation(scenes, tmp_path, monkeypatch):
    seen = []

    def run(net, observation, device, precision):
        seen.append((observation.lr.shape, device, precision))
        return np.full((12, 96, 96), 0.5, np.float32)

    monkeypatch.setattr(module, "run_network", run)
    state = new(scenes, tmp_path)
    (large,) = [replace(scenes[0], cube=np.full((12, 120, 104), 0.4, np.float32))]
    found = module.validation_psnr(state.net, [large, large], state.config, CPU)
    assert seen == [((12, 24, 24), "cpu", "float32")] * 2
    assert found == pytest.approx(20, abs=1e-4)  # off by a tenth everywhere
    assert math.isnan(module.validation_psnr(state.net, [], state.config, CPU))


def test_a_network_is_built_for_what_it_needs_to_know():
    large = replace(tiny.CONFIG, network="mog-dcn", options={}, scale=8, bands_per_step=0)
    net = build_network(large, bands=12)
    assert (net.config.scale, net.config.bands) == (8, 12) and build_network(large).config.bands == 31


def test_a_training_starts_with_given_weights_and_belongs_to_them(scenes, tmp_path):
    first = build_network(replace(tiny.CONFIG, seed=5))
    start = save_weights(tmp_path / "start.safetensors", first, "ifmsr", "a test")
    state = new(scenes, tmp_path, start=str(start))
    assert state.start_sha256 == sha256(start) == start_digest(state.config)
    for a, b in zip(state.net.parameters(), first.parameters(), strict=True):
        assert torch.equal(a, b.half().float())
    state.save_checkpoint()
    assert read_checkpoint(tmp_path, state.config, state.scenes, CPU)["start_sha256"] == sha256(start)
    save_weights(start, build_network(replace(tiny.CONFIG, seed=6)), "ifmsr", "a test")
    with pytest.raises(InputError, match="training with other start_sha256"):
        read_checkpoint(tmp_path, state.config, state.scenes, CPU)
    start.unlink()
    with pytest.raises(InputError, match="there is no such file to start from"):
        start_digest(state.config)
    assert start_digest(tiny.CONFIG) == ""


class Program:
    """What a pickle can hold: a call that is made when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def test_a_checkpoint_executes_nothing(scenes, tmp_path):
    state = new(scenes, tmp_path)
    torch.save({"config": Program(tmp_path / "mark")}, tmp_path / CHECKPOINT)
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        read_checkpoint(tmp_path, state.config, state.scenes, CPU)
    assert not (tmp_path / "mark").exists()


def test_on_a_cpu_weights_keep_their_layout_and_an_epoch_has_one_batch_if_nothing_is_said(scenes, tmp_path):
    state = State(tiny.CONFIG, scenes, tmp_path, CPU)
    assert state.batches == 1 and all(parameter.is_contiguous() for parameter in state.net.parameters())

"""Trainings that are killed, resumed, refused or out of disk."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import tiny
import torch

from ifmsr.errors import InputError
from ifmsr.training import Patches, TrainingError, train
from ifmsr.training.state import State


@pytest.fixture(scope="module")
def pines():
    return tiny.parts()


def test_a_checkpoint_goes_on_in_another_memory_layout(pines, tmp_path):
    """As when a run moves between a GPU, whose networks lie channels last, and a CPU."""
    batch = [x[None] for x in Patches(pines[:1], tiny.CONFIG)[0]]
    state = State(tiny.CONFIG, pines, tmp_path, torch.device("cpu"))
    state.learn(*batch)
    state.save_checkpoint()
    state.learn(*batch)
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for moments in content["optimizer"]["state"].values():
        for name, value in moments.items():
            if value.ndim == 4:
                moments[name] = value.to(memory_format=torch.channels_last)
    torch.save(content, tmp_path / "checkpoint.pt")
    other = State(tiny.CONFIG, pines, tmp_path, torch.device("cpu"))
    other.restore()
    other.learn(*batch)
    tiny.assert_same_weights(dict(state.net.state_dict()), dict(other.net.state_dict()))


def test_a_training_goes_on_only_from_the_weights_that_it_started_from(pines, tmp_path):
    first = train(tiny.CONFIG, pines[:1], [], tmp_path / "first")
    config = replace(tiny.CONFIG, start=str(first))
    State(config, pines[:1], tmp_path, torch.device("cpu")).save_checkpoint()
    State(config, pines[:1], tmp_path, torch.device("cpu")).restore()
    other = train(replace(tiny.CONFIG, seed=1), pines[:1], [], tmp_path / "other")
    first.write_bytes(other.read_bytes())
    with pytest.raises(InputError, match="a training with other start_sha256"):
        train(config, pines[:1], [], tmp_path)
    first.unlink()
    with pytest.raises(InputError, match="no such file to start from"):
        train(config, pines[:1], [], tmp_path)


SCRIPT = """
import sys
from dataclasses import replace
import tiny
import torch
from ifmsr.training import train
torch.set_num_threads(1)
parts = tiny.parts()
train(replace(tiny.CONFIG, average=0.9), parts[:1], parts[1:], sys.argv[1])
"""


def start(folder):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        cwd=Path(__file__).parent.parent,
        stderr=subprocess.DEVNULL,
    )


def wait_for_batches(folder, count):
    """Until `count` batches of the first epoch are in the checkpoint."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if torch.load(folder / "checkpoint.pt", weights_only=True)["batch"] >= count:
                return
        except FileNotFoundError:
            pass
        time.sleep(0.01)
    raise AssertionError("the training made no checkpoint")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, -2)]
)
def test_a_training_stopped_at_any_moment_ends_bit_for_bit_as_if_it_had_not_been(
    pines, tmp_path, number, code
):
    config = replace(tiny.CONFIG, average=0.9)
    train(config, pines[:1], pines[1:], tmp_path / "whole")
    process = start(tmp_path / "stopped")
    wait_for_batches(tmp_path / "stopped", 1)
    os.kill(process.pid, number)
    assert process.wait(60) == code
    assert not (tmp_path / "stopped" / "weights.safetensors").exists()
    train(config, pines[:1], pines[1:], tmp_path / "stopped")
    tiny.assert_same_weights(tiny.weights_of(tmp_path / "whole"), tiny.weights_of(tmp_path / "stopped"))
    logs = [pd.read_csv(tmp_path / name / "log.csv").drop(columns="seconds") for name in ("whole", "stopped")]
    pd.testing.assert_frame_equal(*logs)


def test_a_checkpoint_of_another_training_is_refused_and_named(pines, tmp_path):
    train(replace(tiny.CONFIG, epochs=1), pines[:1], [], tmp_path)
    with pytest.raises(InputError, match=r"checkpoint\.pt.*learning_rate"):
        train(replace(tiny.CONFIG, epochs=1, learning_rate=2e-3), pines[:1], [], tmp_path)
    train(replace(tiny.CONFIG, epochs=1, learning_rate=2e-3), pines[:1], [], tmp_path, resume=False)
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a checkpoint"):
        train(tiny.CONFIG, pines[:1], [], tmp_path)


def test_a_loss_that_stays_infinite_stops_training_and_keeps_the_checkpoint(pines, tmp_path, monkeypatch):
    state = State(tiny.CONFIG, pines, tmp_path, torch.device("cpu"))
    lr, rgb, truth = (x[None] for x in Patches(pines[:1], tiny.CONFIG)[0])
    state.learn(lr, rgb, truth)
    state.save_checkpoint()
    good = {name: tensor.clone() for name, tensor in state.net.state_dict().items()}
    with pytest.raises(TrainingError, match="5 steps in a row"):
        for _ in range(5):
            state.learn(lr * torch.nan, rgb, truth)
    tiny.assert_same_weights(dict(state.net.state_dict()), good)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["net"]
    tiny.assert_same_weights(kept, good)


def test_a_full_disk_keeps_the_last_checkpoint(pines, tmp_path, monkeypatch):
    state = State(tiny.CONFIG, pines, tmp_path, torch.device("cpu"))
    state.save_checkpoint()
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", no_space)
    with pytest.raises(OSError, match="No space"):
        state.save_checkpoint()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]

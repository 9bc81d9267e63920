"""Trainings that are killed, resumed, refused or out of disk."""

import itertools
import json
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
from ifmsr.runs import MANIFEST, read_manifest
from ifmsr.scenes.base import Split
from ifmsr.training import Patches, TrainingError, on_split, train, train_on_split
from ifmsr.training import state as training_state
from ifmsr.training.state import State


@pytest.fixture(scope="module")
def pines():
    return tiny.parts()


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_checkpoint_goes_on_in_another_memory_layout(pines, tmp_path, optimizer):
    """As when a run moves between a GPU, whose networks lie channels last, and a CPU."""
    batch = [x[None] for x in Patches(pines[:1], tiny.CONFIG)[0]]
    config = replace(tiny.CONFIG, optimizer=optimizer)
    state = State(config, pines, tmp_path, torch.device("cpu"))
    state.learn(*batch)
    state.save_checkpoint()
    state.learn(*batch)
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for moments in content["optimizer"]["state"].values():
        for name, value in moments.items():
            if value.ndim == 4:
                moments[name] = value.to(memory_format=torch.channels_last)
    torch.save(content, tmp_path / "checkpoint.pt")
    other = State(config, pines, tmp_path, torch.device("cpu"))
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


def test_a_checkpoint_of_an_older_program_goes_on_with_the_defaults_of_what_is_new(pines, tmp_path):
    State(tiny.CONFIG, pines, tmp_path, torch.device("cpu")).save_checkpoint()
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del content["config"]["optimizer"]
    torch.save(content, tmp_path / "checkpoint.pt")
    State(tiny.CONFIG, pines, tmp_path, torch.device("cpu")).restore()
    with pytest.raises(InputError, match="a training with other optimizer"):
        State(replace(tiny.CONFIG, optimizer="muon"), pines, tmp_path, torch.device("cpu")).restore()


SCRIPT = """
import os, signal, sys
from dataclasses import replace
import tiny
import torch
from ifmsr.training import train
torch.set_num_threads(1)
parts = tiny.parts()
move = os.replace

def move_or_die(source, target):
    if os.path.basename(target) == sys.argv[2] and os.path.exists(target):
        os.kill(os.getpid(), signal.SIGKILL)
    move(source, target)

os.replace = move_or_die
try:
    train(replace(tiny.CONFIG, average=0.9, decay="cosine", optimizer="muon"), parts[:1], parts[1:], sys.argv[1])
except KeyboardInterrupt:
    sys.exit(130)
"""


def start(folder, dies_before=""):
    """A training in a process of its own; it kills itself before it replaces the file `dies_before`."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), dies_before],
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
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_training_stopped_at_any_moment_ends_bit_for_bit_as_if_it_had_not_been(
    pines, tmp_path, number, code
):
    config = replace(tiny.CONFIG, average=0.9, decay="cosine", optimizer="muon")
    train(config, pines[:1], pines[1:], tmp_path / "whole")
    process = start(tmp_path / "stopped")
    wait_for_batches(tmp_path / "stopped", 1)
    os.kill(process.pid, number)
    assert process.wait(60) == code
    assert not (tmp_path / "stopped" / "weights.safetensors").exists()
    train(config, pines[:1], pines[1:], tmp_path / "stopped")
    tiny.assert_same_weights(tiny.weights_of(tmp_path / "whole"), tiny.weights_of(tmp_path / "stopped"))
    assert_same_logs(tmp_path / "whole", tmp_path / "stopped")


def assert_same_logs(*folders):
    pd.testing.assert_frame_equal(
        *(pd.read_csv(folder / "log.csv").drop(columns="seconds") for folder in folders)
    )


def test_a_training_killed_between_its_last_checkpoint_and_log_has_the_whole_log_when_it_ends(
    pines, tmp_path
):
    config = replace(tiny.CONFIG, average=0.9, decay="cosine", optimizer="muon")
    assert start(tmp_path, dies_before="log.csv").wait(120) == -signal.SIGKILL
    assert len(pd.read_csv(tmp_path / "log.csv")) == 1
    train(config, pines[:1], pines[1:], tmp_path)
    assert list(pd.read_csv(tmp_path / "log.csv")["epoch"]) == [1, 2]


class Killed(BaseException):
    """What a test stops a training with, as if the process had ended there."""


def die(*_):
    raise Killed


class Parts:
    """A data set of one training and one validation scene; loading one may be where the training is killed."""

    def __init__(self, scenes, killed_at=None):
        self.scenes, self.killed_at = dict(zip(("train", "validation"), scenes, strict=True)), killed_at

    def split(self, _):
        return Split(("train",), ("validation",), ())

    def load(self, name):
        if name == self.killed_at:
            die()
        return self.scenes[name]


@pytest.fixture
def on_parts(pines, monkeypatch):
    """`train_on_split` on `Parts` with everything but the folder given."""

    def run(out, killed_at=None, config=SAVED_PER_EPOCH, **how):
        monkeypatch.setattr(on_split, "open_dataset", lambda *_: Parts(pines, killed_at))
        return train_on_split(config, "parts", "only", out, **how)

    return run


SAVED_PER_EPOCH = replace(tiny.CONFIG, checkpoint_every=3600)


def test_a_run_killed_before_any_of_its_writes_is_finished_by_the_next_call(on_parts, tmp_path, monkeypatch):
    move, written = os.replace, []

    def note(source, target):
        written.append(Path(target).name)
        move(source, target)

    monkeypatch.setattr(os, "replace", note)
    on_parts(tmp_path / "whole")
    assert written == ["checkpoint.pt", "log.csv"] * 2 + ["weights.safetensors", MANIFEST]
    for last in range(len(written)):
        count, folder = itertools.count(), tmp_path / str(last)

        def move_or_die(source, target, count=count, last=last):
            if next(count) == last:
                die()
            move(source, target)

        monkeypatch.setattr(os, "replace", move_or_die)
        with pytest.raises(Killed):
            on_parts(folder)
        monkeypatch.setattr(os, "replace", move)
        assert not (folder / MANIFEST).exists()
        on_parts(folder)
        assert set(read_manifest(folder)["files"]) == {"log.csv", "weights.safetensors"}
        tiny.assert_same_weights(tiny.weights_of(tmp_path / "whole"), tiny.weights_of(folder))
        assert_same_logs(tmp_path / "whole", folder)


def test_a_finished_run_of_an_older_program_is_left_as_it_is(on_parts, tmp_path):
    on_parts(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    del manifest["config"]["training"]["optimizer"]
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    on_parts(tmp_path)
    assert json.loads((tmp_path / MANIFEST).read_text()) == manifest


def test_a_damaged_log_of_a_finished_run_is_written_again(on_parts, tmp_path):
    on_parts(tmp_path)
    log = (tmp_path / "log.csv").read_text(encoding="utf-8")
    half = "".join(log.splitlines(keepends=True)[:2])
    (tmp_path / "log.csv").write_text(half, encoding="utf-8")
    on_parts(tmp_path)
    assert (tmp_path / "log.csv").read_text(encoding="utf-8") == log and read_manifest(tmp_path)
    (tmp_path / "log.csv").write_text(half, encoding="utf-8")
    (tmp_path / "checkpoint.pt").unlink()
    with pytest.raises(InputError, match=r"log\.csv: it was changed"):  # what it was is not known any more
        on_parts(tmp_path)


def steps_of(monkeypatch, call):
    """How many batches `call` learns from."""
    learn, batches = State.learn, []
    with monkeypatch.context() as patched:
        patched.setattr(State, "learn", lambda *of, share: batches.append(0) or learn(*of, share=share))
        call()
    return len(batches)


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("place", ["train", "validation", "state"])
def test_a_restart_killed_early_is_never_the_old_run_resumed(
    on_parts, tmp_path, monkeypatch, place, finished
):
    if finished:
        on_parts(tmp_path)
    else:
        with monkeypatch.context() as patched:
            patched.setattr(training_state, "write_text", die)
            with pytest.raises(Killed):
                on_parts(tmp_path)
    assert (tmp_path / "checkpoint.pt").exists()
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(State, "__init__", die)
        on_parts(tmp_path, killed_at=place, resume=False)
    assert not (tmp_path / "checkpoint.pt").exists()
    assert steps_of(monkeypatch, lambda: on_parts(tmp_path)) == 6  # all of them


def test_the_log_of_an_abandoned_training_is_removed_at_the_first_step(pines, tmp_path):
    train(tiny.CONFIG, pines[:1], [], tmp_path)
    (tmp_path / "checkpoint.pt").unlink()
    state = State(tiny.CONFIG, pines[:1], tmp_path, torch.device("cpu"))
    state.restore()
    assert not (tmp_path / "log.csv").exists()


def test_a_checkpoint_of_another_training_raises_and_is_named(pines, tmp_path):
    train(replace(tiny.CONFIG, epochs=1), pines[:1], [], tmp_path)
    with pytest.raises(InputError, match=r"checkpoint\.pt.*learning_rate"):
        train(replace(tiny.CONFIG, epochs=1, learning_rate=2e-3), pines[:1], [], tmp_path)
    train(replace(tiny.CONFIG, epochs=1, learning_rate=2e-3), pines[:1], [], tmp_path, resume=False)
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
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
    with pytest.raises(OSError, match="the disk is full"):
        state.save_checkpoint()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert os.listdir(tmp_path) == ["checkpoint.pt"]

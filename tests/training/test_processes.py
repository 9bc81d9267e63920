"""Data-parallel trainings of two processes, started by torchrun, against one process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import tiny
import torch
from faults.processes import wait_for
from safetensors.torch import load_file
from training.together import CASES, run

from ifmsr.errors import InputError
from ifmsr.runs import read_manifest
from ifmsr.training.processes import ALONE, Processes, joined, take_gpu
from ifmsr.training.state import State

TESTS = Path(__file__).parents[1]


def torchrun(*words):
    """Two processes of a program on this machine."""
    paths = [str(TESTS), str(TESTS.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *map(str, words)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def together(folder, *words):
    return torchrun(TESTS / "training" / "together.py", folder, *words)


def ends(process):
    """Exit code, standard output and error of a process that must not hang."""
    try:
        out, err = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends the processes that it has started
        raise
    return process.returncode, out, err


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder of all cases, trained by two processes."""
    folder = tmp_path_factory.mktemp("two")
    code, _, err = ends(together(folder, *CASES))
    assert code == 0, err
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The folder of all cases, trained by one process."""
    folder = tmp_path_factory.mktemp("one")
    for case in CASES:
        run(case, folder / case)
    return folder


def assert_same_training(a, b):
    """Losses and validation to 1e-5, and weights as far as they were stored (float16)."""
    first, second = (pd.read_csv(folder / "log.csv").drop(columns="seconds") for folder in (a, b))
    pd.testing.assert_frame_equal(first, second, rtol=1e-5, atol=0)
    ours, theirs = (load_file(folder / "weights.safetensors") for folder in (a, b))
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_learns(one, two, case):
    assert_same_training(one / case, two / case)


def test_checkpoints_do_not_depend_on_the_number_of_processes(one, two):
    def shapes(value):
        if isinstance(value, dict):
            return {name: shapes(entry) for name, entry in value.items()}
        if isinstance(value, list):
            return [shapes(entry) for entry in value]
        return tuple(value.shape) if isinstance(value, torch.Tensor) else type(value)

    for case in CASES:
        a, b = (torch.load(folder / case / "checkpoint.pt", weights_only=True) for folder in (one, two))
        assert shapes(a) == shapes(b)
        assert torch.equal(a["random"], b["random"])


def position(folder):
    """Epoch and batch of a checkpoint."""
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    return content["epoch"], content["batch"]


def tracebacks(err):
    """How many there are in a standard error besides torchrun's own."""
    return err.count("Traceback") - err.count("ChildFailedError:") - err.count("SignalException:")


def test_a_training_stopped_and_resumed_by_two_one_and_two_processes(one, tmp_path, monkeypatch):
    folder, learn = tmp_path / "batched", State.learn
    process = together(tmp_path, "batched", "stop")
    wait_for(folder / "waiting-1")
    process.terminate()  # torchrun, which passes the signal on, also to the workers of each process
    code, _, err = ends(process)
    assert code != 0 and tracebacks(err) == 0, err
    assert position(folder) == (0, 2) and not (folder / "log.csv").exists()

    def stopped(state, *batch, share):
        if (state.epoch, state.batch) == (1, 0):
            os.kill(os.getpid(), signal.SIGTERM)
        learn(state, *batch, share=share)

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(State, "learn", stopped)
        run("batched", folder)
    assert position(folder) == (1, 1)

    code, _, err = ends(together(tmp_path, "batched"))
    assert code == 0, err
    assert_same_training(one / "batched", folder)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("error", "together: sample 3: it is broken. Repair it."),
        ("death", "together: another process of this training was killed or has lost its connection."),
    ],
)
def test_a_process_that_fails_ends_all_with_one_message(tmp_path, event, message):
    code, _, err = ends(together(tmp_path, "batched", event))
    assert code == 1 and err.count("together:") == err.count(message) == 1, err
    assert tracebacks(err) == 0, err
    assert not (tmp_path / "batched" / "weights.safetensors").exists()


def test_the_command_trains_in_two_processes_and_answers_once(tmp_path):
    settings = ("options.features=4", "options.stages=1", "epochs=1", "crops_per_scene=2", "batch=2")
    words = (
        word for setting in (*settings, "steps=batched", "bands_per_step=1") for word in ("--set", setting)
    )
    split = ("--data", "indian-pines", "--split", "spatial", "--preset", "smoke", "--device", "cpu")
    code, out, err = ends(torchrun("-m", "ifmsr", "train", *split, *words, "--out", tmp_path / "run"))
    assert code == 0 and tracebacks(err) == 0, err
    assert out == f"{tmp_path / 'run' / 'weights.safetensors'}\n"
    assert set(read_manifest(tmp_path / "run")["files"]) == {"log.csv", "weights.safetensors"}


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_sample_of_a_batch_is_learned_once(count):
    for size in (1, 2, 3, 4, 16):
        batch = range(100, 100 + size)
        every = [Processes(rank, count) for rank in range(count)]
        shares = [process.share(size) for process in every]
        assert sum(shares) == pytest.approx(1)
        counted = [process.part(batch) for process, share in zip(every, shares, strict=True) if share]
        assert sorted(number for part in counted for number in part) == list(batch)
        assert all(len(process.part(batch)) >= 1 for process in every)


class Second(Processes):
    """A process whose first process has seen one batch more than it."""

    def largest(self, number):
        return number + 1


def test_a_folder_that_not_all_processes_see_is_named(tmp_path):
    state = State(tiny.CONFIG, tiny.parts(), tmp_path, torch.device("cpu"), processes=Second())
    with pytest.raises(InputError, match="another process has found a later checkpoint there"):
        state.restore()


def test_without_torchrun_a_process_is_alone():
    with joined() as processes, joined() as same:
        assert processes is same is ALONE
        assert processes.first and processes.largest(3) == 3


def test_every_process_takes_the_gpu_of_its_local_rank(monkeypatch):
    chosen = []
    for name, value in (("is_available", lambda: True), ("device_count", lambda: 4)):
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert take_gpu(None) and take_gpu("cuda") and not take_gpu("cpu")
    assert chosen == [2, 2]
    with pytest.raises(InputError, match="cuda:1 is one GPU, for 4 processes"):
        take_gpu("cuda:1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    with pytest.raises(InputError, match="8 processes on a machine with 4 GPUs"):
        take_gpu(None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not take_gpu(None)

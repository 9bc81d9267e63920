"""Small trainings, alone or by ``torchrun tests/training/together.py FOLDER CASE... [EVENT]`` in several processes."""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import tiny
import torch
from torch import nn

from ifmsr.errors import InputError, RunFailed
from ifmsr.methods import NETWORKS
from ifmsr.methods.base import CubeConfig, Network
from ifmsr.training import Patches, train
from ifmsr.training.state import State


class IdleNet(Network):
    """A network with a parameter that it never uses, as MoG-DCN has."""

    title = "Idle"

    def __init__(self, bands=31, scale=4):
        super().__init__()
        self.config = CubeConfig(bands, scale)
        self.used, self.idle = nn.Conv2d(3, bands, 3, padding=1), nn.Parameter(torch.zeros(2))

    def forward(self, lr, rgb):
        return self.used(rgb)


USUAL = replace(tiny.CONFIG, checkpoint_every=3600)
CASES = {
    "batched": {"average": 0.9, "decay": "cosine", "gradient_clip": 0.1},
    "per-band": {"crops_per_scene": 4, "steps": "per-band", "bands_per_step": 0, "optimizer": "muon"},
    "uneven": {"crops_per_scene": 7, "batch": 3},  # the last batch has one sample
    "spoiled": {"batch": 3, "optimizer": "muon"},
    "unused": {"network": "idle-net", "options": {}, "bands_per_step": 0, "optimizer": "muon"},
}
"""Name -> what differs from the usual configuration.

In ``spoiled`` one sample per epoch is NaN; in ``unused`` a parameter has no gradient.
"""


def run(case, folder, workers=0):
    """Train one of the `CASES`."""
    images = tiny.parts()
    validation = (
        [*images, images[1]] if case == "batched" else images[1:]
    )  # three scenes for two processes, or one
    make = Patches.__getitem__

    def spoiled(patches, index):
        *inputs, truth = make(patches, index)
        return *inputs, truth * torch.nan if index % len(patches) == 4 else truth

    with (
        patch.dict(NETWORKS.registered, {"idle-net": IdleNet}),
        patch.object(Patches, "__getitem__", spoiled if case == "spoiled" else make),
    ):
        config = replace(USUAL, **CASES[case])
        train(config, images[:1], validation, folder, device="cpu", workers=workers)


def wait_for_a_stop_request(folder):
    """Say that it is time for one, and wait until it has been noted."""
    noting = signal.getsignal(signal.SIGTERM)
    (folder / f"waiting-{os.environ['RANK']}").touch()
    while signal.getsignal(signal.SIGTERM) is noting:
        time.sleep(0.01)


def fail(_):
    raise InputError("sample 3", "it is broken", "Repair it")


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


EVENTS = {"stop": wait_for_a_stop_request, "error": fail, "death": die}
"""What happens in the second process before its second batch."""


def disturb(event):
    learn = State.learn

    def disturbed(state, *batch, share):
        if state.batch == 1 and os.environ["RANK"] == "1":
            EVENTS[event](state.out)
        learn(state, *batch, share=share)

    State.learn = disturbed


if __name__ == "__main__":
    folder, *words = sys.argv[1:]
    event = words.pop() if words[-1] in EVENTS else ""
    if event:
        disturb(event)
    try:
        for case in words:
            run(case, Path(folder) / case, workers=1 if event == "stop" else 0)
    except (InputError, RunFailed) as error:
        sys.exit(f"together: {error}")

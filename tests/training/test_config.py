import json
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest

from ifmsr.errors import InputError
from ifmsr.methods import NETWORKS
from ifmsr.methods.base import Network
from ifmsr.training import (
    PRESETS,
    TrainConfig,
    build_network,
)
from ifmsr.training.config import option_names, with_settings


def test_settings_are_checked():
    changed = with_settings(PRESETS["smoke"], {"epochs": 3, "learning_rate": 1, "options.features": 8})
    assert (changed.epochs, changed.options["features"]) == (3, 8)
    for settings, message in (
        ({"epoch": 3}, "epoch: there is no such setting. Did you mean epochs"),
        ({"features": 3}, "features: there is no such setting. Did you mean options.features"),
        ({"options": {}}, "options: there is no such setting"),
        ({3: 4}, "3: there is no such setting"),
        ({"epochs": "3"}, "epochs: found '3'. Give a whole number"),
        ({"steps": "all"}, "steps"),
        (
            {"options.feature": 16},
            r"options.feature: there is no such setting. Did you mean options.features\?",
        ),
        ({"options.scale": 4}, r"options.scale: there is no such setting. Did you mean scale"),
        ({"options.": 1}, r"options.: there is no such setting"),
        ({"options.features": "16"}, "options.features: found '16'. Give a whole number"),
        ({"options.features": 3}, "options.features: found 3. Give an even number"),
        ({"options.stages": 0}, "options.stages: found 0"),
        ({"options.dcfm": 1}, "options.dcfm: found 1. Give True or False"),
        ({"options.split": "befor"}, "options.split: 'befor' is unknown. Did you mean before"),
        (
            {"network": "subspace-net", "steps": "batched", "bands_per_step": 0, "options.blocks": 0},
            "options.blocks",
        ),
        (None, "settings: found None"),
    ):
        with pytest.raises(InputError, match=message):
            with_settings(PRESETS["smoke"], settings)


@pytest.mark.parametrize("name", [name for name in NETWORKS if not name.startswith("ifmsr")])
def test_options_of_every_network_are_those_of_its_configuration(name):
    with pytest.raises(InputError, match=r"options\.neighbours: there is no such setting"):
        TrainConfig(network=name, steps="batched", options={"neighbours": 3})
    names = option_names(name)
    assert not {"scale", "bands"} & set(names)
    given = {
        option: getattr(build_network(TrainConfig(network=name, steps="batched")).config, option)
        for option in names
    }
    assert build_network(TrainConfig(network=name, steps="batched", options=given)).config


@dataclass(frozen=True)
class StrangerConfig:
    """Without defaults, and with checks that raise what they like."""

    bands: int
    scale: int
    width: int

    def __post_init__(self):
        if self.width > 9:
            raise ValueError("too wide")


class Stranger(Network):
    title = "Stranger"
    config: StrangerConfig

    def __init__(self, **config):
        super().__init__()
        self.config = StrangerConfig(**config)


class Silent(Network):
    """It does not say what its configuration is."""

    title = "Silent"

    def __init__(self, bands=31, scale=4, width=3):
        super().__init__()
        self.config = StrangerConfig(bands, scale, width)


def test_options_of_other_networks_are_checked_as_far_as_they_are_annotated(monkeypatch):
    monkeypatch.setitem(NETWORKS.registered, "stranger", Stranger)
    monkeypatch.setitem(NETWORKS.registered, "silent", Silent)
    whole = TrainConfig(network="stranger", steps="batched", options={"width": 3})
    assert build_network(whole, 5).config == StrangerConfig(5, 4, 3)
    for options, message in (
        ({"widht": 3}, "options.widht: there is no such setting. Did you mean options.width"),
        ({"width": 10}, "options: stranger does not accept them .too wide"),
        ({}, "options: stranger does not accept them .*width"),
    ):
        with pytest.raises(InputError, match=message):
            replace(whole, options=options)
    with pytest.raises(InputError, match=r"options: silent does not accept them .*widht"):
        build_network(TrainConfig(network="silent", steps="batched", options={"widht": 3}))


FRACTIONS = (
    "learning_rate",
    "decay_by",
    "beta2",
    "weight_decay",
    "gradient_clip",
    "average",
    "checkpoint_every",
)

CHOICES = ("network", "optimizer", "decay", "steps", "degradation", "alignment", "precision")

ANY = (None, object(), np.zeros(3), b"a", np.nan, np.inf, -1, 2.5)

WRONG = {
    **dict.fromkeys(
        (field.name for field in fields(TrainConfig)), (*ANY, [], {}, "4", True)
    ),  # whole numbers
    **dict.fromkeys(
        FRACTIONS, (None, object(), np.zeros(3), b"a", np.nan, np.inf, -np.inf, -1, [], {}, "4", True)
    ),
    **dict.fromkeys(CHOICES, (*ANY, [], {}, "other", "")),
    "seed": (*ANY, 2**63),
    "start": (*ANY, [], {}),
    "augment": (*ANY, [], {}, 0, 1, "yes"),
    "options": (*ANY, [], "features", {3: 4}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_that_a_field_cannot_have_is_named(name):
    for value in WRONG[name]:
        with pytest.raises(InputError, match=name):
            TrainConfig(**{name: value})


def test_whole_floats_and_numpys_numbers_are_numbers():
    found = TrainConfig(
        scale=np.int64(8),
        epochs=3.0,
        seed=np.uint8(7),
        learning_rate=1,
        beta2=np.float32(0.5),
        augment=np.True_,
    )
    assert found == TrainConfig(scale=8, epochs=3, seed=7, learning_rate=1.0, beta2=0.5, augment=True)
    assert [type(value) for value in (found.scale, found.epochs, found.seed)] == [int] * 3
    assert type(found.learning_rate) is type(found.beta2) is float
    json.dumps(found.identity())  # as manifests hold it
    assert TrainConfig(options={"features": 16.0}).schedule(1) == TrainConfig(
        options={"features": 16}
    ).schedule(1)


def test_the_schedule_names_an_optimiser_other_than_the_papers():
    plain, changed = TrainConfig(), TrainConfig(optimizer="muon", average=0.9)
    assert changed.schedule(24) == plain.schedule(24) + ", Muon, EMA 0.9"


def test_the_schedule_names_the_networks_options():
    plain, changed = TrainConfig(), TrainConfig(options={"features": 4, "stages": 1})
    assert changed.schedule(24) == plain.schedule(24) + ", features 4, stages 1"

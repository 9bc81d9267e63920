import json
from dataclasses import replace

import pytest

from ifmsr.errors import InputError
from ifmsr.experiments.cards import measured, ship
from ifmsr.files import sha256
from ifmsr.inference.api import load_method
from ifmsr.methods.bicubic import Bicubic
from ifmsr.paths import WEIGHTS
from ifmsr.study.evaluation import Task, evaluate
from ifmsr.training import PRESETS, train_on_split
from ifmsr.weights import load_weights

TASK = Task("indian-pines", "spatial", side=48)


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    config = replace(
        PRESETS["smoke"], options={"features": 2}, epochs=1, crops_per_scene=2, batch=2, bands_per_step=1
    )
    folder = tmp_path_factory.mktemp("training")
    train_on_split(config, "indian-pines", "spatial", folder)
    return folder


def test_shipped_weights_say_where_they_come_from_and_are_checked_when_read(training, tmp_path):
    methods = {"ifmsr": load_method("ifmsr", 4, training / "weights.safetensors"), "bicubic": Bicubic()}
    rows = evaluate(TASK, methods, tmp_path / "e").set_index("method")
    card = json.loads(ship(training, [tmp_path / "e"], tmp_path / "weights").read_text())
    assert card["dataset"] == "indian-pines" and card["scenes"] == ["train"] and card["training"]["seed"] == 0
    (line,) = card["measured"]
    assert line["method"] == "IFMSR"
    assert line["PSNR"] == pytest.approx(rows.loc["ifmsr", "PSNR"], abs=1e-4)
    weights = tmp_path / "weights" / "ifmsr-x4.safetensors"
    load_weights(weights)
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="SHA-256"):
        load_weights(weights)


def test_an_evaluation_of_other_weights_raises(training, tmp_path):
    evaluate(TASK, {"bicubic": Bicubic()}, tmp_path)
    with pytest.raises(InputError, match="no row of the weights"):
        ship(training, [tmp_path], tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("path", sorted(WEIGHTS.glob("*.safetensors")), ids=lambda path: path.name)
def test_every_shipped_file_has_a_card_and_loads(path):
    card = json.loads(path.with_suffix(".json").read_text())
    net, metadata = load_weights(path)
    assert metadata["schedule"] == card["schedule"]
    assert sum(parameter.numel() for parameter in net.parameters()) == card["parameters"]
    assert {"dataset", "split", "training", "git", "measured"} <= card.keys()


def test_a_card_names_every_method_that_works_with_the_weights(tmp_path):
    fusion, adapted, other = Bicubic(), Bicubic(), Bicubic()
    fusion.fingerprint, adapted.fingerprint, other.fingerprint = "0123456789ab", "0123456789ab+1500s0", "ba98"
    evaluate(TASK, {"ual-fusion": fusion, "ual": adapted, "mog-dcn": other}, tmp_path)
    assert {line["method"] for line in measured(tmp_path, "0123456789ab" + "c" * 52)} == {
        "UAL (fusion only)",
        "UAL",
    }


def test_the_shipped_files_take_less_than_80_megabytes():
    assert sum(path.stat().st_size for path in WEIGHTS.glob("*.safetensors")) < 80e6


def test_a_card_says_which_weights_the_training_started_from(training, tmp_path):
    start = training / "weights.safetensors"
    config = replace(
        PRESETS["smoke"], options={"features": 2}, epochs=1, crops_per_scene=2, batch=2, bands_per_step=1,
        start=str(start),
    )  # fmt: skip
    tuned = train_on_split(config, "indian-pines", "spatial", tmp_path / "tuned")
    evaluate(TASK, {"ifmsr": load_method("ifmsr", 4, tuned)}, tmp_path / "e")
    card = ship(tmp_path / "tuned", [tmp_path / "e"], tmp_path / "weights")
    assert json.loads(card.read_text())["training"]["start_sha256"] == sha256(start)
    manifest = json.loads((tmp_path / "tuned" / "manifest.json").read_text())
    manifest["data"] = {
        name: digest for name, digest in manifest["data"].items() if name in ("train", "validation")
    }
    (tmp_path / "tuned" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"does not say what .* held"):
        ship(tmp_path / "tuned", [tmp_path / "e"], tmp_path / "again")
    assert not (tmp_path / "again").exists()

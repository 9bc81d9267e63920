from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from safetensors.torch import load_file

from ifmsr.errors import InputError
from ifmsr.inference.api import load_method
from ifmsr.runs import read_manifest
from ifmsr.scenes import Scene
from ifmsr.training import (
    TrainConfig,
    train,
    train_in_stages,
    train_on_split,
)


def test_a_run_on_a_split_is_finished_once(tmp_path):
    config = replace(tiny.CONFIG, epochs=1, crops_per_scene=2, bands_per_step=1)
    weights = train_on_split(config, "indian-pines", "spatial", tmp_path)
    manifest = (tmp_path / "manifest.json").read_text()
    assert '"train"' in manifest and '"test"' not in manifest
    assert set(read_manifest(tmp_path)["data"]) == {"train", "validation"}
    assert train_on_split(config, "indian-pines", "spatial", tmp_path) == weights
    with pytest.raises(InputError, match="other seed"):
        train_on_split(replace(config, seed=1), "indian-pines", "spatial", tmp_path)
    assert (tmp_path / "manifest.json").read_text() == manifest
    with pytest.raises(InputError, match="other scenes"):
        train(config, [Scene("elsewhere", tiny.parts()[0].cube)], [], tmp_path)
    assert (tmp_path / "manifest.json").read_text() == manifest
    before = load_file(weights)
    weights.unlink()  # as in a clone: weights of a training are not committed
    tiny.assert_same_weights(load_file(train_on_split(config, "indian-pines", "spatial", tmp_path)), before)


def test_a_finished_run_is_left_as_it_is_where_its_precision_cannot_be_computed_in(tmp_path, monkeypatch):
    config = replace(tiny.CONFIG, epochs=1, crops_per_scene=2, bands_per_step=1, precision="bfloat16")
    monkeypatch.setattr(TrainConfig, "on", lambda config, device: config)
    weights = train_on_split(config, "indian-pines", "spatial", tmp_path)
    manifest = (tmp_path / "manifest.json").read_text()
    monkeypatch.setattr(TrainConfig, "on", lambda config, device: replace(config, precision="float32"))
    assert train_on_split(config, "indian-pines", "spatial", tmp_path) == weights
    assert (tmp_path / "manifest.json").read_text() == manifest


def test_stages_widen_one_network_and_finished_ones_are_not_repeated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # `start` must be found from any folder
    narrow = replace(tiny.CONFIG, epochs=1, crops_per_scene=2, bands_per_step=1)
    wide = replace(narrow, options={"features": 8, "stages": 1}, learning_rate=0)
    weights = train_in_stages([narrow, wide], "indian-pines", "spatial", "out", root=None)
    assert weights == Path("out/weights.safetensors")
    before, after = (load_method("ifmsr", 4, path) for path in ("out/stage-1/weights.safetensors", weights))
    assert after.net.config.features == 8
    observation = tiny.few_bands(4, known=True)
    half_precision = 1e-3  # of the stored weights
    np.testing.assert_allclose(after(observation), before(observation), atol=half_precision)
    manifests = [Path("out/stage-1/manifest.json"), Path("out/manifest.json")]
    times = [path.stat().st_mtime_ns for path in manifests]
    assert read_manifest("out")["config"]["training"]["start"].endswith("out/stage-1/weights.safetensors")
    train_in_stages([narrow, wide], "indian-pines", "spatial", "out", root=None)
    assert [path.stat().st_mtime_ns for path in manifests] == times
    with pytest.raises(InputError, match="stages"):
        train_in_stages([], "indian-pines", "spatial", "out")

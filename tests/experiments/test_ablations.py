from dataclasses import replace

import pandas as pd
import pytest

from ifmsr.cli import main
from ifmsr.errors import InputError
from ifmsr.experiments.ablations import FULL, VARIANTS, Variant, ablate, configuration
from ifmsr.methods.ifmsr.network import IFMSR, IFMSRConfig
from ifmsr.runs import read_manifest
from ifmsr.training import PRESETS
from ifmsr.training.config import TrainConfig, with_settings

TINY = {"epochs": 1, "crops_per_scene": 8, "options.features": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("ablations")
    names = [FULL, "none", "centred", "per-band steps"]
    base = with_settings(PRESETS["smoke"], TINY)
    return ablate(base, names, "indian-pines", "spatial", out, side=48), out


def test_the_manifest_names_the_precision_that_was_computed_in(tmp_path, monkeypatch):
    base = with_settings(PRESETS["smoke"], {**TINY, "precision": "bfloat16"})
    monkeypatch.setattr(TrainConfig, "on", lambda config, device: replace(config, precision="float32"))
    ablate(base, ["none"], "indian-pines", "spatial", tmp_path, side=48)
    assert read_manifest(tmp_path)["config"]["base"]["precision"] == "float32"


def test_every_variant_differs_from_the_full_network_in_what_its_name_says():
    base = PRESETS["ablation"]
    for name, variant in VARIANTS.items():
        config = configuration(base, variant, bands=31)
        changed = {key for key, value in config.identity().items() if value != base.identity()[key]}
        meant = {key.partition(".")[0] for key in variant.changes}
        assert changed - {"crops_per_scene"} == meant, name


def test_the_default_is_the_released_network_but_for_its_width():
    options = PRESETS["ablation"].options
    assert IFMSRConfig(**options) == IFMSRConfig(features=options["features"])


def test_every_variant_can_be_built():
    for variant in VARIANTS.values():
        options = {key.removeprefix("options."): v for key, v in variant.changes.items() if "options." in key}
        IFMSR(IFMSRConfig(**(options | {"features": 2})))


def test_one_step_per_band_uses_as_many_bands_of_patches():
    base = PRESETS["ablation"]
    config = configuration(base, VARIANTS["per-band steps"], bands=31)
    seen = config.crops_per_scene * 31
    assert seen == pytest.approx(base.crops_per_scene * base.bands_per_step, rel=0.5)


def test_the_table_has_what_was_trained_and_measured(finished):
    table, out = finished
    table = table.set_index("variant")
    assert table.loc["none", "parameters"] < table.loc[FULL, "parameters"]
    assert table.loc["none", "difference"] == pytest.approx(
        table.loc["none", "PSNR"] - table.loc[FULL, "PSNR"]
    )
    assert table.loc[FULL, "difference"] == 0 and pd.isna(table.loc["centred", "difference"])
    assert table.loc["per-band steps", "steps"] == 200 and table.loc[FULL, "patch_bands"] == 32
    rows = pd.read_csv(out / "evaluation-released" / "rows.csv").set_index("method")
    assert table.loc["none", "PSNR"] == rows.loc["none", "PSNR"]
    assert read_manifest(out)["config"]["base"]["options"] == {"features": 2}


def test_every_variant_is_trained_with_every_seed_and_compared_with_the_full_network_of_its_seed(
    tmp_path, capsys
):
    out = tmp_path / "seeds"
    command = "ablations --data indian-pines --split spatial --preset smoke --side 48"
    variants = ["--variant", FULL, "--variant", "none", "--variant", "seed 1"]
    sets = [word for setting in TINY.items() for word in ("--set", "{}={}".format(*setting))]
    assert main([*command.split(), *variants, *sets, "--seeds", "3", "5", "--out", str(out)]) == 0
    table = pd.read_csv(out / "ablations.csv")
    assert list(zip(table["variant"], table["seed"], strict=True)) == [
        (FULL, 3), ("none", 3), (FULL, 5), ("none", 5)
    ]  # fmt: skip
    for seed, rows in table.groupby("seed"):
        full, none = rows["PSNR"]
        assert rows["difference"].tolist() == pytest.approx([0, none - full], abs=1e-4), seed
    assert table["PSNR"].nunique() == 4
    assert {path.parent.name for path in out.glob("*/weights.safetensors")} == {
        "full", "none", "full-seed-5", "none-seed-5"
    }  # fmt: skip


def test_a_second_run_trains_nothing_and_returns_the_same(finished):
    table, out = finished
    before = (out / "full" / "weights.safetensors").stat().st_mtime_ns
    again = ablate(
        with_settings(PRESETS["smoke"], TINY), list(table["variant"]), "indian-pines", "spatial", out, side=48
    )
    pd.testing.assert_frame_equal(again, table)
    assert (out / "full" / "weights.safetensors").stat().st_mtime_ns == before


def test_unknown_variants_raise_before_any_training(tmp_path, capsys):
    with pytest.raises(InputError, match="there is no half"):
        ablate(PRESETS["smoke"], ["half"], "indian-pines", "spatial", tmp_path)
    assert not any(tmp_path.iterdir())
    command = ["ablations", "--data", "indian-pines", "--split", "spatial", "--out", str(tmp_path)]
    assert main([*command, "--preset", "smoke", "--set", "epoch=3"]) == 2
    assert "epoch" in capsys.readouterr().err


def test_variants_that_are_another_seed_alone_leave_nothing_to_train_with_seeds(tmp_path):
    with pytest.raises(InputError, match="only differ in their seed"):
        ablate(PRESETS["smoke"], ["seed 1"], "indian-pines", "spatial", tmp_path, seeds=(0, 1))


def test_own_variants_are_trained_by_name_and_bad_names_refused(tmp_path):
    base = with_settings(PRESETS["smoke"], TINY)
    mine = {FULL: Variant("parts"), "no filters": Variant("own", {"options.rde": False})}
    table = ablate(base, mine, "indian-pines", "spatial", tmp_path, side=48).set_index("variant")
    assert list(table.index) == list(mine) and list(table["question"]) == ["parts", "own"]
    assert table.loc["no filters", "parameters"] < table.loc[FULL, "parameters"]
    assert read_manifest(tmp_path / "no-filters")["config"]["training"]["options"]["rde"] is False
    for names, problem in ((["../up"], "cannot be the name"), (["a b", "a-b"], "share a folder")):
        with pytest.raises(InputError, match=problem):
            ablate(base, dict.fromkeys(names, Variant("own")), "indian-pines", "spatial", tmp_path / "bad")
    assert not (tmp_path / "bad").exists()

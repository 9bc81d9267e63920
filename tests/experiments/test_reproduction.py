import pandas as pd
import pytest

from ifmsr.cli import main
from ifmsr.errors import InputError
from ifmsr.experiments import cards
from ifmsr.experiments.reproduction import PROTOCOL, distance, reproduce
from ifmsr.files import sha256
from ifmsr.inference.api import load_method
from ifmsr.methods import NETWORKS
from ifmsr.paths import WEIGHTS
from ifmsr.study.evaluation import Task, evaluate
from ifmsr.study.names import DIGITS
from ifmsr.training import PRESETS, preset, train_on_split
from ifmsr.training.config import with_settings

TASK = Task("indian-pines", "spatial", side=48)
TINY = {"epochs": 1, "crops_per_scene": 2, "batch": 2, "options.features": 2}


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """An evaluation of a training-free method, a shipped network and a network without weights."""
    out = tmp_path_factory.mktemp("committed")
    config = with_settings(PRESETS["smoke"], TINY)
    own = train_on_split(config, "indian-pines", "spatial", out / "training")
    methods = {name: load_method(name, 4) for name in ("bicubic", "subspace-net")}
    evaluate(TASK, methods | {"ifmsr": load_method("ifmsr", 4, own)}, out)
    return out


def test_the_same_numbers_come_out_again(committed, tmp_path):
    done = reproduce(committed, tmp_path)
    assert set(done.distance.index) == {"bicubic", "subspace-net"}
    assert (done.distance < 1e-6).all(axis=None)
    assert list(done.left_out) == ["ifmsr"] and "not shipped" in done.left_out["ifmsr"]
    names = {path.name for path in done.files}
    assert {"table4.csv", "table4.md", "differences.csv", "figure4.png", "figure5.png"} <= names
    assert all(path.exists() for path in done.files)


def test_some_of_the_methods_can_be_chosen(committed, tmp_path):
    done = reproduce(committed, tmp_path, only=["bicubic"])
    assert list(done.distance.index) == ["bicubic"] and not done.left_out
    with pytest.raises(InputError, match="no gsa in"):
        reproduce(committed, tmp_path, only=["gsa"])


def test_training_from_nothing_fills_the_row_that_was_left_out(committed, tmp_path):
    settings = {"epochs": 1, "crops_per_scene": 1, "batch": 1}
    only = tmp_path / "only-ifmsr"
    evaluate(TASK, {"ifmsr": load_method("ifmsr", 4)}, only)
    done = reproduce(only, tmp_path / "out", train=True, settings=settings | {"options.features": 2})
    assert not done.left_out and (tmp_path / "out" / "training-ifmsr" / "manifest.json").exists()
    assert done.rows["weights"][0] != pd.read_csv(only / "rows.csv")["weights"][0]
    assert done.rows["schedule"][0].startswith("fine-tuned from stage-3: 1 epochs x 1 scenes x 1 patches")
    assert done.distance.loc["ifmsr", "PSNR"] > 1


def test_the_distance_is_the_largest_of_all_scenes_and_of_common_rows_only():
    def rows(*values):
        return pd.DataFrame(
            [
                {"scene": scene, "seed": 0, "method": method} | dict.fromkeys(DIGITS, value)
                for scene, method, value in values
            ]
        )

    apart = distance(
        rows(("x", "a", 1.0), ("y", "a", 5.0), ("x", "b", 0.0)), rows(("x", "a", 1.5), ("y", "a", 3.0))
    )
    assert list(apart.index) == ["a"] and apart.loc["a", "SAM"] == 2.0


def test_shipped_weights_are_found_by_their_fingerprint():
    path = WEIGHTS / "ifmsr-x4.safetensors"
    assert cards.find(sha256(path)[:12]) == path
    assert cards.find("0123456789ab") is None and cards.find("") is None


def test_every_network_has_a_preset_of_the_papers_protocol():
    for network in NETWORKS:
        config = preset(PROTOCOL.get(network, network))
        degradation = "test" if network == "ifmsr-test-family" else "train"
        assert (config.network, config.degradation, config.alignment) == (network, degradation, "released")


def test_bad_input_is_said(tmp_path, capsys):
    with pytest.raises(InputError, match=r"task\.json"):
        reproduce(tmp_path, tmp_path / "out")
    assert main(["reproduce", str(tmp_path), "--scale", "4"]) == 2
    assert "table4 only" in capsys.readouterr().err
    assert main(["reproduce", "table4", "--set", "epochs=1"]) == 2
    assert "--train" in capsys.readouterr().err
    assert main(["reproduce", "table4", "--data", "chikusei", "--out", str(tmp_path)]) == 2
    assert "chikusei-x4" in capsys.readouterr().err


def test_the_command_prints_what_differs(committed, tmp_path, capsys):
    assert main(["reproduce", str(committed), "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "largest difference" in out and "left out: ifmsr" in out

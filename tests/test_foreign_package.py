"""Another package adds a data set, a network and a method by entry points."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from strangers import DATA_SET

from ifmsr.paths import ROOT

FILES = {
    "foreign/__init__.py": "",
    "foreign/data.py": DATA_SET,
    "foreign/net.py": """
import torch
import torch.nn.functional as F
from ifmsr.methods import CubeConfig, Network

class OneLayer(Network):
    title = "One layer"

    def __init__(self, bands=31, scale=4):
        super().__init__()
        self.config = CubeConfig(bands, scale)
        self.conv = torch.nn.Conv2d(bands + 3, bands, 3, padding=1)

    def forward(self, lr, rgb):
        up = F.interpolate(lr, scale_factor=self.config.scale, mode="bicubic")
        return up + self.conv(torch.cat([up, rgb], dim=1))
""",
    "foreign/method.py": """
class Repeated:
    title, schedule = "Repeated pixels", ""

    def __call__(self, observation):
        return observation.lr.repeat(observation.scale, axis=1).repeat(observation.scale, axis=2)
""",
    "foreign-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n",
    "foreign-1.0.dist-info/entry_points.txt": """
[ifmsr.datasets]
stripes = foreign.data:Stripes

[ifmsr.networks]
one-layer = foreign.net:OneLayer

[ifmsr.methods]
repeated = foreign.method:Repeated
""",
}


@pytest.fixture
def python(tmp_path):
    """Run Python, with the foreign package installed, in an empty folder; returns what it prints."""
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    for name, content in FILES.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=here, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


SHIP = """
import sys
from ifmsr.experiments.cards import ship
from ifmsr.inference.api import load_method
card = ship(sys.argv[1], [sys.argv[2]], folder=sys.argv[3])
print(card.name, load_method("one-layer", 4, card.with_suffix(".safetensors")).title)
"""


def test_it_is_trained_evaluated_tabled_and_shipped_by_name(python, tmp_path):
    training, evaluation = tmp_path / "training", tmp_path / "evaluation"
    where = ("--data", "stripes", "--split", "only", "--scale", 4)
    settings = [("--set", setting) for setting in ("epochs=2", "crops_per_scene=4", "batch=2")]
    train = ("train", *where, "--preset", "one-layer", *sum(settings, ()), "--out", training)
    weights = python("-m", "ifmsr", *train).strip()
    log = pd.read_csv(training / "log.csv")
    assert log["step"].tolist() == [2, 4] and log["loss"].notna().all()

    methods = [word for name in ("bicubic", "repeated", "one-layer") for word in ("--method", name)]
    python("-m", "ifmsr", "evaluate", *where, *methods, "--weights", weights, "--out", evaluation)
    rows = pd.read_csv(evaluation / "rows.csv").set_index("method")
    assert set(rows.index) == {"bicubic", "repeated", "one-layer"} and (rows["PSNR"] > 5).all()
    assert rows.loc["one-layer", "schedule"].startswith("2 epochs x 1 scenes x 4 patches")

    python("-m", "ifmsr", "tables", evaluation, "--out", tmp_path)
    table = (tmp_path / "table4.md").read_text()
    assert "**Stripes x4**" in table and "| Bicubic | One layer | Repeated pixels |" in table
    assert "Ours, One layer: 2 epochs" in table

    shipped = tmp_path / "weights"
    assert python("-c", SHIP, training, evaluation, shipped) == "one-layer-x4.json One layer\n"
    card = json.loads((shipped / "one-layer-x4.json").read_text())
    assert card["measured"][0]["method"] == "One layer" and card["dataset"] == "stripes"

import subprocess
import sys

import pytest

from ifmsr.errors import InputError
from ifmsr.paths import ROOT
from ifmsr.scenes import DATASETS, Scene, open_dataset


def test_every_data_set_has_a_name_and_a_source():
    assert list(DATASETS) == ["cave", "harvard", "chikusei", "worldview2", "indian-pines"]
    for name, kind in DATASETS.items():
        assert kind.name == name and kind.bands > 3 and kind.published > 0 and len(kind.obtain) > 20


def test_unknown_data_set_lists_the_known():
    with pytest.raises(InputError, match="cave, harvard"):
        open_dataset("pavia")


def test_the_data_root_is_used_where_no_root_is_given(cave_root, monkeypatch, tmp_path):
    monkeypatch.setenv("IFMSR_DATA", str(cave_root.parent))
    assert open_dataset("cave").root == cave_root
    monkeypatch.setenv("IFMSR_DATA", str(tmp_path))
    with pytest.raises(InputError, match=str(tmp_path / "cave")):
        open_dataset("cave")


def test_scenes_of_the_default_split_load(cave_root, worldview2_file):
    for name, root in [("cave", cave_root), ("worldview2", worldview2_file.parent), ("indian-pines", None)]:
        data = open_dataset(name, root)
        for scene_name in data.split(data.default_split).test[:2]:
            scene = data.load(scene_name, window=(0, 0, 16, 24))
            assert isinstance(scene, Scene)
            assert scene.cube.shape == (data.bands, 16, 24) and scene.rgb().shape == (3, 16, 24)


def test_importing_the_scenes_stays_light():
    """Neither the network nor the example data are loaded before they are needed."""
    program = "import sys, ifmsr.scenes; print(*{'tensorly', 'requests', 'spectral'} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert found == ""

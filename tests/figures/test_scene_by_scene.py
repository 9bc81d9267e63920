import numpy as np
import pandas as pd

from ifmsr.figures import scene_figure
from ifmsr.paths import RESULTS
from ifmsr.study.names import DIGITS
from ifmsr.study.rows import read_rows


def test_every_method_and_every_scene_of_the_committed_table_is_shown():
    rows = read_rows([RESULTS / "cave-x4", RESULTS / "cave-x8"])
    drawn = scene_figure(rows)
    assert len(drawn.axes) == 4
    for ax, (scale, metric) in zip(
        drawn.axes, [(4, "PSNR"), (4, "SAM"), (8, "PSNR"), (8, "SAM")], strict=True
    ):
        own = rows[rows["scale"] == scale]
        assert {label.get_text() for label in ax.get_yticklabels()} == set(own["method"])
        scenes = [label.get_text() for label in ax.get_xticklabels()]
        assert set(scenes[:-2]) == set(own["scene"]) and scenes[-2:] == ["mean", "paper"]
        assert f"x{scale}: {metric}" in ax.get_title()


def test_numbers_stand_where_their_method_and_scene_are_and_the_best_is_first():
    cells = {
        ("Bicubic", "face"): 30.0,
        ("Bicubic", "hairs"): 32.0,
        ("IFMSR", "face"): 40.0,
        ("IFMSR", "hairs"): 41.0,
    }
    rows = pd.DataFrame(
        [
            {"dataset": "CAVE", "scale": 4, "split": "figure4", "alignment": "released", "preset": "test"}
            | {"side": 0, "schedule": "", "method": method, "scene": scene, "seed": seed}
            | dict.fromkeys(DIGITS, value + change)
            for (method, scene), value in cells.items()
            for seed, change in ((0, -1.0), (1, 1.0))
        ]
    )
    psnr, sam = scene_figure(rows).axes

    def shown(ax):
        texts = {tuple(reversed(text.get_position())): text.get_text() for text in ax.texts}
        return np.array([[texts[row, column] for column in range(4)] for row in range(2)])

    assert [label.get_text() for label in psnr.get_yticklabels()] == ["IFMSR", "Bicubic"]
    assert [label.get_text() for label in psnr.get_xticklabels()] == ["face", "hairs", "mean", "paper"]
    assert shown(psnr).tolist() == [["40.0", "41.0", "40.5", "44.6"], ["30.0", "32.0", "31.0", ""]]
    assert [label.get_text() for label in sam.get_yticklabels()] == ["Bicubic", "IFMSR"]
    image = psnr.get_images()[0]
    brightness = image.cmap(image.norm(image.get_array()))[..., :3].sum(-1)
    assert brightness[0].min() > brightness[1].max()
    assert sam.get_images()[0].cmap.name == "cividis_r"

"""Curves of trainings."""

import numpy as np
import pytest

from ifmsr import figures
from ifmsr.cli import main
from ifmsr.errors import InputError


def test_the_learning_curves_of_a_folder_have_one_line_per_training(tmp_path):
    for name, lines in {"a": ["30,40", "60,41"], "deep/b": ["90,39.5", "120,"]}.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "log.csv").write_text("\n".join(["seconds,val_psnr", *lines]) + "\n")
    [ax] = figures.learning_curves(tmp_path).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in ax.get_lines()}
    assert lines == {"a": [[0.5, 40], [1, 41]], "deep/b": [[1.5, 39.5]]}
    assert main(["runs", str(tmp_path), "--curves", str(tmp_path / "curves")]) == 0
    assert (tmp_path / "curves.png").is_file()
    with pytest.raises(InputError, match="no training in it"):
        figures.learning_curves(tmp_path / "nowhere")


def test_the_training_curve_follows_the_log(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text(
        "epoch,step,lr,loss,val_psnr,seconds\n1,10,1e-4,0.3,,1\n2,20,1e-4,0.2,31.5,1\n3,30,5e-5,0.1,33,1\n"
    )
    loss, psnr = figures.training_curve(log).axes
    curve, halved = loss.get_lines()
    np.testing.assert_array_equal(curve.get_xydata(), [[1, 0.3], [2, 0.2], [3, 0.1]])
    assert halved.get_xdata()[0] == 3
    np.testing.assert_array_equal(psnr.get_lines()[0].get_xydata(), [[2, 31.5], [3, 33]])

    for content, problem in {"epoch,lr\n": "no columns", "epoch,lr,loss,val_psnr\n": "no epoch"}.items():
        log.write_text(content)
        with pytest.raises(InputError, match=problem):
            figures.training_curve(log)
    with pytest.raises(InputError, match="not a training log"):
        figures.training_curve(tmp_path / "nowhere.csv")

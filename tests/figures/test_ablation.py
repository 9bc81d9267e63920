import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from ifmsr.errors import InputError
from ifmsr.figures import ablation_figure
from ifmsr.paths import RESULTS


def test_every_variant_is_a_line_and_equal_trainings_span_the_band():
    table = pd.read_csv(RESULTS / "ablations" / "ablations.csv")
    psnr, sam, seconds = ablation_figure(table).axes
    dots, means = psnr.collections
    assert len(means.get_offsets()) == 0
    np.testing.assert_allclose(dots.get_offsets()[:, 0], table["PSNR"])
    equal = table["variant"].isin(["full", "seed 1", "seed 2"]).to_numpy()
    assert equal.sum() == 3
    colours = {tuple(colour) for colour in dots.get_facecolors()[equal]}
    assert colours == {to_rgba("#D55E00")}
    assert colours.isdisjoint({tuple(colour) for colour in dots.get_facecolors()[~equal]})
    for ax, column in ((psnr, "PSNR"), (sam, "SAM")):
        (band,) = ax.patches
        assert band.get_x() == table.loc[equal, column].min()
        assert band.get_x() + band.get_width() == pytest.approx(table.loc[equal, column].max())
    assert len(seconds.patches) == 0
    lowest, highest = psnr.get_ylim()
    assert (lowest, highest) == (len(table) - 0.5, -0.5)  # the dots of the first and the last lie inside
    assert [ax.get_xlabel() for ax in (psnr, sam, seconds)] == [
        "PSNR (dB)\nright is better",
        "SAM (degrees)\nleft is better",
        "Training time (seconds)\nleft is better",
    ]


def test_seeds_of_a_variant_share_a_line_with_a_bar_at_their_mean():
    rows = [("parts", variant, psnr, 3.0, 1.0) for variant in ("full", "none") for psnr in (30.0, 32.0)]
    table = pd.DataFrame(rows, columns=["question", "variant", "PSNR", "SAM", "training_seconds"])
    psnr = ablation_figure(table).axes[0]
    dots, bars = psnr.collections
    np.testing.assert_allclose(dots.get_offsets()[:, 1], [0, 0, 1, 1])
    np.testing.assert_allclose(bars.get_offsets(), [(31, 0), (31, 1)])
    assert psnr.get_ylim() == (1.5, -0.5)
    assert [band.get_width() for band in psnr.patches] == [2]


def test_a_table_without_seeds_has_no_band_and_other_tables_raise():
    row = {"question": "parts", "variant": "none", "PSNR": 30.0, "SAM": 3.0, "training_seconds": 1.0}
    assert all(len(ax.patches) == 0 for ax in ablation_figure(pd.DataFrame([row])).axes)
    with pytest.raises(InputError, match="no column SAM"):
        ablation_figure(pd.DataFrame([row]).drop(columns="SAM"))
    with pytest.raises(InputError, match="no row"):
        ablation_figure(pd.DataFrame(columns=list(row)))

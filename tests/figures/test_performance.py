from itertools import combinations

import pandas as pd
import pytest

from ifmsr.errors import InputError
from ifmsr.figures import cost_figure, scaling_figure
from ifmsr.figures.style import SMALL_FONT
from ifmsr.paths import RESULTS
from ifmsr.study import read_rows, summary


def test_scaling_figure_draws_every_row(tmp_path):
    rows = pd.DataFrame(
        {
            "maps": ["in memory", "in memory", "in files"],
            "megapixels": [0.25, 1.0, 1.0],
            "seconds_per_band": [1.0, 4.0, 5.0],
            "peak_mb": [500, 2000, 300],
        }
    )
    rows.to_csv(tmp_path / "scaling.csv", index=False)
    time, memory = scaling_figure(tmp_path / "scaling.csv").axes
    assert [line.get_label() for line in time.lines] == ["maps in memory", "maps in files"]
    assert [list(line.get_ydata()) for line in time.lines] == [[1.0, 4.0], [5.0]]
    assert [list(line.get_ydata()) for line in memory.lines] == [[500, 2000], [300]]


def test_other_tables_raise(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for name in ("other.csv", "missing.csv"):
        with pytest.raises(InputError, match="no table of scaling"):
            scaling_figure(tmp_path / name)


def labels_of(figure):
    """(axes, names, boxes of the points and of the names) of a drawn figure of cost."""
    figure.draw_without_rendering()
    (ax,) = figure.axes
    names = ax.texts
    return ax, names, [name.get_window_extent() for name in names]


def check_names(figure, expected):
    ax, names, boxes = labels_of(figure)
    assert [name.get_text() for name in names] == list(expected)
    inside = ax.get_window_extent()
    ticks = [*ax.get_xticklabels(which="both"), *ax.get_yticklabels(which="both")]
    assert {tick.get_fontsize() for tick in ticks if tick.get_text()} == {SMALL_FONT}
    for box in boxes:
        assert inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
    (points,) = ax.get_lines()
    for x, y in ax.transData.transform(points.get_xydata()):
        assert inside.x0 < x < inside.x1 and inside.y0 < y < inside.y1
        assert not any(box.contains(x, y) for box in boxes)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_every_method_of_table_iv_lies_inside_the_axes_with_its_name():
    table = summary(read_rows([RESULTS / "cave-x4"]))
    figure = cost_figure(table, "seconds", "PSNR")
    check_names(figure, table.index)
    (ax,) = figure.axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Seconds", "PSNR (dB)")


def test_names_of_points_at_the_same_place_and_at_the_edges_stay_apart():
    names = ("MoG-DCN", "UAL (fusion only)", "IFMSR, test family", "A")
    table = pd.DataFrame(
        {"parameters": [7.07e6, 7.1e6, 1.7e6, 1e5], "cost": [1e7, 1e7, 1e8, 1e5]}, index=names
    )
    check_names(cost_figure(table, "parameters", "cost"), names)


def test_a_missing_column_or_number_is_named():
    table = pd.DataFrame({"a": [1.0, float("nan")], "b": [1.0, 2.0]}, index=["one", "two"])
    with pytest.raises(InputError, match=r"c: .*no such column"):
        cost_figure(table, "b", "c")
    with pytest.raises(InputError, match="a: no number for two"):
        cost_figure(table, "a", "b")

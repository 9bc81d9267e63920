import pandas as pd
import pytest

from ifmsr.errors import InputError
from ifmsr.figures import scaling_figure


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

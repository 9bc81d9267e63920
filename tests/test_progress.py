import io
import sys
import time

import pytest

from ifmsr.progress import no_progress, with_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("output", "quiet", "seconds", "shown"),
    [
        (Terminal, False, 2.6, True),
        (Terminal, False, 0.1, False),
        (Terminal, True, 2.6, False),
        (io.StringIO, False, 2.6, False),
    ],
)
def test_long_computations_show_their_progress_on_terminals_unless_quiet(
    monkeypatch, output, quiet, seconds, shown
):
    monkeypatch.setattr(sys, "stderr", output())
    with no_progress(quiet):
        for _ in with_progress(range(4), "IFMSR"):
            time.sleep(seconds / 4)
    assert ("IFMSR: " in sys.stderr.getvalue()) == shown


def test_bars_are_back_after_a_quiet_call(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with no_progress():
        pass
    for _ in with_progress(range(4), "IFMSR"):
        time.sleep(0.65)
    assert "IFMSR: " in sys.stderr.getvalue()

"""Order and words of tables and figures."""

import csv

from ifmsr.methods import method_names
from ifmsr.published import PUBLISHED
from ifmsr.study.names import PAPER_METHODS, heading, method_label, paper_order


def test_the_order_of_the_paper_is_that_of_its_table():
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        assert tuple(next(csv.reader(file))[3:]) == PAPER_METHODS


def test_methods_are_sorted_by_the_paper_with_bicubic_first_and_ours_last():
    names = sorted(method_names())
    titles = [method_label(name) for name in paper_order(names)]
    assert tuple(title for title in titles if title in PAPER_METHODS) == PAPER_METHODS
    assert titles[0] == "Bicubic" and {"Closed-form", "SubspaceNet"} <= set(titles[-8:])
    assert paper_order(["subspace-net", "ual", "closed-form", "cms"]) == [
        "cms",
        "ual",
        "subspace-net",
        "closed-form",
    ]


def test_a_variant_stands_beside_its_method():
    names = ["closed-form", "ifmsr-test-family", "ual-fusion", "ifmsr", "ual", "cms-oracle", "cms"]
    beside = ["cms", "cms-oracle", "ual", "ual-fusion", "ifmsr", "ifmsr-test-family", "closed-form"]
    assert paper_order(names) == beside


def test_headings_are_words_with_units():
    assert heading("peak_mb") == "peak memory (MB)"
    assert heading("seconds_per_band") == "seconds per band"
    assert heading("PSNR") == "PSNR (dB)"

"""The paper's Table IV as published; `ifmsr.study.table4` adds the measured rows."""

import csv

from ifmsr.paths import SHIPPED

PUBLISHED = SHIPPED / "paper" / "table4.csv"
MISPRINT = ("CAVE", 4, "RMSE", "PZRes-Net")
MISPRINT_NOTE = "PZRes-Net's RMSE, kept as printed, contradicts its own PSNR: 41.78 dB is an RMSE of 0.0082"


def table() -> str:
    """The published values as plain text, one line per data set, scale and metric.

    A dash stands for a value that the paper does not have; the misprint is marked with a star and explained below.
    """
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        lines = [[cell or "-" for cell in line] for line in csv.reader(file)]
    dataset, scale, metric, method = MISPRINT
    column = lines[0].index(method)
    for line in lines:
        if line[:3] == [dataset, str(scale), metric]:
            line[column] += " *"
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    rows = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join([*(row.rstrip() for row in rows), f"* {MISPRINT_NOTE}."])

"""Figure of an ablation study: metrics and training time of each variant, with the spread of equal trainings."""

import pandas as pd
from matplotlib.figure import Figure

from ifmsr.errors import InputError
from ifmsr.figures.panels import capitalised
from ifmsr.figures.style import FONT_SIZE, PAGE_WIDTH, tidy
from ifmsr.study.names import HIGHER_IS_BETTER, heading

METRICS = ("PSNR", "SAM")
TIME = "training_seconds"
FULL_COLOUR, VARIANT_COLOUR = "#D55E00", "#0072B2"  # of Okabe and Ito's palette


def ablation_figure(table: pd.DataFrame) -> Figure:
    """Draw PSNR, SAM and training time of every variant, one line each, a dot for each seed and a bar at their mean.

    Equal trainings, the variant ``full`` and those of the question ``seed``, have a colour of their own; a band of it
    reaches from the worst to the best of them. A variant inside the band is not shown to differ from the full network.

    Parameters
    ----------
    table : the rows of `ifmsr.experiments.ablations.ablate`.

    Raises
    ------
    InputError : the table has no row, or lacks a column.
    """
    if missing := [column for column in ("question", "variant", *METRICS, TIME) if column not in table]:
        raise InputError("table", f"it has no column {', '.join(missing)}", "Give a table of `ablate`")
    if table.empty:
        raise InputError("table", "it has no row", "Give a table of `ablate`")
    equal = (table["question"] == "seed") | (table["variant"] == "full")
    lines = table["variant"].nunique()
    means = table.groupby("variant")[[*METRICS, TIME]].mean()[table.groupby("variant").size() > 1]
    figure = Figure(figsize=(PAGE_WIDTH, 0.7 + 0.2 * lines), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    for ax, column in zip(axes, (*METRICS, TIME), strict=True):
        colours = [FULL_COLOUR if same else VARIANT_COLOUR for same in equal]
        ax.scatter(table[column], table["variant"], c=colours, s=18)
        ax.scatter(means[column], means.index, c="black", marker="|", s=90)
        better = "right" if column in HIGHER_IS_BETTER else "left"
        ax.set_xlabel(f"{capitalised(heading(column))}\n{better} is better", fontsize=FONT_SIZE)
        if column in METRICS and equal.any():
            spread = table.loc[equal, column]
            ax.axvspan(spread.min(), spread.max(), color=FULL_COLOUR, alpha=0.15, linewidth=0)
        tidy(ax)
    axes[0].set_ylim(lines - 0.5, -0.5)  # the first variant on top
    return figure

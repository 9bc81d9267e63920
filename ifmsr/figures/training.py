"""Training curves: of one run against the epoch, and of several runs together against the time."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ifmsr.errors import InputError
from ifmsr.figures.style import FONT_SIZE, PAGE_WIDTH, SMALL_FONT, method_styles, tidy

LOG = "log.csv"


def training_curve(log: str | Path) -> Figure:
    """Plot loss and validation PSNR (dB) against the epoch, from the `log.csv` of a training.

    Grey lines mark the epochs in which the learning rate decreases.

    Parameters
    ----------
    log : a CSV file with the columns epoch, lr, loss and val_psnr (empty where it was not measured).

    Raises
    ------
    InputError : the file is missing, or has no epochs or not these columns.
    """
    table = read_log(log, {"epoch", "lr", "loss", "val_psnr"})
    epochs = table.groupby("epoch")[["lr", "loss", "val_psnr"]].mean()
    figure = Figure(figsize=(PAGE_WIDTH, 2.2), layout="constrained")
    look = method_styles(["IFMSR"])["IFMSR"]
    marker = "o" if len(epochs) < 20 else ""
    titles = {"loss": "Training loss (L1)", "val_psnr": "Validation PSNR (dB)"}
    for ax, (column, title) in zip(figure.subplots(1, 2, sharex=True), titles.items(), strict=True):
        measured = epochs[column].dropna()
        ax.plot(measured.index, measured, linewidth=1.0, marker=marker, markersize=2.5, **look)
        for epoch in epochs.index[epochs["lr"].diff() < 0]:
            ax.axvline(epoch, color="0.8", linewidth=0.6, zorder=0)
        ax.set_xlabel("Epoch", fontsize=FONT_SIZE)
        ax.set_ylabel(title, fontsize=FONT_SIZE)
        ax.xaxis.get_major_locator().set_params(integer=True)
        tidy(ax)
    return figure


def learning_curves(folder: str | Path) -> Figure:
    """Plot the validation PSNR (dB) of all trainings below a folder against their CPU or GPU time (minutes, log axis).

    Parameters
    ----------
    folder : a folder of trainings; folders in it are searched, too. The legend has their paths in it.

    Raises
    ------
    InputError : there is no training in it that has measured validation scenes, or a log is damaged.
    """
    top, curves = Path(folder), {}
    for log in sorted(top.rglob(LOG)):
        measured = read_log(log, {"seconds", "val_psnr"}).dropna(subset="val_psnr")
        if len(measured):
            curves[log.parent.relative_to(top).as_posix()] = measured
    if not curves:
        raise InputError(folder, "no training in it has a validation PSNR", "Give a folder of trainings")
    figure = Figure(figsize=(PAGE_WIDTH, 3.0), layout="constrained")
    ax = figure.subplots()
    for name, look in method_styles(list(curves)).items():
        table = curves[name]
        ax.plot(table["seconds"] / 60, table["val_psnr"], linewidth=1.0, label=name, **look)
    ax.set_xscale("log")
    ax.set_xlabel("Training time (minutes)", fontsize=FONT_SIZE)
    ax.set_ylabel("Validation PSNR (dB)", fontsize=FONT_SIZE)
    tidy(ax)
    figure.legend(loc="outside right upper", fontsize=SMALL_FONT, frameon=False)
    return figure


def read_log(path: str | Path, columns: set[str]) -> pd.DataFrame:
    """A training's log with at least these columns.

    Raises InputError if it is missing or damaged, lacks a column or has no rows.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(path, f"not a training log ({error})", "Give the log.csv of a training") from error
    missing = columns - set(table)
    if missing or table.empty:
        problem = f"it has no columns {sorted(missing)}" if missing else "no epoch is finished yet"
        raise InputError(path, problem, "Give the log.csv of a training")
    return table

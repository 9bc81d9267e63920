"""Further figures for the notebooks: the effect of a degradation, and training curves."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ifmsr.errors import InputError
from ifmsr.figures.panels import (
    Image,
    Window,
    busiest_window,
    check_window,
    cut,
    frame,
    picture_grid,
    repeat_pixels,
    show_band,
    tone,
)
from ifmsr.figures.style import FONT_SIZE, PAGE_WIDTH, RED, method_styles, tidy
from ifmsr.scenes.scene import Observation, Scene


def degradation_strip(
    scene: Scene,
    observations: Mapping[str, Observation],
    band: int | None = None,
    region: Window | None = None,
) -> Figure:
    """Draw one band of a scene, a region of it, and the same region of several LR images.

    A red cross marks the same position in all regions, so that shifts are visible. In all panels the minimum and the
    maximum of the HR region are black and white.

    Parameters
    ----------
    scene : the scene.
    observations : title -> an observation of this scene.
    band : counted from 0; None: the middle one.
    region : (top, left, height, width) in HR pixels; by default the band's `busiest_window`.
    """
    image = scene.cube[len(scene.cube) // 2 if band is None else band]
    window = region or busiest_window(image)
    check_window("region", window, image.shape)
    black, white = float(cut(image, window).min()), float(cut(image, window).max())
    figure, [[whole, *others]] = picture_grid([(1.0, 0.2)], 2 + len(observations))
    show_band(whole, tone(image, black, white), (0, 1), scene.name)
    frame(whole, window)

    def part(observation: Observation) -> Image:
        lr = observation.lr[len(observation.lr) // 2 if band is None else band]
        return cut(repeat_pixels(lr, observation.scale), window)

    parts = {"HR": cut(image, window)} | {title: part(seen) for title, seen in observations.items()}
    for ax, (title, picture) in zip(others, parts.items(), strict=True):
        show_band(ax, tone(picture, black, white), (0, 1), title)
        ax.axhline((window[2] - 1) / 2, color=RED, linewidth=0.5)
        ax.axvline((window[3] - 1) / 2, color=RED, linewidth=0.5)
    return figure


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
    try:
        table = pd.read_csv(log)
    except (OSError, ValueError) as error:
        raise InputError(log, f"not a training log ({error})", "Give the log.csv of a training") from error
    missing = {"epoch", "lr", "loss", "val_psnr"} - set(table)
    if missing or table.empty:
        problem = f"it has no columns {sorted(missing)}" if missing else "no epoch is finished yet"
        raise InputError(log, problem, "Give the log.csv of a training")
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

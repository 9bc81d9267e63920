"""Drawings of the chapters: the problem, the network IFMSR with its three modules, and the training-free chain."""

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ifmsr.figures.boxes import CUBE, GUIDE, adder, arrow, box, picture, sheet, stack, write
from ifmsr.figures.panels import Image, tone
from ifmsr.figures.style import FONT_SIZE, RED, SMALL_FONT
from ifmsr.scenes.scene import Array, Observation, Scene

SHOWN_BANDS = 6  # of a cube drawn as a stack


def problem_drawing(scene: Scene, observation: Observation, estimate: Array) -> Figure:
    """Draw the task: two cameras see one scene, and a method combines their images into one cube.

    Parameters
    ----------
    scene : what both cameras see.
    observation : its two images.
    estimate : (B, H, W) a method's result.
    """
    figure, ax = sheet(9.5, 3.5)
    lr, rgb = observation.lr, observation.rgb

    stack(ax, (0.25, 1.1), 1.15, _layers(scene))
    write(ax, (1.0, 0.8), f"the scene $X$\n{_size(scene.cube)}")

    box(ax, (3.05, 2.65), (1.35, 0.62), "hyperspectral camera:\nblur, large pixels,\nnoise", CUBE)
    box(ax, (3.05, 0.8), (1.35, 0.62), "RGB camera:\nthree broad channels,\nsmall pixels", GUIDE)
    arrow(ax, (1.85, 1.75), (2.12, 1.75), (2.12, 2.65), (2.375, 2.65))
    arrow(ax, (2.12, 1.75), (2.12, 0.8), (2.375, 0.8))

    stack(ax, (4.3, 2.15), 0.85, _layers(replace(scene, cube=lr)), step=0.05)
    picture(ax, (4.3, 0.4), 1.0, _colour(rgb))
    arrow(ax, (3.725, 2.65), (4.25, 2.65))
    arrow(ax, (3.725, 0.8), (4.25, 0.8))
    write(ax, (4.85, 1.95), f"LR cube $Y$: {_size(lr)}")
    write(ax, (4.8, 0.2), f"RGB guide $Z$: {_size(rgb)}")

    box(ax, (6.65, 1.75), (1.0, 0.62), "super-resolution\nmethod")
    arrow(ax, (5.5, 2.65), (5.85, 2.65), (5.85, 1.9), (6.15, 1.9))
    arrow(ax, (5.35, 0.9), (5.85, 0.9), (5.85, 1.6), (6.15, 1.6))
    stack(ax, (7.75, 1.1), 1.15, _layers(replace(scene, cube=estimate)))
    arrow(ax, (7.15, 1.75), (7.7, 1.75))
    write(ax, (8.5, 0.8), f"the estimate $\\hat X$\n{_size(estimate)}")
    return figure


def _size(cube: Array) -> str:
    bands, height, width = cube.shape
    return f"{bands} bands, {height} x {width}"


def _layers(scene: Scene) -> list[Image]:
    """The colours of a cube, and behind them some of its bands from short to long wavelengths."""
    chosen = np.linspace(0.1, 0.9, SHOWN_BANDS) * len(scene.cube)
    bands = [tone(band, *np.percentile(band, (1, 99))) for band in scene.cube[chosen.astype(int)]]
    return [_colour(scene.rgb()), *bands]


def _colour(rgb: Array) -> Image:
    low, high = np.percentile(rgb, (1, 99), axis=(1, 2), keepdims=True)
    return np.moveaxis(tone(rgb, low, high), 0, -1)


def network_drawing() -> Figure:
    """Draw IFMSR as released: the data flow, one stage (CGM), and the modules MCPA, RDE and DCFM."""
    figure, ax = sheet(9.5, 6.9)
    _overview(ax)
    _stage(ax)
    _mcpa(ax)
    _rde(ax)
    _dcfm(ax)
    return figure


def _overview(ax: Axes) -> None:
    write(
        ax,
        (0.1, 6.75),
        "IFMSR: one band with its two neighbours goes in, one HR band comes out",
        FONT_SIZE,
        "left",
    )
    hsi, rgb, middle = 5.95, 5.25, 5.6
    for y, name, fill in ((hsi, "LR triplet,\nupsampled x r", CUBE), (rgb, "RGB guide", GUIDE)):
        box(ax, (0.6, y), (0.95, 0.4), name, fill)
        box(ax, (1.75, y), (0.7, 0.4), "head\n3 → C", fill)
        arrow(ax, (1.075, y), (1.4, y))
        arrow(ax, (2.1, y), (3.0, y))
        arrow(ax, (3.9, y), (4.75, y))
        arrow(ax, (5.65, y), (6.5, y))
    write(ax, (2.45, hsi + 0.12), "$F_0$ (HSI)")
    write(ax, (2.45, rgb + 0.12), "$F_0$ (RGB)")
    for x, name in ((3.45, "CGM 1"), (5.2, "CGM 2"), (6.95, "DCFM")):
        box(ax, (x, middle), (0.9, 1.1), name)
    arrow(ax, (4.2, hsi), (4.2, 6.32), (6.95, 6.32), (6.95, 6.15))
    arrow(ax, (4.2, rgb), (4.2, 4.88), (6.95, 4.88), (6.95, 5.05))
    arrow(ax, (7.4, middle), (7.7, middle))
    arrow(ax, (2.85, hsi), (2.85, 6.5), (7.8, 6.5), (7.8, middle + 0.07))
    adder(ax, (7.8, middle))
    box(ax, (8.4, middle), (0.62, 0.4), "conv\nC → 1", CUBE)
    arrow(ax, (7.88, middle), (8.09, middle))
    arrow(ax, (8.71, middle), (8.95, middle))
    write(ax, (8.98, middle), "HR\nband", align="left")


def _stage(ax: Axes) -> None:
    write(
        ax,
        (0.1, 4.55),
        "One stage, CGM: both streams exchange channels, then the guide induces detail",
        FONT_SIZE,
        "left",
    )
    hsi, rgb, middle = 4.0, 2.95, 3.475
    for y, fill, side in ((hsi, CUBE, 1), (rgb, GUIDE, -1)):
        write(ax, (0.1, y), "HSI" if fill == CUBE else "RGB", align="left")
        arrow(ax, (0.42, y), (0.75, y))
        for x, name in ((1.15, "Unit\n+ ReLU"), (3.55, "MCPA"), (4.65, "Unit")):
            box(ax, (x, y), (0.8, 0.4), name, fill)
        arrow(ax, (1.55, y), (1.9, y))
        arrow(ax, (2.8, y), (3.15, y))
        arrow(ax, (3.95, y), (4.25, y))
        arrow(ax, (5.05, y), (5.38, y))
        bypass = y + 0.33 * side
        arrow(ax, (0.56, y), (0.56, bypass), (5.48, bypass), (5.48, y + 0.08 * side))
        adder(ax, (5.48, y))
        arrow(ax, (5.57, y), (7.78, y))
        arrow(ax, (6.5, y), (6.5, middle + 0.2 * side))
        arrow(ax, (6.9, middle), (7.88, middle), (7.88, y - 0.08 * side))
        adder(ax, (7.88, y))
        arrow(ax, (7.97, y), (8.5, y))
        write(ax, (8.55, y), "next stage,\nDCFM", align="left")
    box(
        ax, (2.35, middle), (0.9, 1.45), "channel split:\neach stream\nkeeps half, gets\nhalf of the\nother's"
    )
    box(ax, (6.5, middle), (0.8, 0.4), "RDE")
    write(ax, (7.4, middle + 0.12), "$F_{induce}$")


def _mcpa(ax: Axes) -> None:
    write(ax, (0.1, 2.25), "MCPA: patches that look alike", FONT_SIZE, "left")
    side, left, top = 0.2, 0.3, 1.75
    chosen = {(1, 1): 1.8, (0, 4): 0.9, (3, 2): 0.9, (4, 0): 0.9}
    for row in range(5):
        for column in range(5):
            corner = (left + column * side, top - (row + 1) * side)
            ax.add_patch(Rectangle(corner, side, side, facecolor=GUIDE, edgecolor="white", linewidth=0.8))
    for (row, column), width in chosen.items():
        corner = (left + column * side, top - (row + 1) * side)
        ax.add_patch(Rectangle(corner, side, side, facecolor="none", edgecolor=RED, linewidth=width))
    write(ax, (0.8, 1.92), "RGB guide, patches 3r x 3r")
    write(ax, (0.8, 0.56), "a patch (thick) and its\nK = 3 nearest by cosine")
    box(ax, (2.4, 1.75), (1.2, 0.36), "features F, cut into\nthe same patches")
    box(ax, (2.4, 1.2), (1.2, 0.36), "patch and K others,\neach times its $\\gamma$")
    box(ax, (2.4, 0.65), (1.2, 0.36), "conv\n(K + 1) C → C")
    arrow(ax, (2.4, 1.57), (2.4, 1.38))
    arrow(ax, (2.4, 1.02), (2.4, 0.83))
    arrow(ax, (1.35, 1.25), (1.8, 1.25))
    write(ax, (1.57, 1.35), "indices")
    arrow(ax, (3.0, 1.75), (3.13, 1.75), (3.13, 0.22), (2.49, 0.22))
    arrow(ax, (2.4, 0.47), (2.4, 0.3))
    arrow(ax, (2.31, 0.22), (1.8, 0.22))
    adder(ax, (2.4, 0.22))


def _rde(ax: Axes) -> None:
    write(ax, (3.4, 2.25), "RDE: a filter for every pixel", FONT_SIZE, "left")
    box(ax, (3.95, 1.8), (0.95, 0.36), "HSI features\nconv C → C/2", CUBE)
    box(ax, (5.55, 1.8), (1.25, 0.36), "RGB features\ngenerate kernels", GUIDE)
    for x, name in ((4.85, "3 x 3, dilation 1"), (6.0, "3 x 3, dilation 3")):
        box(ax, (x, 1.15), (1.0, 0.36), f"filter\n{name}")
    arrow(ax, (5.2, 1.62), (5.2, 1.33))
    arrow(ax, (5.9, 1.62), (5.9, 1.33))
    arrow(ax, (4.2, 1.62), (4.2, 1.47), (4.6, 1.47), (4.6, 1.33))
    arrow(ax, (4.2, 1.47), (5.65, 1.47), (5.65, 1.33))
    box(ax, (4.95, 0.5), (1.9, 0.36), "concatenated, conv 3C/2 → C")
    arrow(ax, (4.85, 0.97), (4.85, 0.68))
    arrow(ax, (6.0, 0.97), (6.0, 0.82), (5.5, 0.82), (5.5, 0.68))
    arrow(ax, (3.75, 1.62), (3.75, 0.82), (4.3, 0.82), (4.3, 0.68))
    arrow(ax, (4.95, 0.32), (4.95, 0.14))
    write(ax, (5.05, 0.2), "$F_{induce}$", align="left")


def _dcfm(ax: Axes) -> None:
    write(ax, (6.75, 2.25), "DCFM: the guide scales and shifts", FONT_SIZE, "left")
    box(ax, (7.35, 1.8), (1.1, 0.36), "HSI features of\nall stages, conv", CUBE)
    box(ax, (8.75, 1.8), (1.1, 0.36), "RGB features of\nall stages, conv", GUIDE)
    box(ax, (8.35, 1.15), (0.6, 0.36), "Unit", GUIDE)
    box(ax, (9.1, 1.15), (0.6, 0.36), "Unit", GUIDE)
    arrow(ax, (8.45, 1.62), (8.45, 1.33))
    arrow(ax, (9.05, 1.62), (9.05, 1.33))
    arrow(ax, (7.35, 1.62), (7.35, 0.78))
    arrow(ax, (8.35, 0.97), (8.35, 0.7), (7.44, 0.7))
    adder(ax, (7.35, 0.7), r"$\times$")
    write(ax, (8.1, 0.8), r"scale $\alpha$")
    arrow(ax, (9.1, 0.97), (9.1, 0.3), (7.44, 0.3))
    arrow(ax, (7.35, 0.62), (7.35, 0.38))
    adder(ax, (7.35, 0.3))
    write(ax, (8.75, 0.4), r"shift $\beta$")
    arrow(ax, (7.35, 0.22), (7.35, 0.06))


STEPS = (
    ("1  Estimate", "blur kernel, shift,\nnoise, SRF", True, True),
    ("2  Denoise\nthe guide", "Wiener filter on its\nfine octaves", False, True),
    ("3  Global map", "RGB → spectrum,\none regression", True, True),
    ("4  Local maps", "residual from RGB,\nwindows by SURE", True, True),
    ("5  Detail gains", "per band, calibrated\none scale down", True, True),
    ("6  Projection", "RGB values of the\nresult = the guide's", True, True),
    ("7  Shadows", "dark pixels from\nwide windows", False, True),
)
"""Title and content of each step of the chain, and whether it uses the LR cube and the guide."""


def chain_drawing() -> Figure:
    """Draw the seven steps of the training-free method, and which of the two images each one uses."""
    figure, ax = sheet(9.5, 2.7)
    first, apart, middle = 0.75, 1.22, 1.3
    last = first + apart * (len(STEPS) - 1)
    for y, name, fill in ((2.4, "LR cube Y", CUBE), (0.25, "RGB guide Z", GUIDE)):
        box(ax, (first, y), (1.0, 0.28), name, fill)
        used = [number for number, step in enumerate(STEPS) if step[2 if fill == CUBE else 3]]
        ax.plot([first + 0.5, first + apart * used[-1]], [y, y], color="0.25", linewidth=0.8)
        for number in used:
            x, edge = first + apart * number, middle + (0.42 if fill == CUBE else -0.42)
            start = y + (-0.14 if fill == CUBE else 0.14) * (number == 0)
            arrow(ax, (x, start), (x, edge))
    for number, (title, content, _, _) in enumerate(STEPS):
        x = first + apart * number
        box(ax, (x, middle), (1.06, 0.84), "")
        ax.text(x, middle + 0.2, title, fontsize=SMALL_FONT, ha="center", va="center", weight="bold")
        write(ax, (x, middle - 0.18), content, SMALL_FONT - 1)
        if number:
            arrow(ax, (x - apart + 0.53, middle), (x - 0.53, middle))
    arrow(ax, (last + 0.53, middle), (last + 0.7, middle))
    write(ax, (last + 0.73, middle), "$\\hat X$", align="left")
    return figure

"""Figure 6: results on a real image without ground truth."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ifmsr.errors import InputError
from ifmsr.figures.panels import (
    PANEL_GAP,
    Image,
    Window,
    busiest_window,
    check_window,
    cut,
    frame,
    picture_grid,
    red_border,
    repeat_pixels,
    show_rgb,
    tone,
)
from ifmsr.figures.style import SMALL_FONT
from ifmsr.scenes.scene import Observation

COLUMNS = 6  # the LR image and five methods, as in the paper; more panels are distributed over several lines


def figure6(
    observation: Observation,
    predictions: Mapping[str, Image],
    bands: tuple[int, int, int] = (2, 3, 5),
    region: Window | None = None,
    wavelengths: Sequence[float] | None = None,
) -> Figure:
    """The paper's figure 6: the LR image and each method's result in pseudo-colour, and below it a magnified region.

    The LR image is upsampled by nearest-neighbour interpolation. All panels have the same contrast: in each band, the
    1st percentile of the LR image is black and its 99th percentile white, with a square root between them. The region
    is framed in red. More than `COLUMNS` panels continue below.

    Parameters
    ----------
    observation : the real image, `lr` (B, h, w) and `rgb` (3, H, W).
    predictions : title of the method -> result (B, H, W).
    bands : bands shown as blue, green and red, counted from 1, in the paper's order; the default is for WorldView-2.
    region : (top, left, height, width) in HR pixels; by default the `busiest_window` of the RGB image.
    wavelengths : (B,) band centres in nm, which then stand beside the image in the place of the bands' numbers.

    Raises
    ------
    InputError : a prediction does not have the size (B, H, W), or a band or the region is outside the image.
    """
    lr = observation.lr
    size = (len(lr), *observation.rgb.shape[1:])
    for name, cube in predictions.items():
        if cube.shape != size:
            raise InputError(name, f"its shape is {cube.shape}", f"Give a cube of shape {size}")
    if not all(1 <= band <= len(lr) for band in bands):
        raise InputError("bands", f"{bands} are not all among {len(lr)}", "Count from 1")
    window = region or busiest_window(observation.rgb.mean(axis=0))
    check_window("region", window, size)

    shown = [band - 1 for band in reversed(bands)]  # the longest wavelength is red
    low, high = np.percentile(lr[shown], (1, 99), axis=(1, 2), keepdims=True)
    panels = {"LR": repeat_pixels(lr[shown], observation.scale)}
    panels |= {name: cube[shown] for name, cube in predictions.items()}
    if wavelengths is None:
        colours = "bands " + ", ".join(str(band + 1) for band in shown)
    else:
        colours = ", ".join(f"{wavelengths[band]:.0f}" for band in shown) + " nm"

    lines = math.ceil(len(panels) / COLUMNS)
    columns = math.ceil(len(panels) / lines)
    sizes = [(size[1] / size[2], 0.2), (window[2] / window[3], PANEL_GAP)] * lines
    figure, axes = picture_grid(sizes, columns, left=0.2)
    above, below = ([ax for row in part for ax in row] for part in (axes[::2], axes[1::2]))
    for number, (name, image) in enumerate(panels.items()):
        stretched = tone(image, low, high)
        show_rgb(above[number], stretched, name)
        frame(above[number], window)
        show_rgb(below[number], cut(stretched, window))
        red_border(below[number])
    for ax in (*above[len(panels) :], *below[len(panels) :]):
        ax.remove()
    for upper, lower in zip(above[::columns], below[::columns], strict=True):
        upper.set_ylabel(colours, fontsize=SMALL_FONT, labelpad=3)
        lower.set_ylabel("in the frame", fontsize=SMALL_FONT, labelpad=3)
    return figure

"""Figure 6: results on a real image without ground truth."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from ifmsr.errors import InputError
from ifmsr.figures.panels import (
    Image,
    Window,
    busiest_window,
    check_window,
    cut,
    inset,
    picture_grid,
    repeat_pixels,
    show_rgb,
    tone,
)
from ifmsr.scenes.scene import Observation


def figure6(
    observation: Observation,
    predictions: Mapping[str, Image],
    bands: tuple[int, int, int] = (2, 3, 5),
    region: Window | None = None,
) -> Figure:
    """The paper's figure 6: the LR image and each method's result in pseudo-colour, with a magnified region.

    The LR image is upsampled by nearest-neighbour interpolation. All panels have the same contrast: in each band, the
    1st percentile of the LR image is black and its 99th percentile white, with a square root between them.

    Parameters
    ----------
    observation : the real image, `lr` (B, h, w) and `rgb` (3, H, W).
    predictions : title of the method -> result (B, H, W).
    bands : bands shown as blue, green and red, counted from 1, in the paper's order; the default is for WorldView-2.
    region : (top, left, height, width) in HR pixels; by default the `busiest_window` of the RGB image.

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

    columns = len(panels) if len(panels) < 5 else 3
    rows = math.ceil(len(panels) / columns)
    figure, axes = picture_grid([(size[1] / size[2], 0.2)] * rows, columns)
    places = [ax for row in axes for ax in row]
    for ax, (name, image) in zip(places, panels.items(), strict=False):
        stretched = tone(image, low, high)
        show_rgb(ax, stretched, name)
        inset(ax, window, size, np.moveaxis(cut(stretched, window), 0, -1))
    for ax in places[len(panels) :]:
        ax.remove()
    return figure

"""The effect of a degradation: an image and its observations side by side."""

from collections.abc import Mapping

from matplotlib.figure import Figure

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
from ifmsr.figures.style import RED
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

"""Pictures of CAVE scenes for the chapters, written to `docs/_static/cave`: ``python -m docs.cave [NAME ...]``.

The chapters run on Indian Pines, which needs no download. These pictures are made where CAVE is at hand, and kept.
"""

import io
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ifmsr import metrics
from ifmsr.degradation import degrade
from ifmsr.errors import check_choice
from ifmsr.figures.panels import (
    Image,
    Window,
    capitalised,
    cut,
    frame,
    show_band,
    show_error,
    show_rgb,
    tone,
    wrap,
)
from ifmsr.figures.style import FONT_SIZE, PAGE_WIDTH, RED, SMALL_FONT, tidy
from ifmsr.files import write_atomically
from ifmsr.inference import load_method
from ifmsr.methods.ifmsr.network import cut_patches, similar_patches
from ifmsr.paths import ROOT
from ifmsr.scenes import open_dataset
from ifmsr.scenes.base import Split
from ifmsr.scenes.cave import Cave
from ifmsr.scenes.scene import Observation, Scene
from ifmsr.training import PRESETS, Patches

FOLDER = ROOT / "docs" / "_static" / "cave"
RESOLUTION, QUALITY = 130, 85  # dots per inch; of JPEG
HUES = ("#D55E00", "#0072B2", "#009E73", "#CC79A7")  # Okabe and Ito
LETTERS = "ABCD"
Place = tuple[int, int]  # row, column
Limits = tuple[float, float]


def colour(scene: Scene, cube: Image | None = None) -> Image:
    """The RGB image (3, H, W) that the scene's SRF makes of the scene, or of another `cube` of it."""
    assert scene.srf is not None  # CAVE has one
    return np.tensordot(scene.srf, scene.cube if cube is None else cube, axes=1)


def limits(image: Image) -> Limits:
    """Black and white of an image."""
    low, high = np.percentile(image, (0.5, 99.5))
    return float(low), float(high)


def readable(name: str) -> str:
    """A scene's name as a title."""
    return capitalised(name.replace("_", " "))


def mark(ax: Axes, places: Sequence[Place]) -> None:
    """Mark places by letters in the colours of their spectra."""
    for letter, hue, (row, column) in zip(LETTERS, HUES, places, strict=False):
        ax.plot(column, row, "o", markersize=5, markerfacecolor=hue, markeredgecolor="white")
        ax.annotate(
            letter, (column, row), (5, 3), textcoords="offset points", color="white", fontsize=FONT_SIZE
        )


def spectra(ax: Axes, scene: Scene, places: Sequence[Place], side: int) -> None:
    """Plot the mean spectra of squares of `side` pixels around the places."""
    for letter, hue, (row, column) in zip(LETTERS, HUES, places, strict=False):
        square = (row - side // 2, column - side // 2, side, side)
        ax.plot(scene.wavelengths, cut(scene.cube, square).mean(axis=(1, 2)), color=hue, label=letter)
    ax.set_xlabel("Wavelength (nm)", fontsize=FONT_SIZE)
    ax.set_ylabel("Reflectance", fontsize=FONT_SIZE)
    ax.set_ylim(bottom=0)
    ax.legend(
        fontsize=SMALL_FONT, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), handlelength=1.2
    )
    tidy(ax)


def equal_colours(scene: Scene, places: Sequence[Place], window: Window, band: int) -> Figure:
    """A scene in colour, one of its bands, the RGB values of two places, which are equal, and their spectra."""
    figure = Figure(figsize=(PAGE_WIDTH, 1.85), layout="constrained")
    left, middle, values, right = figure.subplots(1, 4, width_ratios=(1.35, 1.35, 0.6, 1.5))
    shown = [(row - window[0], column - window[1]) for row, column in places]
    image = cut(colour(scene), window)
    show_rgb(left, tone(image, *limits(image)), "What the RGB camera sees")
    assert scene.wavelengths is not None  # CAVE has them
    grey = cut(scene.cube[band], window)
    show_band(middle, tone(grey, *limits(grey)), (0, 1), f"The band at {scene.wavelengths[band]:.0f} nm")
    for ax in (left, middle):
        mark(ax, shown)
    for number, (hue, (row, column)) in enumerate(zip(HUES, places, strict=False)):
        rgb = cut(colour(scene), (row - 3, column - 3, 7, 7)).mean(axis=(1, 2))
        values.bar(np.arange(3) + 0.4 * number - 0.2, rgb, width=0.36, color=hue)
    values.set_xticks(range(3), ("R", "G", "B"))
    values.set_title("RGB values", fontsize=FONT_SIZE, pad=3)
    tidy(values)
    spectra(right, scene, places, 7)
    right.set_title("Spectra", fontsize=FONT_SIZE, pad=3)
    return figure


def all_scenes(scenes: Mapping[str, Image], split: Split, columns: int = 8) -> Figure:
    """RGB images of all scenes by name; a coloured bar below says which set of the split each is in."""
    sets = {"training": split.train, "validation": split.validation, "test": split.test}
    hues = dict(zip(sets, ("#B0B0B0", "#E69F00", "#0072B2"), strict=True))
    rows = -(-len(scenes) // columns)
    figure = Figure(figsize=(PAGE_WIDTH, 0.3 + PAGE_WIDTH / columns * rows))
    grid = figure.add_gridspec(
        rows, columns, left=0.01, right=0.99, top=0.99, bottom=0.09, wspace=0.06, hspace=0.06
    )
    for number, (name, image) in enumerate(scenes.items()):
        ax = figure.add_subplot(grid[number // columns, number % columns])
        show_rgb(ax, tone(image, *limits(image)))
        hue = next(hues[kind] for kind, names in sets.items() if name in names)
        ax.spines[:].set(visible=True, edgecolor=hue, linewidth=3)
    names = [f"{kind}, {len(names)} scenes" for kind, names in sets.items()]
    keys = [ax.plot([], [], color=hue, linewidth=4)[0] for hue in hues.values()]
    figure.legend(keys, names, loc="lower center", ncols=3, fontsize=FONT_SIZE, frameon=False)
    return figure


def bands_of(scene: Scene, bands: Sequence[int], places: Sequence[Place]) -> Figure:
    """A scene in colour and the spectra of some places; below, some of its bands on one scale of grey."""
    figure = Figure(figsize=(PAGE_WIDTH, 3.5), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.6, 1))
    left, right = above.subplots(1, 2, width_ratios=(1, 2.2))
    image = colour(scene)
    show_rgb(left, tone(image, *limits(image)), readable(scene.name))
    mark(left, places)
    spectra(right, scene, places, 7)
    assert scene.wavelengths is not None  # CAVE has them
    grey = limits(scene.cube[list(bands)])
    for ax, band in zip(below.subplots(1, len(bands)), bands, strict=True):
        show_band(ax, tone(scene.cube[band], *grey), (0, 1), f"{scene.wavelengths[band]:.0f} nm")
        right.axvline(scene.wavelengths[band], color="0.85", linewidth=0.8, zorder=0)
    return figure


def degraded(scene: Scene, observations: Mapping[str, Observation], region: Window) -> Figure:
    """A scene in colour and a region of it, then the same region of LR images; a cross marks one place in all."""
    figure = Figure(figsize=(PAGE_WIDTH, 1.62), layout="constrained")
    axes = figure.subplots(1, 2 + len(observations))
    whole = colour(scene)
    look = limits(cut(whole, region))
    show_rgb(axes[0], tone(whole, *limits(whole)), readable(scene.name))
    frame(axes[0], region)
    panels = {"the frame": (cut(whole, region), 1)}
    for title, observation in observations.items():
        small = tuple(number // observation.scale for number in region)
        panels[title] = cut(colour(scene, observation.lr), small), observation.scale
    for ax, (title, (image, scale)) in zip(axes[1:], panels.items(), strict=True):
        show_rgb(ax, tone(image, *look), title)
        down, across = ((side / 2 + 0.5) / scale - 0.5 for side in region[2:])
        ax.plot(across, down, "+", color="white", markersize=11, markeredgewidth=2.6)
        ax.plot(across, down, "+", color=RED, markersize=10, markeredgewidth=1.2)
    return figure


def similar(scene: Scene, patch: int, queries: Sequence[int]) -> Figure:
    """The patches that MCPA finds for some patches of a scene, framed in the scene and magnified beside it."""
    image = colour(scene)
    rgb = torch.from_numpy(image)[None]
    nearest, patches = similar_patches(rgb, patch, k=3)[0], cut_patches(rgb, patch)[0].numpy()
    columns, look = -(-image.shape[2] // patch), limits(image)
    figure = Figure(figsize=(PAGE_WIDTH, 3.1), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.25))
    whole = left.subplots()
    show_rgb(whole, tone(image, *look), readable(scene.name))
    grid = right.subplots(len(queries), 4, squeeze=False)
    for query, hue, row in zip(queries, HUES, grid, strict=False):
        for rank, (ax, index) in enumerate(zip(row, (query, *nearest[query].tolist()), strict=True)):
            width = 1.0 if rank else 2.4
            corner = (index % columns * patch - 0.5, index // columns * patch - 0.5)
            pen = {"fill": False, "edgecolor": hue, "linewidth": width}
            whole.add_patch(Rectangle(corner, patch, patch, **pen))
            show_rgb(ax, tone(patches[index], *look))
            ax.spines[:].set(visible=True, edgecolor=hue, linewidth=width)
    for ax, title in zip(grid[0], ("a patch", "most similar", "second", "third"), strict=True):
        ax.set_title(title, fontsize=FONT_SIZE, pad=3)
    return figure


def samples(patches: Patches, numbers: Sequence[int]) -> Figure:
    """Training samples in colour: the RGB patch above, the LR patch below, which is enlarged."""
    figure = Figure(figsize=(PAGE_WIDTH, 2.0), layout="constrained")
    axes = figure.subplots(2, len(numbers))
    for (above, below), number in zip(axes.T, numbers, strict=True):
        scene = patches.scenes[patches.draw(number).scene]
        lr, rgb, _ = (part.numpy() for part in patches[number])
        look = limits(rgb)
        show_rgb(above, tone(rgb, *look))
        show_rgb(below, tone(colour(scene, lr), *look))
        noise = patches.draw(number).degradation.sigma * 255
        below.set_xlabel(f"noise {noise:.0f}/255", fontsize=SMALL_FONT)
    for ax, name in zip(axes[:, 0], ("RGB guide", "LR cube"), strict=True):
        ax.set_ylabel(name, fontsize=FONT_SIZE)
    return figure


def with_errors(scenes: Sequence[Scene], results: Mapping[str, Sequence[Image]], highest: float) -> Figure:
    """Scenes in colour, and below each the mean absolute error of some results on one scale, with its PSNR.

    `results` are the cubes of the scenes by title of the method.
    """
    figure = Figure(figsize=(PAGE_WIDTH, 0.5 + 1.32 * (1 + len(results))), layout="constrained")
    axes = figure.subplots(1 + len(results), len(scenes))
    for column, scene in enumerate(scenes):
        image = colour(scene)
        show_rgb(axes[0, column], tone(image, *limits(image)))
        title = wrap(readable(scene.name), PAGE_WIDTH / len(scenes), SMALL_FONT)
        axes[0, column].set_title(title, fontsize=SMALL_FONT, pad=3)
    for line, (title, cubes) in zip(axes[1:], results.items(), strict=True):
        line[0].set_ylabel(title, fontsize=FONT_SIZE)
        for ax, scene, cube in zip(line, scenes, cubes, strict=True):
            drawn = show_error(ax, np.abs(cube - scene.cube).mean(axis=0), highest)
            ax.set_title(f"{metrics.psnr(scene.cube, cube):.2f} dB", fontsize=SMALL_FONT, pad=2)
    bar = figure.colorbar(
        drawn, ax=axes[1:], location="bottom", extend="max", aspect=60, shrink=0.5, pad=0.02
    )
    bar.set_label("Absolute error of the reflectance, mean over bands", fontsize=SMALL_FONT)
    bar.ax.tick_params(labelsize=SMALL_FONT, width=0.5, length=2.5, pad=2)
    return figure


def draw_equal_colours(data: Cave) -> Figure:
    """Two apples, one of them of plastic, at two places of the same RGB values."""
    places, window = ((245, 187), (261, 335)), (190, 80, 220, 400)
    return equal_colours(data.load("real_and_fake_apples"), places, window, 27)


def draw_all_scenes(data: Cave) -> Figure:
    """All scenes, by the sets of split figure4."""
    images = {name: colour(data.load(name))[:, ::4, ::4] for name in data.names}
    return all_scenes(images, data.split("figure4"))


def draw_bands(data: Cave) -> Figure:
    """Balloons, six bands and four spectra."""
    places = ((175, 195), (150, 405), (360, 90), (400, 290))
    return bands_of(data.load("balloons"), (2, 8, 14, 20, 26, 30), places)


def draw_degraded(data: Cave) -> Figure:
    """Feathers, centred and released at x4, released at x8."""
    scene = data.load("feathers")
    cases = {"x4, centred": (4, "centred"), "x4, released": (4, "released"), "x8, released": (8, "released")}
    seen = {title: degrade(scene, scale, alignment=kind) for title, (scale, kind) in cases.items()}
    return degraded(scene, seen, (128, 168, 48, 48))


def draw_similar(data: Cave) -> Figure:
    """Four patches of the pompoms, of the side that IFMSR uses at x4."""
    return similar(data.load("pompoms"), 12, (640, 905, 1130, 1411))


def draw_samples(data: Cave) -> Figure:
    """Eight samples of the paper's schedule at x4."""
    scenes = [data.load(name) for name in data.split("figure4").train]
    return samples(Patches(scenes, PRESETS["paper"]), range(8))


def draw_test_scenes(data: Cave) -> Figure:
    """The six test scenes of split figure4 at x4."""
    scenes = [data.load(name) for name in data.split("figure4").test]
    seen = [degrade(scene, 4) for scene in scenes]
    methods = [load_method(name, 4) for name in ("bicubic", "closed-form")]
    results = {method.title: [method(observation) for observation in seen] for method in methods}
    return with_errors(scenes, results, 0.05)


PICTURES: dict[str, Callable[[Cave], Figure]] = {
    "equal-colours": draw_equal_colours,
    "all-scenes": draw_all_scenes,
    "bands": draw_bands,
    "degraded": draw_degraded,
    "similar": draw_similar,
    "samples": draw_samples,
    "test-scenes": draw_test_scenes,
}
"""Name of a picture -> the function that draws it from CAVE."""


def jpeg_of(figure: Figure) -> bytes:
    """The figure as JPEG without reduced resolution of its colours, so that letters stay sharp."""
    jpeg = io.BytesIO()
    options = {"quality": QUALITY, "subsampling": 0, "optimize": True}
    figure.savefig(jpeg, format="jpeg", dpi=RESOLUTION, pil_kwargs=options)
    return jpeg.getvalue()


def main(names: Sequence[str]) -> None:
    """Write the named pictures, by default all."""
    for name in names:
        check_choice("picture", name, tuple(PICTURES))
    data = open_dataset("cave")
    for name in names or PICTURES:
        jpeg = jpeg_of(PICTURES[name](data))
        path = write_atomically(FOLDER / f"{name}.jpg", lambda file, jpeg=jpeg: file.write(jpeg))
        print(f"{path.relative_to(ROOT)}: {len(jpeg) / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])

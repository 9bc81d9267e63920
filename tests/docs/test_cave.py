"""The pictures of CAVE: each is shown in a chapter, and each shows what its caption says."""

import re
from dataclasses import replace
from io import BytesIO

import nbformat
import numpy as np
import pytest
from PIL import Image

from docs import cave
from ifmsr import metrics
from ifmsr.degradation import degrade
from ifmsr.paths import ROOT
from ifmsr.scenes import Scene
from ifmsr.scenes.base import Split
from ifmsr.training import PRESETS, Patches

RNG = np.random.default_rng(0)
WAVELENGTHS = np.arange(400.0, 701.0, 100.0)
SRF = np.array([[0, 0, 0, 1], [0, 0.5, 0.5, 0], [1, 0, 0, 0]], np.float32)
SCENE = Scene("made_of_blocks", RNG.random((4, 96, 96)).astype(np.float32), srf=SRF, wavelengths=WAVELENGTHS)


def test_every_picture_is_shown_in_a_chapter_with_the_command_that_makes_it():
    chapters = {}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        for alt, name in re.findall(r"!\[([^\]]+)\]\(\.\./docs/_static/cave/([\w-]+)\.jpg\)", text):
            assert len(alt) > 20 and f"Made by `python -m docs.cave {name}`." in text
            chapters.setdefault(name, path.stem)
    kept = {path.stem: path.stat().st_size for path in cave.FOLDER.iterdir()}
    assert set(kept) == set(cave.PICTURES) == set(chapters)
    assert max(kept.values()) < 250_000
    assert {"00", "01", "02", "04", "05"} <= {chapter[:2] for chapter in chapters.values()}


def test_places_of_equal_colours_have_bars_of_their_rgb_values_and_their_spectra():
    places = ((20, 20), (60, 70))
    figure = cave.equal_colours(SCENE, places, (8, 8, 80, 80), 2)
    left, middle, values, right = figure.axes
    assert middle.get_title() == "The band at 600 nm"
    for number, (row, column) in enumerate(places):
        square = SCENE.cube[:, row - 3 : row + 4, column - 3 : column + 4].mean(axis=(1, 2))
        heights = [bar.get_height() for bar in values.containers[number]]
        assert heights == pytest.approx(SRF @ square, rel=1e-5)
        np.testing.assert_allclose(right.lines[number].get_ydata(), square, rtol=1e-6)
        assert left.lines[number].get_xydata().tolist() == [[column - 8, row - 8]]


def test_frames_tell_the_sets_of_the_split():
    images = {name: RNG.random((3, 8, 8)) for name in "abcd"}
    figure = cave.all_scenes(images, Split(("a", "d"), ("b",), ("c",)), columns=3)
    hues = [ax.spines["left"].get_edgecolor() for ax in figure.axes]
    assert hues[0] == hues[3] and len(set(hues)) == 3
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "training, 2 scenes",
        "validation, 1 scenes",
        "test, 1 scenes",
    ]


def test_bands_have_their_wavelengths():
    figure = cave.bands_of(SCENE, (0, 2), ((20, 20),))
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["Made of blocks", "", "400 nm", "600 nm"]


def test_the_cross_is_at_the_same_place_of_all_regions():
    seen = {f"x{scale}": degrade(SCENE, scale) for scale in (4, 8)}
    region = (16, 24, 48, 48)
    _, *panels = cave.degraded(SCENE, seen, region).axes
    for ax, scale in zip(panels, (1, 4, 8), strict=True):
        assert ax.images[0].get_array().shape[:2] == (48 // scale, 48 // scale)
        place = ax.lines[-1].get_xydata()[0]
        assert (place + 0.5) * scale == pytest.approx([24.5, 24.5])


def test_similar_patches_are_framed_where_they_are():
    cube = SCENE.cube.copy()
    cube[:, 24:36, 48:60] = cube[:, 60:72, 12:24]  # patch 20 becomes patch 41
    figure = cave.similar(replace(SCENE, cube=cube), 12, (20,))
    whole, patch, best, *_ = figure.axes
    assert np.array_equal(patch.images[0].get_array(), best.images[0].get_array())
    corners = [frame.get_xy() for frame in whole.patches]
    assert corners[:2] == [(47.5, 23.5), (11.5, 59.5)]


def test_samples_are_those_of_the_training():
    patches = Patches([SCENE], replace(PRESETS["paper"], patch_side=48, crops_per_scene=3))
    figure = cave.samples(patches, (0, 2))
    noise = [f"noise {255 * patches.draw(number).degradation.sigma:.0f}/255" for number in (0, 2)]
    assert [ax.get_xlabel() for ax in figure.axes[2:]] == noise
    assert [ax.images[0].get_array().shape for ax in figure.axes] == [(48, 48, 3)] * 2 + [(12, 12, 3)] * 2


def test_errors_have_one_scale_and_the_psnr_of_their_scene():
    other = replace(SCENE, name="other", cube=SCENE.cube[:, ::-1].copy())
    results = {"Near": [SCENE.cube * 0.98, other.cube * 0.99], "Far": [SCENE.cube * 0.8, other.cube * 0.7]}
    figure = cave.with_errors([SCENE, other], results, 0.05)
    panels = figure.axes[2:6]
    assert [ax.get_title() for ax in panels] == [
        f"{metrics.psnr(scene.cube, cube):.2f} dB"
        for cubes in results.values()
        for scene, cube in zip((SCENE, other), cubes, strict=True)
    ]
    assert {ax.images[0].get_clim() for ax in panels} == {(0, 0.05)}
    np.testing.assert_allclose(
        panels[0].images[0].get_array(), 0.02 * SCENE.cube.mean(axis=0), rtol=1e-3, atol=1e-6
    )


def test_a_picture_is_a_jpeg_with_all_of_its_colours():
    figure = cave.bands_of(SCENE, (0, 2), ((20, 20),))
    picture = Image.open(BytesIO(cave.jpeg_of(figure)))
    assert picture.format == "JPEG" and picture.layer[0][1:3] == picture.layer[1][1:3] == (1, 1)

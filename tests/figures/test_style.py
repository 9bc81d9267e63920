"""Files that are small and reproducible, and looks of methods."""

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ifmsr import figures
from ifmsr.errors import InputError


def test_saved_files_are_the_same_in_every_process(folder, tmp_path):
    script = (
        "import sys; from ifmsr.figures import figure4, save_figure;"
        "save_figure(figure4(sys.argv[1]), sys.argv[2])"
    )
    again = subprocess.run(
        [sys.executable, "-c", script, folder, tmp_path / "there"], capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    pdf, png = figures.save_figure(figures.figure4(folder), tmp_path / "here")
    assert pdf.read_bytes() == (tmp_path / "there.pdf").read_bytes()
    assert png.read_bytes() == (tmp_path / "there.png").read_bytes()
    assert b"CreationDate" not in pdf.read_bytes()
    assert b"/FontFile2" in pdf.read_bytes()  # TrueType, type 42
    with pytest.raises(InputError, match="suffix"):
        figures.save_figure(Figure(), tmp_path / "here.pdf")


def test_a_large_picture_stays_small_in_the_repository(tmp_path):
    figure = Figure(figsize=(7, 7))
    noise = np.random.default_rng(0).random((3, 900, 900))
    figures.show_rgb(figure.add_axes((0, 0, 1, 1)), noise)
    _, png = figures.save_figure(figure, tmp_path / "noise")
    assert png.stat().st_size <= figures.style.PNG_BYTES
    assert min(Image.open(io.BytesIO(png.read_bytes())).size) >= 7 * 80


def test_fewer_colours_leave_a_colour_bar_without_steps():
    figure = Figure(figsize=(4, 4))
    rng = np.random.default_rng(0)
    figures.show_band(figure.add_axes((0, 0.2, 1, 0.8)), rng.random((400, 400)))
    bar = figure.add_axes((0, 0, 1, 0.05))
    bar.imshow(np.linspace(0, 1, 400)[None], cmap="magma", aspect="auto")
    pictures = [
        np.asarray(
            Image.open(io.BytesIO(figures.style.png_of(figure, 10**9, [(100, colours)]))).convert("RGB")
        ).astype(int)
        for colours in (None, 256)
    ]
    full, reduced = (picture[-10, 5:-5] for picture in pictures)  # a row of the bar
    assert np.abs(full - reduced).max() < 8


def test_each_method_keeps_its_look_and_no_two_share_one():
    names = [
        "Bicubic",
        "Closed-form",
        "LTTR",
        "CMS",
        "PZRes-Net",
        "MHF-net",
        "MoG-DCN",
        "UAL",
        "IFMSR",
        "Own",
    ]
    looks = figures.method_styles(names)
    assert len({str(look) for look in looks.values()}) == len(names)
    assert figures.method_styles(["UAL"])["UAL"] == looks["UAL"]

"""Figures 4 to 6 of a real evaluation folder: contents of the panels, and what is missing or does not fit."""

import io
import json
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ifmsr import figures
from ifmsr.errors import InputError
from ifmsr.figures.panels import TRUTH, check_window, cut, inset, repeat_pixels
from ifmsr.figures.spatial import Row, _draw, nice_ceiling
from ifmsr.figures.spectral import _default_methods
from ifmsr.figures.style import PAGE_HEIGHT, PAGE_WIDTH
from ifmsr.runs import Run
from ifmsr.scenes import open_dataset


def shown(ax):
    return np.asarray(ax.get_images()[0].get_array())


def overlapping(texts):
    """Pairs of texts whose boxes share pixels; the figure is drawn."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    return [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if one.overlaps(other)]


def test_the_busiest_window_is_where_the_detail_is():
    image = np.full((96, 120), 0.25)
    image[40:56:2, 70:86] = 0.5
    top, left, height, width = figures.busiest_window(image)
    assert (height, width) == (16, 16)
    assert abs(top - 40) <= 1 and abs(left - 70) <= 1
    assert figures.busiest_window(np.zeros((5, 40))) == (0, 0, 5, 5)


@pytest.mark.parametrize(
    ("value", "ceiling"), [(0.011, 0.02), (0.02, 0.02), (0.3, 0.5), (0.6, 1.0), (0.0, 1e-4)]
)
def test_the_scale_of_the_errors_is_a_round_number(value, ceiling):
    assert nice_ceiling(value) == pytest.approx(ceiling)


def test_figure4_has_the_truth_and_every_method_with_its_error_below(folder, scene):
    window = (10, 4, 12, 12)
    drawn = figures.figure4(folder, band=30, region=window)
    above, below, bar = drawn.axes[:3], drawn.axes[3:6], drawn.axes[6]
    assert [ax.get_title() for ax in above] == ["Ground truth", "Bicubic", "IFMSR"]
    assert above[0].get_ylabel() == "Indian Pines test\nband 31"
    image = scene.cube[30]
    black, white = np.percentile(image, (0.5, 99.5))
    expected = np.sqrt(np.clip((image - black) / (white - black), 0, 1))
    np.testing.assert_allclose(shown(above[0]), expected, atol=1e-6)
    np.testing.assert_allclose(shown(below[0]), cut(expected, window), atol=1e-6)
    for ax in above:
        (box,) = ax.patches
        assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (3.5, 9.5, 12, 12)

    theirs, ours = shown(below[1]), shown(below[2])  # in the unit of the data
    np.testing.assert_allclose(ours, 0.02, atol=1e-3)  # float16
    lr = repeat_pixels(scene.cube[30, 2::4, 2::4], 4)
    np.testing.assert_allclose(theirs, np.abs(cut(lr - image, window)), atol=1e-3)
    assert bar.get_xlabel() == "Absolute error (value / 9604)"
    limits = {ax.get_images()[0].get_clim() for ax in below[1:]}
    assert len(limits) == 1  # one scale for all methods
    ((lowest, highest),) = limits
    expected = np.sqrt(np.percentile(ours, 99) * np.percentile(theirs, 99))
    assert (lowest, highest) == bar.get_xlim() == (0, nice_ceiling(expected))


def test_one_bad_method_does_not_hide_the_errors_of_the_others():
    image = np.full((48, 48), 0.5)
    results = {"Bicubic": image + 0.4, "UAL": image + 0.01, "IFMSR": image - 0.012, "Perfect": image}
    drawn = _draw([Row("CAVE face", "band 15", "reflectance", image, results, (8, 8, 9, 9))])
    ends = {ax.images[0].get_clim()[1] for ax in drawn.axes[6:10]}
    assert ends == {0.01}  # fourth root of 0.4 * 0.01 * 0.012 * 0.0001, rounded up


def test_panels_of_many_methods_continue_below_and_no_two_texts_touch():
    names = [
        "Bicubic", "LTTR", "CMS", "PZRes-Net", "MHF-net", "MoG-DCN", "UAL", "IFMSR", "Closed-form",
        "IFMSR, test family", "UAL (fusion only)", "CMS, estimated kernel",
    ]  # fmt: skip
    image = np.random.default_rng(0).random((48, 48))
    rows = [
        Row(
            f"CAVE {scene}",
            "band 15, 540 nm",
            "reflectance",
            image,
            dict.fromkeys(names, image),
            (8, 8, 9, 9),
        )
        for scene in ("face", "fake_and_real_lemon_slices")
    ]
    drawn = _draw(rows)
    assert (drawn.get_size_inches() <= np.array([PAGE_WIDTH, PAGE_HEIGHT]) + 1e-9).all()
    drawn.draw_without_rendering()
    titles = [ax.title for ax in drawn.axes]
    said = [title.get_text().replace("\n", " ") for title in titles if title.get_text()]
    assert said == [TRUTH, *names]
    sides = [ax.yaxis.label for ax in drawn.axes] + [drawn.axes[-1].xaxis.label]
    assert overlapping([*titles, *sides]) == []
    for text in (*titles, *sides):
        box = text.get_window_extent()
        assert not text.get_text() or (box.x0 >= 0 and box.y0 >= 0 and box.y1 <= drawn.bbox.y1)
    places = [ax.get_position() for ax in drawn.axes]
    assert not any(one.overlaps(other) for one, other in combinations(places, 2))


def test_figure4_defaults(folder, scene):
    drawn = figures.figure4([folder])
    assert drawn.axes[0].get_ylabel().endswith("\nband 101")  # the middle of 200
    (box,) = drawn.axes[0].patches
    top, left, *_ = figures.busiest_window(scene.cube[100])
    assert (box.get_x(), box.get_y()) == (left - 0.5, top - 0.5)
    only = figures.figure4(folder, scenes=["test"], methods=["ifmsr"])
    assert [ax.get_title() for ax in only.axes[:2]] == [TRUTH, "IFMSR"]


def test_figure4_has_the_order_of_the_paper_unless_another_is_named(folder):
    scrambled = figures.Evaluated.open(folder)
    scrambled.config["methods"].reverse()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["config"]["methods"] = scrambled.config["methods"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert figures.Evaluated.open(folder).config["methods"] == ["ifmsr", "bicubic"]
    assert [ax.get_title() for ax in figures.figure4(folder).axes[1:3]] == ["Bicubic", "IFMSR"]
    named = figures.figure4(folder, methods=["ifmsr", "bicubic"])
    assert [ax.get_title() for ax in named.axes[1:3]] == ["IFMSR", "Bicubic"]


def test_figure4_of_real_cave_scenes(cave_root, tmp_path):
    dataset = open_dataset("cave", cave_root)
    config = {
        "dataset": "cave", "root": cave_root, "scale": 4, "seeds": [3], "methods": ["bicubic"],
        "scenes": ["balloons", "face", "hairs"],
    }  # fmt: skip
    with Run(tmp_path, config=config):
        (tmp_path / "cubes" / "bicubic").mkdir(parents=True)
        for name in ("balloons", "face"):
            cube = repeat_pixels(dataset.load(name).cube[:, ::4, ::4], 4).astype(np.float16)
            np.save(tmp_path / "cubes" / "bicubic" / f"{name}-s3.npy", cube)
    drawn = figures.figure4(tmp_path)
    rows = [f"CAVE {scene}\nband 15, 540\N{NO-BREAK SPACE}nm" for scene in ("face", "balloons")]
    assert [ax.get_ylabel() for ax in drawn.axes[0:8:4]] == rows
    assert drawn.axes[-1].get_xlabel() == "Absolute error (reflectance)"
    for pdf_or_png in figures.save_figure(drawn, tmp_path / "figure4"):
        assert 10_000 < pdf_or_png.stat().st_size < 1_000_000
    spectra = figures.figure5(tmp_path)
    assert [ax.get_title(loc="left") for ax in spectra.axes[::2]] == [
        "face, row 350, column 400", "face, row 10, column 380",
        "balloons, row 260, column 400", "balloons, row 325, column 20",
    ]  # fmt: skip
    for ax in spectra.axes:
        np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), np.arange(400, 701, 10))
    assert [ax.get_xlabel() for ax in spectra.axes[5::2]] == ["Wavelength (nm)"] * 2
    assert spectra.axes[0].get_ylabel() == "Reflectance"


def test_figure5_draws_the_spectra_of_the_named_pixels_and_below_their_differences(folder, scene):
    drawn = figures.figure5(folder, {"test": [(100, 7), (3, 40)]})
    first, below_first, second, below = drawn.axes
    assert first.get_title(loc="left") == "test, row 100, column 7"
    curves = {line.get_label(): line for line in second.get_lines()}
    assert list(curves) == [TRUTH, "Bicubic", "IFMSR"]
    np.testing.assert_array_equal(curves[TRUTH].get_xdata(), np.arange(1, 201))
    np.testing.assert_array_equal(curves[TRUTH].get_ydata(), scene.cube[:, 3, 40])
    np.testing.assert_allclose(curves["IFMSR"].get_ydata(), scene.cube[:, 3, 40] - 0.02, atol=1e-3)
    assert to_rgb(curves[TRUTH].get_color()) == (0, 0, 0)
    bicubic, ifmsr, zero = below.get_lines()
    np.testing.assert_allclose(ifmsr.get_ydata(), -0.02, atol=1e-3)
    expected = curves["Bicubic"].get_ydata() - scene.cube[:, 3, 40]
    np.testing.assert_allclose(bicubic.get_ydata(), expected, atol=1e-6)
    assert set(zero.get_ydata()) == {0} and bicubic.get_color() == curves["Bicubic"].get_color()
    assert below.get_ylim() == below_first.get_ylim()  # one scale for all differences
    assert (first.get_ylabel(), below_first.get_ylabel()) == ("Value / 9604", "Difference")
    assert (below.get_xlabel(), second.get_xlabel()) == ("Band number", "")
    (legend,) = drawn.legends
    assert [text.get_text() for text in legend.get_texts()] == [TRUTH, "Bicubic", "IFMSR"]
    assert [ax.get_title(loc="left") for ax in figures.figure5(folder).axes[::2]] == [
        "test, row 48, column 16",
        "test, row 96, column 32",
    ]


def test_figure5_has_at_most_five_curves_beside_the_truth(folder):
    everything = ["bicubic", "closed-form", "lttr", "cms", "ifmsr", "pzres-net", "mhf-net", "mog-dcn", "ual"]
    evaluation = figures.Evaluated.open(folder)
    evaluation.config["methods"] = everything
    assert _default_methods(evaluation) == ["pzres-net", "mhf-net", "mog-dcn", "ual", "ifmsr"]  # the paper's
    evaluation.config["methods"] = ["closed-form", "gsa", "ifmsr", "bicubic"]
    assert _default_methods(evaluation) == ["bicubic", "ifmsr", "closed-form", "gsa"]
    with pytest.raises(InputError, match="6 curves cannot be told apart"):
        figures.figure5(folder, methods=["ifmsr"] * 6)


def test_figure6_shares_one_stretch_and_shows_the_longest_band_as_red(seen, scene):
    drawn = figures.figure6(
        seen, {"Bicubic": repeat_pixels(seen.lr, 4), "Truth": scene.cube}, region=(0, 0, 20, 20)
    )
    lr, bicubic, truth, *below = drawn.axes
    assert [ax.get_title() for ax in (lr, bicubic, truth)] == ["LR", "Bicubic", "Truth"]
    np.testing.assert_array_equal(shown(lr), shown(bicubic))
    low, high = np.percentile(seen.lr[4], (1, 99))
    red = np.sqrt(np.clip((scene.cube[4] - low) / (high - low), 0, 1))  # band 5 of 2-3-5
    np.testing.assert_allclose(shown(truth)[..., 0], red, atol=1e-5)
    np.testing.assert_allclose(shown(below[2])[..., 0], red[:20, :20], atol=1e-5)
    assert (lr.get_ylabel(), below[0].get_ylabel()) == ("bands 5, 3, 2", "in the frame")


def test_figure6_of_many_methods_continues_below_and_names_wavelengths(seen, scene):
    results = {f"Method {number}": scene.cube for number in range(7)}
    drawn = figures.figure6(seen, results, region=(0, 0, 20, 20), wavelengths=np.arange(400.0, 600.0))
    titles = [ax.get_title() for ax in drawn.axes if ax.get_title()]
    assert titles == ["LR", *results]
    assert [ax.get_ylabel() for ax in drawn.axes[::4]] == ["404, 402, 401 nm", "in the frame"] * 2


def test_the_inset_does_not_hide_its_region():
    ax = Figure().add_axes((0, 0, 1, 1))
    ax.imshow(np.zeros((144, 48)))
    inset(ax, (130, 36, 12, 12), (144, 48), np.zeros((12, 12)))  # the lower right corner
    ax.figure.savefig(io.BytesIO())  # places the inset
    panel, box = ax.get_position(), ax.child_axes[0].get_position()
    assert box.x0 == pytest.approx(panel.x0) and box.y0 == pytest.approx(panel.y0)  # the lower left one


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda folder: figures.figure4(folder, scenes=["face"]), "scenes: face not in"),
        (lambda folder: figures.figure4([folder, folder], scenes=["face"]), "no evaluation has"),
        (lambda folder: figures.figure4([]), "no evaluation folder"),
        (lambda folder: figures.figure4(folder, methods=["ual"]), "methods: ual not in"),
        (lambda folder: figures.figure4(folder, methods=[]), "no method to draw"),
        (lambda folder: figures.figure4(folder, band=200), "band: 200 is not among the 200"),
        (lambda folder: figures.figure4(folder, region=(140, 0, 12, 12)), "leaves the image"),
        (lambda folder: figures.figure5(folder, {"test": [(144, 0)]}), "points of test: the pixel"),
        (lambda folder: figures.figure5(folder, {}), "no scene given"),
        (lambda folder: figures.figure4(folder.parent), "unfinished"),
    ],
)
def test_what_does_not_fit_is_named(folder, call, problem):
    with pytest.raises(InputError, match=problem):
        call(folder)


def test_missing_and_broken_results_are_named(folder):
    path = folder / "cubes" / "ifmsr" / "test-s0.npy"
    whole = path.read_bytes()
    for content, problem in dict.fromkeys((b"", whole[:1000]), "cannot be read as a stored cube").items():
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"ifmsr.*{problem}"):
            figures.figure5(folder)
    np.save(path, np.zeros((200, 4, 4), np.float16))
    with pytest.raises(InputError, match="its shape is"):
        figures.figure5(folder)
    path.unlink()
    with pytest.raises(InputError, match="the method's result is not there"):
        figures.figure5(folder)


def test_figure6_raises_for_what_does_not_fit(seen, scene):
    with pytest.raises(InputError, match="Bicubic: its shape"):
        figures.figure6(seen, {"Bicubic": seen.lr})
    with pytest.raises(InputError, match="bands"):
        figures.figure6(seen, {}, bands=(0, 3, 5))
    with pytest.raises(InputError, match="leaves the image"):
        check_window("region", (-1, 0, 5, 5), scene.cube.shape)

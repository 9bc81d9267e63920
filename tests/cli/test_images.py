import json
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import REAL_DATA, real
from PIL import Image
from scipy.io import savemat

from ifmsr.cli import main
from ifmsr.cli.images import METHODS
from ifmsr.cli.pairs import pairs_of
from ifmsr.degradation.protocol import degrade
from ifmsr.inference import blocks
from ifmsr.io import Cube, read_cube, reading, write_cube
from ifmsr.methods.registry import method_names
from ifmsr.runs import read_manifest
from ifmsr.scenes import Scene, open_dataset


@pytest.fixture(scope="module")
def observation():
    part = open_dataset("indian-pines").load("test")
    return degrade(Scene("part", part.cube[::20], rgb_bands=(1, 4, 8)), 4)


@pytest.fixture
def files(tmp_path, observation, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("lr.npy", observation.lr)
    Image.fromarray((255 * observation.rgb.transpose(1, 2, 0)).round().astype(np.uint8)).save("rgb.png")
    return "lr.npy", "rgb.png"


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_two_files_and_an_output_path_are_enough(files, capsys):
    assert run("super-resolve", *files, "-o", "sr.npy") == 0
    assert np.load("sr.npy").shape == (10, 144, 48) and np.load("sr.npy").dtype == np.float32
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("lr.npy: 10 bands of 36 x 12 pixels, float32; values from ")
    assert lines[1].startswith("rgb.png: 3 bands of 144 x 48 pixels, uint8; divided by 255;")
    assert [line.partition(" ")[0] for line in lines[2:7]] == ["blur:", "shift", "noise", "tone", "the"]
    assert lines[7:] == ["sr.npy"]


def test_quiet_and_json(files, capsys):
    assert run("super-resolve", *files, "-o", "sr.npy", "--method", "bicubic", "-q") == 0
    assert capsys.readouterr().out == ""
    assert run("super-resolve", *files, "-o", "sr.npy", "--method", "bicubic", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["scale"] == 4 and report["result"] == "sr.npy" and report["related"] is True
    assert np.shape(report["response"]) == (3, 11) and len(report["taken"]) == 2
    assert run("assess", *files, "--json") == 0
    assert "result" not in json.loads(capsys.readouterr().out)


def test_verbose_says_how_long_each_step_takes(files, capsys):
    arguments = ("super-resolve", *files, "-o", "sr.npy", "--method", "bicubic", "--report", "report", "-v")
    assert run(*arguments) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "loading the libraries",
        "reading",
        "method bicubic",
        "assessing the pair",
        "super-resolving",
        "writing",
        "the report",
    ]
    assert all(re.fullmatch(r"ifmsr: .*: [0-9]+\.[0-9] s", line) for line in lines if "method" not in line)
    assert run("assess", *files, "-v") == 0
    assert "ifmsr: assessing the pair: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("assess", *files, "-v", "-q")


def test_a_georeferenced_cube_gets_the_georeference_of_the_photo(files, observation):
    lr = Cube(
        observation.lr,
        wavelengths=np.linspace(450, 900, 10),
        crs="EPSG:32611",
        transform=(4.0, 0.0, 1000.0, 0.0, -4.0, 2000.0),
        scale=np.full(10, 1e-4),
        nodata=-9999.0,
        dtype="int16",
    )
    write_cube("lr.tif", lr)
    assert run("super-resolve", "lr.tif", "rgb.png", "-o", "sr.hdr", "--method", "bicubic") == 0
    sr = read_cube("sr.hdr")
    assert sr.values.shape == (10, 144, 48) and sr.dtype == "int16" and sr.nodata == -9999
    np.testing.assert_allclose(sr.transform, (1.0, 0.0, 1000.0, 0.0, -1.0, 2000.0))
    np.testing.assert_allclose(sr.wavelengths, np.linspace(450, 900, 10))
    assert run("super-resolve", "lr.tif", "rgb.png", "-o", "sr.tif", "--method", "bicubic", "--float") == 0
    floats = read_cube("sr.tif")
    assert floats.dtype == "float32"
    np.testing.assert_allclose(floats.values, sr.values, atol=6e-5)


def test_missing_values_are_missing_in_the_result(files, observation):
    counts = (observation.lr * 1000).round().astype(np.uint16)
    counts[:, :2] = 0
    np.save("lr.npy", counts)
    assert run("super-resolve", *files, "-o", "sr.npy", "--method", "bicubic", "--nodata", 0) == 0
    sr = np.load("sr.npy")
    assert sr.dtype == np.uint16 and (sr[:, :8] == 0).all() and (sr[:, 8:] > 0).mean() > 0.9
    write_cube("lr.npz", Cube(np.where(counts == 0, np.nan, observation.lr).astype(np.float32)))
    assert run("super-resolve", "lr.npz", "rgb.png", "-o", "sr.npy", "--method", "bicubic") == 0
    assert np.isnan(np.load("sr.npy")[:, :8]).all()
    rgba = np.array(Image.open("rgb.png").convert("RGBA"))
    rgba[:40, :, 3] = 0
    Image.fromarray(rgba).save("rgb.png")
    assert (
        run("super-resolve", *files, "-o", "sr.npy", "--method", "bicubic") == 0
    )  # the cube is upsampled there


def test_integers_without_a_number_for_missing_values_become_floats(files, observation, capsys):
    counts = (observation.lr * 1000).round().astype(np.uint16).transpose(1, 2, 0)
    rgba = np.concatenate([counts[..., :3], np.full((36, 12, 1), 65535, np.uint16)], axis=2)
    rgba[:2, :, 3] = 0
    with rasterio.open(
        "lr.tif", "w", driver="GTiff", height=36, width=12, count=4, dtype="uint16", photometric="rgb", alpha="yes"
    ) as target:  # fmt: skip
        target.write(rgba.transpose(2, 0, 1))
    assert run("super-resolve", "lr.tif", "rgb.png", "-o", "sr.npy", "--method", "bicubic") == 0
    assert "sr.npy is written as float32: uint16 has no number" in capsys.readouterr().err
    sr = np.load("sr.npy")
    assert sr.dtype == np.float32 and np.isnan(sr[:, :8]).all()


def test_a_report_leaves_a_picture_and_the_assessment(files, capsys):
    assert run("super-resolve", *files, "-o", "sr.npy", "--report", "report", "--method", "bicubic") == 0
    printed = capsys.readouterr().out.splitlines()[-4:]
    assert [Path(line).name for line in printed] == [
        "sr.npy",
        "preview.png",
        "assessment.json",
        "manifest.json",
    ]
    assert Image.open("report/preview.png").size[0] > 800
    report = json.loads(Path("report/assessment.json").read_text(encoding="utf-8"))
    assert report["scale"] == 4 and "observation" not in report and np.ndim(report["kernel"]) == 2
    manifest = read_manifest("report")
    assert set(manifest["files"]) == {"preview.png", "assessment.json"}
    assert set(manifest["data"]) == {"lr.npy", "rgb.png"} and manifest["config"]["method"] == "bicubic"


def test_an_assessment_can_be_drawn(files, capsys):
    assert run("assess", *files, "-o", "pair.png") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "pair.png" and Image.open("pair.png").size[0] > 800
    assert run("assess", *files, "-o", "pair.doc") == 2
    assert "pair.doc: it is no picture" in capsys.readouterr().err


@pytest.mark.cpu
def test_little_memory_and_half_the_precision_are_two_flags(files, computes_bfloat16):
    cubes = []
    for flags in ((), ("--memory", 1), ("--precision", "bfloat16")):
        assert run("super-resolve", *files, "--method", "ifmsr", *flags, "-o", "sr.npy") == 0
        cubes.append(np.load("sr.npy"))
    plain, little, half = cubes
    np.testing.assert_array_equal(plain, little)
    apart = np.abs(plain - half).max()
    assert apart < 0.05 and (apart > 0) == computes_bfloat16


def test_the_guides_size_decides_where_the_bands_are(files, observation):
    np.save("lr.npy", np.tile(observation.lr, (4, 1, 1))[:, :12])  # (40, 12, 12)
    np.save("rgb.npy", observation.rgb[:, :48])
    assert run("super-resolve", "lr.npy", "rgb.npy", "--method", "bicubic", "-o", "sr.npy") == 0
    assert np.load("sr.npy").shape == (40, 48, 48)


def test_a_response_file_is_used_and_checked(files, observation, capsys):
    np.save("rgb.npy", observation.rgb)
    lines = [f"{400 + 10 * i},{int(i == 1)},{int(i == 4)},{int(i == 8)}" for i in range(10)]
    with open("srf.csv", "w", encoding="utf-8") as file:
        file.write("\n".join(["wavelength_nm,R,G,B", *lines]))
    arguments = ("super-resolve", "lr.npy", "rgb.npy", "--method", "closed-form", "-o", "sr.npy", "--srf")
    assert run(*arguments, "srf.csv") == 0
    assert "spectral response: given" in capsys.readouterr().out
    assert run(*arguments, "nikon-d700") == 2
    assert "--srf: the response of nikon-d700 has 31 wavelengths" in capsys.readouterr().err
    assert run(*arguments, "nikon-d7oo") == 2
    assert "Did you mean nikon-d70 or nikon-d700" in capsys.readouterr().err


def test_a_cameras_response_is_resampled_to_the_cubes_wavelengths(files, observation, capsys):
    write_cube("lr.npz", Cube(observation.lr, wavelengths=np.linspace(420, 690, 10)))
    assert run("assess", "lr.npz", "rgb.png", "--srf", "canon-eos-5d") == 0
    assert "nearest of the measured cameras: " in capsys.readouterr().out
    assert run("assess", "lr.npz", "rgb.png", "--json") == 0
    assert json.loads(capsys.readouterr().out)["nearest_camera"]["misfit"] > 0
    assert run("cameras") == 0
    names = capsys.readouterr().out.splitlines()
    assert "Canon EOS 5D" in names and sum(name.startswith("nikon-d700") for name in names) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lr.npy", "rgb.png", "-o", "sr.xyz"), "sr.xyz: unknown file type '.xyz'"),
        (("lr.npy", "rgb.png", "-o", "folder.npy"), "folder.npy: it is no regular file"),
        (("lr.npy", "rgb.png", "-o", "sr.npy", "--error", "e.xyz"), "e.xyz: unknown file type"),
        (("nowhere.mat", "rgb.png", "-o", "sr.npy"), "nowhere.mat: there is no such file"),
        (("lr.npy", "nowhere.png", "-o", "sr.npy"), "nowhere.png: there is no such file"),
        (("two.mat", "rgb.png", "-o", "sr.npy"), "Name one with --lr-key"),
        (("lr.npy", "two.mat", "-o", "sr.npy"), "Name one with --rgb-key"),
        (
            ("lr.npy", "rgb.png", "-o", "sr.npy", "--lr-maximum", "0.1"),
            "Give a --lr-maximum that holds them all",
        ),
        (("lr.npy", "rgb.png", "-o", "sr.npy", "--lr-maximum", "0"), "--lr-maximum: 0.0 for lr.npy"),
        (("lr.npy", "rgb.png", "-o", "sr.npy", "--rgb-bands", "5,2,1"), "--rgb-bands: 5,2,1 of 3 bands"),
        (("lr.npy", "five.npy", "-o", "sr.npy"), "counted from 1, with --rgb-bands"),
        (("cube.npy", "rgb.png", "-o", "sr.npy"), "Say --layout HWC if the bands come last"),
        (("far.npy", "rgb.png", "-o", "sr.npy"), "a missing value with --nodata"),
        (
            ("lr.npy", "odd.png", "-o", "sr.npy"),
            "--scale: the cube has 36 x 12 pixels and the guide 100 x 48",
        ),
        (("lr.npy", "odd.png", "-o", "sr.npy"), "or give --scale and --crop"),
        (("lr.npy", "rgb.png", "-o", "sr.npy", "--scale", "3"), "Give another --scale or --crop"),
        (("lr.npy", "rgb.png", "-o", "sr.npy", "--method", "bicubci"), "--method: 'bicubci' is unknown"),
        (
            ("lr.npy", "rgb.png", "-o", "sr.npy", "--memory", "-1", "--method", "ifmsr"),
            "--memory: found -1000000",
        ),
        (("lr.npy", "rgb.png", "-o", "sr.npy", "--error", "e.npy", "--method", "gsa"), "--error: "),
        (("lr.npy", "noise.png", "-o", "sr.npy", "--strict"), "or leave --strict out"),
        (("lr.npy", "rgb.png", "lr.npy", "-o", "out"), "LR RGB: 3 images"),
        (("lr.npy", "rgb.png", "lr.npy", "rgb.png", "-o", "out"), "LR RGB: lr would be written twice"),
        (
            ("lr.npy", "rgb.png", "far.npy", "rgb.png", "-o", "out", "--suffix", ".xyz"),
            "unknown file type '.xyz'",
        ),
        (("lr.npy", "rgb.png", "-o", "lr.npy"), "lr.npy: it is one of the images to read"),
        (("lr.npy", "rgb.png", "lr.npy", "rgb.png", "-o", "sr.npy"), "-o: one file for 2 pairs"),
    ],
)
def test_messages_name_options_and_files(files, observation, tmp_path, capsys, arguments, message):
    (tmp_path / "folder.npy").mkdir()
    savemat("two.mat", {"a": observation.lr, "b": observation.lr})
    np.save("five.npy", np.zeros((5, 144, 48), np.float32))
    np.save("cube.npy", np.zeros((8, 8, 8), np.float32))
    np.save("far.npy", observation.lr - 0.9)
    Image.new("RGB", (48, 100)).save("odd.png")
    noise = np.random.default_rng(0).integers(0, 256, (144, 48, 3)).astype(np.uint8)
    Image.fromarray(noise).save("noise.png")
    assert run("super-resolve", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("ifmsr: ") and message in captured.err
    assert not (tmp_path / "sr.npy").exists()


def test_images_that_do_not_fit_can_be_cropped(files, observation):
    Image.open("rgb.png").crop((0, 0, 47, 141)).save("short.png")
    assert run("super-resolve", "lr.npy", "short.png", "--crop", "--method", "bicubic", "-o", "sr.npy") == 0
    assert np.load("sr.npy").shape == (10, 140, 44)


def test_the_expected_error_has_the_georeference_of_the_result(files, observation):
    lr = Cube(observation.lr, crs="EPSG:32611", transform=(4.0, 0.0, 1000.0, 0.0, -4.0, 2000.0))
    write_cube("lr.tif", lr)
    arguments = (
        "super-resolve",
        "lr.tif",
        "rgb.png",
        "--method",
        "subspace-net",
        "-o",
        "sr.tif",
        "--error",
        "error.tif",
    )
    assert run(*arguments) == 0
    with rasterio.open("sr.tif") as sr, rasterio.open("error.tif") as error:
        assert error.shape == sr.shape and error.transform == sr.transform and error.count == 1


def test_a_batch_goes_on_after_a_bad_pair_and_ends_with_1(files, capsys, tmp_path):
    (tmp_path / "again.npy").write_bytes((tmp_path / "lr.npy").read_bytes())
    arguments = ("lr.npy", "rgb.png", "nowhere.npy", "rgb.png", "again.npy", "rgb.png")
    assert run("super-resolve", *arguments, "-o", "out", "--suffix", ".npz", "--method", "bicubic", "-q") == 1
    captured = capsys.readouterr()
    table = captured.out.splitlines()
    assert [line.split()[0] for line in table] == ["lr.npy", "nowhere.npy", "again.npy"]
    assert "explained" in table[0] and "failed: nowhere.npy: there is no such file" in table[1]
    assert captured.err.splitlines()[-1] == "ifmsr: 1 of 3 pairs failed"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["again.npz", "lr.npz"]


def test_two_folders_are_paired_by_name(files, tmp_path, capsys):
    for folder, source, names in (
        ("c", "lr.npy", ["a_lr.npy", "b.npy", "x.npy"]),
        ("g", "rgb.png", ["a.png", "b.png", "bb.png"]),
    ):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_bytes((tmp_path / source).read_bytes())
    assert run("super-resolve", "c", "g", "-o", "out", "--method", "bicubic", "-q", "--suffix", ".npy") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_lr.npy", "b.npy"]
    assert "x.npy" in capsys.readouterr().err


def test_a_folder_of_bands_is_one_cube(files, observation, tmp_path):
    folder = tmp_path / "scene"
    folder.mkdir()
    for band, image in enumerate((observation.lr * 65535).astype(np.uint16)):
        Image.fromarray(image).save(folder / f"scene_{band + 1:02}.png")
    assert pairs_of([folder, tmp_path / "rgb.png"]) == [(folder, tmp_path / "rgb.png")]
    assert run("super-resolve", folder, "rgb.png", "-o", "sr.tif", "--method", "bicubic") == 0
    assert read_cube("sr.tif").values.shape == (10, 144, 48)


def test_every_method_of_the_package_has_its_line(capsys):
    assert set(METHODS) == set(method_names())


def test_neons_pair_comes_out_on_the_photos_grid(tmp_path):
    neon = REAL_DATA / "neon"
    lr, rgb = real(neon / "SJER_052_hyperspectral.tif"), neon / "SJER_052.tif"
    assert run("super-resolve", lr, rgb, "-o", tmp_path / "sr.tif", "--method", "bicubic") == 0
    with rasterio.open(tmp_path / "sr.tif") as sr, rasterio.open(rgb) as photo:
        assert sr.shape == photo.shape and sr.count == 426 and sr.dtypes[0] == "int16"
        assert sr.transform == photo.transform and sr.crs == photo.crs


LARGE_PAIR = Scene(
    "large", open_dataset("indian-pines").load("train").cube[10:22, :, :].copy(), rgb_bands=(8, 4, 1)
)


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A pair of georeferenced files that counts as large, in two blocks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(blocks, "LARGE", 1000)
    given = degrade(LARGE_PAIR, 2)
    lr = Cube(
        given.lr,
        np.linspace(400, 700, 12),
        transform=(2.0, 0, 500, 0, -2.0, 700),
        crs="EPSG:32611",
        scale=np.full(12, 1e-4),
        dtype="int16",
    )
    rgb = Cube(given.rgb, transform=(1.0, 0, 500, 0, -1.0, 700), crs="EPSG:32611")
    return write_cube("lr.hdr", lr), write_cube("rgb.tif", rgb), given


@pytest.mark.parametrize("name", ["sr.tif", "sr.hdr", "sr.npy"])
def test_large_files_are_read_and_written_in_blocks(large, monkeypatch, capsys, name):
    lr, rgb, _ = large
    each = 4 * 2**2 * (blocks.CUBES * 12 + blocks.IMAGES)
    megabytes = -(-each * (36 + 2 * blocks.HALO) ** 2 // 10**6)
    with monkeypatch.context() as patch:
        patch.setattr(reading, "to_cube", None)  # nothing is read as a whole
        assert (
            run("super-resolve", lr, rgb, "-o", name, "--method", "closed-form", "--memory", megabytes) == 0
        )
    assert capsys.readouterr().out.splitlines()[-1] == name
    monkeypatch.setattr(blocks, "LARGE", 10**9)
    assert run("super-resolve", lr, rgb, "-o", f"whole-{name}", "--method", "closed-form", "-q") == 0
    made, whole = (
        read_cube(path, layout="CHW" if name == "sr.npy" else None) for path in (name, f"whole-{name}")
    )
    assert made.dtype == whole.dtype == "int16" and made.transform == whole.transform
    assert np.abs(made.stored().astype(int) - whole.stored()).max() <= 1
    assert made.header == whole.header


def test_a_large_pair_that_does_not_fit_is_read_as_a_whole(large, capsys):
    lr, _, given = large
    shifted = Cube(np.roll(given.rgb, (9, -7), (1, 2)))
    write_cube("shifted.tif", shifted)
    assert run("super-resolve", lr, "shifted.tif", "-o", "sr.tif", "--method", "closed-form") == 0
    assert "the guide was" in capsys.readouterr().out

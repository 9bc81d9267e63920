import json
import re
import subprocess
import sys
from base64 import b64decode

import numpy as np
import pytest
from viewer.scenes import WAVELENGTHS, images, truth

from ifmsr.cli import main
from ifmsr.errors import InputError
from ifmsr.io import Cube, write_cube
from ifmsr.paths import ROOT
from ifmsr.viewer import page
from ifmsr.viewer.planes import all_planes, plane
from ifmsr.viewer.stack import stack_of


def content(path):
    """The page's values and planes."""
    text = path.read_text(encoding="utf-8")
    values = re.search(r'id="values">(.*?)</script>', text, re.DOTALL)[1]
    planes = re.findall(r'id="plane-(\d+)-(\w+)-(\d+)">([^<]*)</script>', text)
    return json.loads(values), {(int(p), of, int(b)): b64decode(data) for p, of, b, data in planes}


def test_a_page_has_every_plane_and_no_remote_address(tmp_path):
    stack = stack_of(**images())
    path = page.write_page(tmp_path / "page.html", stack, title='<a href="x">')
    assert not re.search(r"(https?:)?//[a-z]+\.", path.read_text()) and "http" not in path.read_text()
    assert "<h1>&lt;a href" in path.read_text()
    values, planes = content(path)
    assert set(planes) == set(all_planes(stack))
    for key, data in planes.items():
        assert data == plane(stack, *key).tobytes()
    assert values["mode"] == "natural" and values["about"]["layers"][4]["name"] == "Ground truth"


def test_a_name_cannot_leave_the_page_s_values(tmp_path):
    path = page.write_page(tmp_path / "p.html", stack_of(truth(), results={"</script>": truth()}))
    assert content(path)[0]["about"]["layers"][1]["name"] == "</script>"


def test_a_page_that_is_too_large_or_no_page_raises(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="it is no page"):
        page.write_page(tmp_path / "page.png", stack_of(truth()))
    monkeypatch.setattr(page, "LARGEST", 500)
    with pytest.raises(InputError, match="the page would take"):
        page.write_page(tmp_path / "page.html", stack_of(truth()))
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_page_and_says_where(tmp_path, capsys, monkeypatch):
    given = images()
    write_cube(tmp_path / "cube.npz", Cube(given["cube"], wavelengths=WAVELENGTHS))
    np.save(tmp_path / "guide.npy", given["guide"])
    write_cube(tmp_path / "mine.npz", Cube(given["results"]["Bicubic"]))
    write_cube(tmp_path / "truth.npz", Cube(given["truth"]))
    monkeypatch.chdir(tmp_path)
    beside = [
        "--guide",
        "guide.npy",
        "--result",
        "mine.npz",
        "--result",
        "again=mine.npz",
        "--truth",
        "truth.npz",
    ]
    assert main(["view", "cube.npz", *beside, "--layout", "CHW"]) == 0
    assert capsys.readouterr().out == "cube.html\n"
    values, planes = content(tmp_path / "cube.html")
    names = [layer["name"] for layer in values["about"]["layers"]]
    assert names == ["LR cube", "RGB guide", "mine", "again", "Ground truth"]
    assert values["about"]["wavelengths"] == WAVELENGTHS.tolist()
    assert planes[4, "band", 1] == plane(stack_of(**given), 4, "band", 1).tobytes()


def test_the_command_needs_no_widget(tmp_path):
    """A page has no kernel, so it can be written where the extra ``viewer`` is not installed."""
    path = write_cube(tmp_path / "cube.npz", Cube(truth(), wavelengths=WAVELENGTHS))
    program = f"""
import sys
sys.modules["anywidget"] = sys.modules["traitlets"] = None
from ifmsr.cli import main
sys.exit(main(["view", {str(path)!r}, "-o", {str(tmp_path / "page.html")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").stat().st_size > 1000


def test_the_guide_may_be_an_array_of_the_same_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    about = images()
    np.savez("both.npz", cube=about["cube"], many=np.concatenate([about["guide"], about["guide"][:1]]))
    words = ["view", "both.npz", "--key", "cube", "--layout", "CHW", "--guide", "both.npz", "-o", "a.html"]
    assert main(words) == 2
    assert "2 arrays with three axes" in (said := capsys.readouterr().err) and "--guide-key" in said
    assert main([*words, "--guide-key", "many"]) == 2
    assert "counted from 1, with --rgb-bands" in capsys.readouterr().err
    assert main([*words, "--guide-key", "many", "--rgb-bands", "1,2,3"]) == 0


def test_the_command_keeps_every_second_band(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_cube("cube.npz", Cube(images()["truth"], wavelengths=WAVELENGTHS))
    assert main(["view", "cube.npz", "--layout", "CHW", "--every", "2", "-o", "small.html"]) == 0
    values, planes = content(tmp_path / "small.html")
    assert values["about"]["wavelengths"] == [460.0, 640.0] and len(planes) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--guide", "guide.npy"], "guide.npy: 6 x 6 pixels beside an image of 4 x 6"),
        (["--result", "two.npz"], "two.npz: 2 bands beside a cube of 4"),
        (["--result", "cube.npz", "--result", "cube=cube.npz"], "--result: 'cube' is there twice"),
        (["-o", "page.png"], "page.png: it is no page"),
        (["--truth", "nowhere.npz"], "nowhere.npz: "),
        (["--maximum", "0.1"], "--maximum"),
        (["--every", "0"], "--every: found 0"),
    ],
)
def test_the_command_names_the_file_or_the_option(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    write_cube("cube.npz", Cube(images()["cube"]))
    write_cube("two.npz", Cube(images()["cube"][:2]))
    np.save("guide.npy", np.ones((3, 6, 6), np.float32))
    assert main(["view", "cube.npz", "--layout", "CHW", *words]) == 2
    assert message in capsys.readouterr().err

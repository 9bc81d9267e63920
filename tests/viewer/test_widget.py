import json
import sys
from base64 import b64decode
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from viewer.scenes import images, truth

import ifmsr
from ifmsr.errors import InputError
from ifmsr.notebooks.execution import execute
from ifmsr.notebooks.in_place import WIDGET, execute_in_place
from ifmsr.paths import PACKAGE
from ifmsr.viewer.planes import plane


@pytest.fixture
def viewer():
    return ifmsr.view(**images())


@pytest.fixture
def sent(viewer, monkeypatch):
    """What the viewer sends to the browser: (content, buffers)."""
    messages = []
    monkeypatch.setattr(viewer, "send", lambda content, buffers=None: messages.append((content, buffers)))
    return messages


def ask(viewer, **request):
    """A message as the browser sends it."""
    viewer._handle_custom_msg(request, [])


def test_a_plane_is_sent_as_bytes_when_it_is_asked_for(viewer, sent):
    ask(viewer, ask="plane", layer=4, of="band", band=1, id="a-0")
    ask(viewer, ask="plane", layer=3, of="error", band=2, id="a-1")
    assert [content for content, _ in sent] == [{"id": "a-0"}, {"id": "a-1"}]
    assert sent[0][1] == [plane(viewer.stack, 4, "band", 1).tobytes()]
    assert sent[1][1] == [plane(viewer.stack, 3, "error", 2).tobytes()]


def test_spectra_are_the_exact_values_and_missing_ones_null(viewer, sent):
    viewer.stack.layers[0].values[1, 2, 3] = np.nan
    ask(viewer, ask="spectra", row=5, column=7, id="b")
    spectra = json.loads(json.dumps(sent[0][0]))["spectra"]
    assert spectra[0][1] is None and spectra[1] is None
    np.testing.assert_array_equal(np.float32(spectra[4]), truth()[:, 5, 7])


def test_what_cannot_be_answered_is_said(viewer, sent):
    ask(viewer, ask="plane", layer=9, of="band", band=0, id="c")
    ask(viewer, ask="plane", id="d")
    assert all("problem" in content and buffers == [] for content, buffers in sent)


def test_its_state_follows_the_browser_and_can_be_set(viewer):
    assert viewer.mode == "natural" and viewer.right == 3 and viewer.band == 2
    viewer.set_state({"mode": "error", "point": [3, 4], "wipe": 0.25})
    assert viewer.mode == "error" and viewer.point == [3, 4] and viewer.wipe == 0.25
    for name, value in (("band", 4), ("mode", "x"), ("point", [8, 0]), ("left", 5), ("colour", [0, 1])):
        with pytest.raises(InputError, match=rf"^{name}: "):
            setattr(viewer, name, value)


def test_the_state_that_is_sent_at_first_is_small(viewer):
    assert len(json.dumps(viewer.about)) < 10_000
    assert "http" not in viewer._esm and "http" not in viewer._css


def test_a_page_without_a_kernel_gets_a_picture(viewer):
    data, _ = viewer._repr_mimebundle_()
    assert data["text/plain"].startswith(
        "Viewer(LR cube, RGB guide, Bicubic, Closed-form, Ground truth: 4 bands"
    )
    assert WIDGET in data
    assert b64decode(data["image/png"]).startswith(b"\x89PNG")


def test_an_executed_notebook_keeps_the_picture_and_no_widget(tmp_path):
    source = "import numpy as np\nimport ifmsr\nifmsr.view(np.arange(96.0).reshape(4, 4, 6) / 96)"
    cells = [
        nbformat.v4.new_code_cell("a = 1", metadata={"tags": ["parameters"]}, id="a"),
        nbformat.v4.new_code_cell(source, id="b"),
    ]
    notebook = tmp_path / "n.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)
    execute(notebook, {}, tmp_path / "run.ipynb", 120)
    run = nbformat.read(tmp_path / "run.ipynb", as_version=4)
    assert "widgets" not in run.metadata  # else a converted notebook shows the widget, which needs a kernel
    assert "image/png" in run.cells[-1].outputs[0].data
    execute_in_place(notebook, 120)
    (output,) = nbformat.read(notebook, as_version=4).cells[1].outputs
    assert "image/png" in output.data and WIDGET not in output.data


def test_colab_gets_its_widget_manager_without_a_call(monkeypatch):
    """Colab shows a custom widget whose output names the manager of custom widgets; anywidget calls for it."""
    asked = []
    output = SimpleNamespace(
        enable_custom_widget_manager=lambda: asked.append(True),
        _widgets=SimpleNamespace(_installed_url="https://colab.example/manager.js"),
    )
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    _, metadata = ifmsr.view(**images())._repr_mimebundle_()
    assert metadata[WIDGET]["colab"]["custom_widget_manager"]["url"] == "https://colab.example/manager.js"
    assert asked


def test_vs_code_finds_the_front_end_beside_the_kernel():
    """It looks there for ``<module>/index.js`` before it asks a content delivery network."""
    viewer = ifmsr.view(**images())
    assert viewer._view_module == viewer._model_module == "anywidget"
    assert (Path(sys.prefix) / "share/jupyter/nbextensions" / viewer._view_module / "index.js").is_file()


def test_the_package_carries_the_module():
    assert (PACKAGE / "viewer" / "viewer.js").is_file() and (PACKAGE / "viewer" / "viewer.css").is_file()

import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from ifmsr.errors import InputError
from ifmsr.paths import ROOT
from ifmsr.scenes.chikusei import BANDS, HEIGHT, WIDTH, Chikusei

CORNER = np.random.default_rng(0).integers(0, 10000, (64, 64, BANDS)).astype(np.int16)
MAXIMUM = 12345


def values():
    """The top-left 64 x 64 pixels of the test file; everything else in it is 0."""
    corner = CORNER.copy()
    corner[0, 0, 0] = -7
    corner[1, 1, 1] = MAXIMUM
    return corner


@pytest.fixture(scope="module")
def mat_root(tmp_path_factory):
    """The published .mat's shape and layout (axes reversed on disk); only one chunk of it is stored."""
    root = tmp_path_factory.mktemp("chikusei_mat")
    folder = root / "Chikusei_MATLAB"
    folder.mkdir()
    with h5py.File(folder / "HyperspecVNIR_Chikusei_20140729.mat", "w", userblock_size=512) as file:
        shape = (BANDS, WIDTH, HEIGHT)
        cube = file.create_dataset("chikusei", shape, np.int16, chunks=(BANDS, 64, 64), compression="gzip")
        cube.attrs["MATLAB_class"] = np.bytes_("int16")
        cube[:, :64, :64] = values().T
    with h5py.File(folder / "HyperspecVNIR_Chikusei_20140729_Ground_Truth.mat", "w") as file:
        file["GT"] = np.zeros((4, 4))
    return root


@pytest.fixture(scope="module")
def envi_root(tmp_path_factory):
    """The same as ENVI band-sequential: a sparse file of full size."""
    root = tmp_path_factory.mktemp("chikusei_envi")
    header = f"""
        ENVI
        samples = {WIDTH}
        lines = {HEIGHT}
        bands = {BANDS}
        header offset = 0
        file type = ENVI Standard
        data type = 2
        interleave = bsq
        byte order = 0
    """
    name = "HyperspecVNIR_Chikusei_20140729"
    (root / f"{name}.hdr").write_text(textwrap.dedent(header).lstrip())
    cube = np.memmap(root / f"{name}.bsq", np.int16, "w+", shape=(BANDS, HEIGHT, WIDTH))
    cube[:, :64, :64] = values().transpose(2, 0, 1)
    cube.flush()
    return root


@pytest.fixture(params=["mat_root", "envi_root"])
def root(request):
    return request.getfixturevalue(request.param)


def test_values_are_scaled_by_the_whole_images_maximum(root):
    cube = Chikusei(root).load("train-00-00", window=(0, 0, 64, 48)).cube
    expected = np.maximum(values()[:, :48].transpose(2, 0, 1), 0) / MAXIMUM
    np.testing.assert_allclose(cube, expected, rtol=1e-6)
    assert cube.max() == 1 and cube.min() == 0


def test_windows_of_the_full_image_lie_where_they_should(root):
    data = Chikusei(root)
    whole = data.load("full", window=(8, 16, 24, 32)).cube
    np.testing.assert_allclose(whole, values()[8:32, 16:48].transpose(2, 0, 1) / MAXIMUM, rtol=1e-6)
    assert data.load("train-09-11").cube.shape == (128, 200, 194)
    assert data.load("test-1-8").cube.shape == (128, 256, 256)


def test_three_bands_form_the_rgb_image(root):
    scene = Chikusei(root).load("full", window=(0, 0, 8, 8))
    np.testing.assert_allclose(scene.wavelengths[list(scene.rgb_bands)], [640, 550, 460], atol=2.6)
    assert scene.srf is None and scene.rgb().shape == (3, 8, 8)


def test_scenes_do_not_overlap_and_tests_lie_outside_the_training_rows(mat_root):
    data = Chikusei(mat_root)
    taken = np.zeros((HEIGHT, WIDTH), int)
    for name in data.names:
        top, left, height, width = data._windows[name]
        assert (top >= 2000) == name.startswith("test")
        taken[top : top + height, left : left + width] += 1
    assert taken.max() == 1
    assert taken[:2000, :2328].min() == 1
    split = data.split("spatial")
    assert (len(split.train), len(split.validation), len(split.test)) == (114, 6, 18)
    with pytest.raises(InputError, match="Choose spatial"):
        data.split("seed-0")


def test_maximum_is_looked_for_once_and_again_when_the_file_changes(mat_root):
    assert Chikusei(mat_root).maximum == MAXIMUM
    path = Chikusei(mat_root).path
    with h5py.File(path, "r+") as file:
        file["chikusei"][2, 2, 2] = MAXIMUM + 1
    changed = Chikusei(mat_root).maximum
    with h5py.File(path, "r+") as file:
        file["chikusei"][2, 2, 2] = values()[2, 2, 2]
    assert changed == MAXIMUM + 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("which", ["mat_root", "envi_root"])
def test_one_crop_takes_little_memory(request, which):
    """The whole image has 0.75e9 numbers; opening it and taking one training image stays far below 1 GB."""
    folder = request.getfixturevalue(which)
    for note in folder.rglob("chikusei_maximum.json"):
        note.unlink()
    program = f"""
        from pathlib import Path
        from ifmsr.scenes import open_dataset
        def peak():
            status = Path("/proc/self/status").read_text()
            return int(status.partition("VmHWM:")[2].split()[0]) * 1024
        before = peak()
        cube = open_dataset("chikusei", {str(folder)!r}).load("train-00-00").cube
        assert cube.shape == (128, 200, 194) and cube.max() == 1
        print(peak() - before, peak())
    """
    output = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    grown, peak = map(int, output.split())
    assert 0 < grown < 500e6, "memory grew with the size of the whole image"
    assert peak < 1e9


def test_wrong_shape_root_and_scene(tmp_path, mat_root):
    with pytest.raises(InputError, match=r"no such folder.*naotoyokoya"):
        Chikusei(tmp_path / "nowhere")
    with pytest.raises(InputError, match="not found in it"):
        Chikusei(tmp_path)
    savemat(tmp_path / "chikusei.mat", {"chikusei": np.zeros((25, 23, 128))})
    with pytest.raises(InputError, match=r"chikusei\.mat: its image is 25 x 23 x 128, not 2517 x 2335 x 128"):
        Chikusei(tmp_path)
    with pytest.raises(InputError, match="no such scene"):
        Chikusei(mat_root).load("train-10-00")
    with pytest.raises(InputError, match="leaves the image 200 x 194"):
        Chikusei(mat_root).load("train-00-00", window=(0, 0, 200, 195))


def test_truncated_files_are_named(tmp_path, mat_root, envi_root):
    source = Chikusei(mat_root).path
    (tmp_path / "cube.mat").write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cube\.mat: cannot be read as a \.mat file"):
        Chikusei(tmp_path)
    (tmp_path / "cube.mat").unlink()
    (tmp_path / "cube.hdr").write_text(next(envi_root.glob("*.hdr")).read_text())
    with pytest.raises(InputError, match=r"cube\.hdr: there is no data file beside it"):
        Chikusei(tmp_path)
    (tmp_path / "cube.bsq").write_bytes(bytes(1000))
    with pytest.raises(InputError, match=r"cube\.hdr"):
        Chikusei(tmp_path)

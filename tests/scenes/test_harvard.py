import h5py
import numpy as np
import pytest
from scipy.io import savemat

from ifmsr.errors import InputError
from ifmsr.scenes import nikon_d700
from ifmsr.scenes.harvard import Harvard

REF = np.random.default_rng(0).random((20, 24, 31))


def write(path, ref, **others):
    savemat(path, {"ref": ref, "lbl": np.ones(ref.shape[:2]), **others}, do_compression=True)
    return path


def test_layout_and_wavelengths(tmp_path):
    write(tmp_path / "imga1.mat", REF)
    (tmp_path / "CZ_hsdb").mkdir()
    write(tmp_path / "CZ_hsdb" / "imgb2.mat", REF)
    data = Harvard(tmp_path)
    assert sorted(data.names) == ["imga1", "imgb2"]
    scene = data.load("imga1")
    np.testing.assert_allclose(scene.cube, REF.transpose(2, 0, 1), rtol=1e-6)
    assert scene.wavelengths[[0, -1]].tolist() == [420, 720]
    np.testing.assert_array_equal(scene.srf, nikon_d700())


def test_values_above_one_are_divided_by_the_whole_cubes_maximum(tmp_path):
    ref = REF.copy()
    ref[0, 0, 0] = 4
    write(tmp_path / "imga1.mat", ref)
    scene = Harvard(tmp_path).load("imga1", window=(4, 8, 8, 16))
    np.testing.assert_allclose(scene.cube, REF[4:12, 8:24].transpose(2, 0, 1) / 4, rtol=1e-6)


def test_matlab_73_files_read_the_same(tmp_path):
    with h5py.File(tmp_path / "imga1.mat", "w", userblock_size=512) as file:
        file["ref"] = REF.T
        file["ref"].attrs["MATLAB_class"] = np.bytes_("double")
    scene = Harvard(tmp_path).load("imga1")
    np.testing.assert_allclose(scene.cube, REF.transpose(2, 0, 1), rtol=1e-6)


def test_thirty_bands_raise(tmp_path):
    write(tmp_path / "imga1.mat", REF[..., :30])
    with pytest.raises(InputError, match=r"imga1\.mat: ref has shape \(20, 24, 30\)"):
        Harvard(tmp_path).load("imga1")


@pytest.mark.parametrize(
    ("value", "problem"), [(np.nan, "NaN"), (np.inf, "infinite"), (-0.5, "values from -0.5")]
)
def test_bad_values_raise(tmp_path, value, problem):
    ref = REF.copy()
    ref[3, 3, 3] = value
    write(tmp_path / "imga1.mat", ref)
    with pytest.raises(InputError, match=rf"imga1\.mat.*{problem}"):
        Harvard(tmp_path).load("imga1")


def test_other_variables_are_listed(tmp_path):
    savemat(tmp_path / "imga1.mat", {"rad": REF, "note": "hello"})
    with pytest.raises(InputError, match=r"no numeric variable 'ref' \(it has: rad \(20, 24, 31\)\)"):
        Harvard(tmp_path).load("imga1")


@pytest.mark.parametrize("fraction", [0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("version", ["5", "7.3"])
def test_truncated_files_are_named(tmp_path, fraction, version):
    path = tmp_path / "imga1.mat"
    if version == "5":
        write(path, REF)
    else:
        with h5py.File(path, "w", userblock_size=512) as file:
            file.create_dataset("ref", data=REF.T, chunks=True, compression="gzip")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(InputError, match=r"imga1\.mat: (cannot be read as a \.mat file|no numeric variable)"):
        Harvard(tmp_path).load("imga1")


def test_garbled_file_is_named(tmp_path):
    content = bytearray(write(tmp_path / "imga1.mat", REF).read_bytes())
    for place in range(len(content) // 4, len(content), 997):
        content[place] ^= 0xFF
    (tmp_path / "imga1.mat").write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"imga1\.mat"):
        Harvard(tmp_path).load("imga1")


def test_wrong_root_and_unknown_scene(tmp_path):
    with pytest.raises(InputError, match=r"there is no such folder.*CZ_hsdb"):
        Harvard(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"a \.mat file not found"):
        Harvard(tmp_path)
    write(tmp_path / "imga1.mat", REF)
    with pytest.raises(InputError, match="imga1"):
        Harvard(tmp_path).load("imga2")


def test_seeded_split_of_fifty(tmp_path):
    for index in range(50):
        (tmp_path / f"img{index:02d}.mat").touch()
    split = Harvard(tmp_path).split("seed-1")
    assert (len(split.train), len(split.validation), len(split.test)) == (38, 2, 10)
    with pytest.raises(InputError, match="seed-0"):
        Harvard(tmp_path).split("figure4")

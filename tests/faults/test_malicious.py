"""Files made to do harm: pickles, bombs, links and impossible sizes are refused in seconds and in bounded memory."""

import io
import json
import os
import pickle
import struct
import time
import zipfile
import zlib
from hashlib import sha256
from pathlib import Path, PurePosixPath

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile
import tiny
import torch
from faults import fuzz
from faults.samples import CPU, pickled
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ifmsr import untrusted
from ifmsr.cli.arguments import read_value
from ifmsr.errors import InputError
from ifmsr.io import read_cube, read_guide
from ifmsr.notebooks.parameters import check_parameters, read_profile
from ifmsr.scenes.download import unpack
from ifmsr.scenes.scene import Observation
from ifmsr.study.evaluation import read_task
from ifmsr.training.state import CHECKPOINT, State, read_checkpoint
from ifmsr.weights import load_weights, save_weights

SIDE = 12_000  # a picture of 144 MB of zeros, in 140 kB


@pytest.fixture
def refused():
    """Call it with a reader: InputError within the limits of the fuzzer, and nothing was executed."""

    def check(read, *arguments, match=""):
        started, before = time.monotonic(), fuzz.reset_peak()
        with pytest.raises(InputError, match=match or None):
            read(*arguments)
        assert time.monotonic() - started < fuzz.SECONDS and fuzz.peak() - before < fuzz.MEBIBYTES

    return check


INFLATES = "more than 200 times the"


@pytest.mark.parametrize("kind", ["npz", "mat", "h5", "tif", "png", "hdr", "npy"])
def test_files_that_inflate_a_thousandfold(refused, tmp_path, kind):
    path = tmp_path / f"bomb.{kind}"
    if kind == "npz":
        np.savez_compressed(path, cube=np.zeros((3, 6000, 6000), np.uint8))
    elif kind == "mat":
        scipy.io.savemat(path, {"cube": np.zeros((6000, 6000, 3), np.uint8)}, do_compression=True)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("cube", (3, 20_000, 20_000), np.uint8, chunks=True)
    elif kind == "tif":
        zeros = np.zeros((SIDE, SIDE), np.uint8)
        tifffile.imwrite(path, zeros, compression="deflate", rowsperstrip=SIDE)
    elif kind == "png":
        Image.new("L", (SIDE, SIDE)).save(path)
    elif kind == "hdr":
        path.write_text(
            "ENVI\nsamples = 9000\nlines = 9000\nbands = 4\ndata type = 2\ninterleave = bsq\nbyte order = 0\n"
        )
        with path.with_suffix(".img").open("wb") as file:
            file.truncate(9000 * 9000 * 8)
    else:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<i2", "fortran_order": False, "shape": (4, 9000, 9000)}
        )
        with path.open("wb") as file:
            file.write(header.getvalue())
            file.truncate(len(header.getvalue()) + 9000 * 9000 * 8)
    refused(read_cube, path, match=INFLATES)


def test_a_part_of_an_archive_that_inflates_beyond_its_stated_size(refused, tmp_path):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", bytes(2**28))
    files = {PurePosixPath("a.txt"): (5, sha256(bytes(5)).hexdigest())}
    refused(unpack, bomb, tmp_path / "out", files, match="not the published file")
    assert not list((tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("compressed", [False, True])
def test_an_array_whose_numbers_are_of_no_type(refused, tmp_path, compressed):
    """SciPy reads beyond a table of types, which ends the process."""
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"cube": np.ones((3, 40, 50), np.int16)})
    head, (number, size) = path.read_bytes()[:128], struct.unpack("<II", path.read_bytes()[128:136])
    element = path.read_bytes()[128:]
    assert number == 14 and size + 8 == len(element)
    place = element.index(struct.pack("<II", 3, 2 * 3 * 40 * 50))  # the tag of its numbers: int16
    element = element[:place] + struct.pack("<I", 67) + element[place + 4 :]
    if compressed:
        packed = zlib.compress(element)
        element = struct.pack("<II", 15, len(packed)) + packed
    path.write_bytes(head + element)
    refused(read_cube, path, match="the numbers of an array are of type 67")


def test_an_observation_that_inflates(refused, tmp_path):
    np.savez_compressed(tmp_path / "a.npz", lr=np.zeros((3, 5000, 5000), np.float32), rgb=0, scale=4)
    refused(Observation.load, tmp_path / "a.npz", match=INFLATES)


def test_a_header_longer_than_its_file(refused, tmp_path):
    """A .npy header of 4 GB in an archive of 4 MB, which NumPy reads before it looks at its length."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x02\x00" + (2**28).to_bytes(4, "little") + b" " * 2**28)
    refused(read_cube, tmp_path / "a.npz", match="its header is 268435456 bytes long")


def test_memory_is_the_containers_not_only_the_machines(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    (tmp_path / "memory.current").write_text(f"{2**30 - 2**20}\n")
    monkeypatch.setattr(untrusted, "CGROUP", tmp_path)
    assert untrusted.free_memory() == 2**20
    np.save(tmp_path / "a.npy", np.zeros((2, 500, 600), np.float32))
    with pytest.raises(InputError, match=r"takes 0\.0 GiB, and 0\.0 GiB are free"):
        read_cube(tmp_path / "a.npy")
    (tmp_path / "memory.max").write_text("max\n")
    assert untrusted.free_memory() > 2**20


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of small weights."""
    folder = tmp_path_factory.mktemp("weights")
    state = State(tiny.CONFIG, tiny.parts()[:1], folder, CPU)
    return save_weights(folder / "a.safetensors", state.net, "ifmsr", "2 epochs")


def with_config(path, source, **config):
    """The weights with other settings in their metadata."""
    with safe_open(source, "pt") as file:
        about = file.metadata()
    about["config"] = json.dumps(json.loads(about["config"]) | config)
    save_file(load_file(source), path, about)
    return path


@pytest.mark.parametrize("setting", ["features", "stages", "scale"])
@pytest.mark.parametrize("value", [10**9, 1000, -1, 0, 1e300, float("nan"), "x", None, [1] * 9, {"a": 1}])
def test_weights_of_an_impossible_network(refused, weights, tmp_path, setting, value):
    path = with_config(tmp_path / "a.safetensors", weights, **{setting: value})
    if (setting, value) == ("scale", 1000):
        return  # fits: the size of IFMSR's weights does not depend on the scale
    refused(load_weights, path)


def test_weights_of_an_unknown_setting_or_none(refused, weights, tmp_path):
    refused(load_weights, with_config(tmp_path / "a.safetensors", weights, unknown=1))
    tensors = load_file(weights)
    for about in (
        {},
        {"network": "ifmsr", "config": "[]", "schedule": ""},
        {"network": "os", "config": "{}", "schedule": ""},
    ):
        save_file(tensors, tmp_path / "b.safetensors", about)
        refused(load_weights, tmp_path / "b.safetensors")


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "a: &a [*a]",
        "a: &a {b: *a}",
        "[" * 5000,
        "{a: " * 5000,
        "a: !!python/object/apply:os.abort []",
        "a" * 2**19,
    ],
)
def test_yaml_that_explodes_or_calls(refused, tmp_path, text):
    (tmp_path / "p.yaml").write_text(text)
    refused(read_profile, tmp_path / "p.yaml", ["a.ipynb"])
    if len(text) < 2**16:
        refused(read_value, text, match="value: .*: cannot be read as YAML")


def test_json_of_endless_depth(refused, tmp_path):
    (tmp_path / "task.json").write_text('{"dataset": ' + "[" * 200_000)
    refused(read_task, tmp_path)
    (tmp_path / "n.ipynb").write_text('{"cells": ' + "[" * 200_000)
    refused(check_parameters, tmp_path / "n.ipynb", {})


class Shell:
    """What an attacker pickles."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_pickles_are_never_loaded(refused, tmp_path):
    mark = tmp_path / "executed"
    (tmp_path / "a.npy").write_bytes(pickled(Shell(mark)))
    refused(read_cube, tmp_path / "a.npy", match="cannot be read as a NumPy file")
    for name in ("cube", "metadata", "lr"):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr(f"{name}.npy", pickled(Shell(mark)))
        refused(read_cube, tmp_path / "a.npz")
        refused(Observation.load, tmp_path / "a.npz")
    for write in (torch.save, lambda content, path: Path(path).write_bytes(pickle.dumps(content))):
        write({"config": Shell(mark), "scenes": []}, tmp_path / CHECKPOINT)
        refused(read_checkpoint, tmp_path, tiny.CONFIG, [], CPU, match="cannot be read as a checkpoint")
        (tmp_path / CHECKPOINT).rename(tmp_path / "a.safetensors")
        refused(load_weights, tmp_path / "a.safetensors")
    assert not mark.exists()


def test_a_checkpoint_that_inflates_or_fits_no_network(refused, tmp_path):
    state = State(tiny.CONFIG, tiny.parts()[:1], tmp_path, CPU)
    state.save_checkpoint()
    path = tmp_path / CHECKPOINT
    content = torch.load(path, weights_only=True)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    refused(read_checkpoint, tmp_path, tiny.CONFIG, state.scenes, CPU, match="parts of it are compressed")
    for name, value in (
        ("net", {}),
        ("optimizer", {}),
        ("epoch", "x"),
        ("random", None),
        ("trained", {"a": 1}),
    ):
        torch.save({**content, name: value}, path)
        refused(state.restore, match=r"checkpoint\.pt")
    name = next(iter(content["net"]))
    torch.save({**content, "net": content["net"] | {name: torch.zeros(1).expand(10**9, 10**5)}}, path)
    refused(state.restore, match=r"checkpoint\.pt")


def test_hdf5_whose_texts_lie_elsewhere(refused, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret" * 10)
    place = "a/Metadata/Coordinate_System"
    for number, kind in enumerate(("storage", "link")):
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w") as file:
            file["a/Reflectance_Data"] = np.ones((4, 5, 3), np.int16)
            if kind == "storage":
                file.create_group(place).create_dataset(
                    "Map_Info", (1,), "S60", external=[(str(tmp_path / "secret"), 0, 60)]
                )
            else:
                file.create_group(place)["Map_Info"] = h5py.ExternalLink(str(tmp_path / "0.h5"), "/a")
        refused(read_cube, path, match="another file")


def test_pictures_choose_no_decoder_that_starts_programs(refused, tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n")
    refused(read_guide, tmp_path / "a.png", match="cannot be read as an image")


def test_text_chunks_of_a_picture_that_inflate(refused, tmp_path):
    def chunk(kind, content):
        return (
            len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
        )

    whole = io.BytesIO()
    Image.new("RGB", (4, 4)).save(whole, "PNG")
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**28), 9))
    (tmp_path / "a.png").write_bytes(whole.getvalue()[:33] + text + whole.getvalue()[33:])
    started, before = time.monotonic(), fuzz.reset_peak()
    try:
        read_guide(tmp_path / "a.png")
    except InputError as error:
        assert "cannot be read as an image" in str(error)
    assert time.monotonic() - started < fuzz.SECONDS and fuzz.peak() - before < fuzz.MEBIBYTES


def test_band_numbers_and_folders_without_end(refused, tmp_path):
    for number in (1, 10**15):
        Image.new("L", (4, 4)).save(tmp_path / f"band_{number}.png")
    refused(read_cube, tmp_path, match="band 2 is missing")
    loop = tmp_path / "loop"
    loop.mkdir()
    (loop / "again").symlink_to(loop)
    refused(read_cube, loop, match="no pictures that end in a band number")


def test_paths_that_no_system_call_takes(refused):
    for path in ("a" * 5000 + ".npy", "a\0b.npz", "a/" * 3000 + "b.h5", "\udcff" * 300 + ".png"):
        for read in (read_cube, read_guide, load_weights, read_task, Observation.load):
            refused(read, path)

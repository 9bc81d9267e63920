"""A small real file of every format that the package reads, and the reader of each.

The cube is a part of Indian Pines, which needs no download.
"""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

import h5py
import nbformat
import numpy as np
import scipy.io
import tifffile
import tiny
import torch
import zarr
from PIL import Image

from ifmsr.degradation.protocol import degrade
from ifmsr.io import Cube, read_cube, read_guide, write_cube
from ifmsr.methods.bicubic import Bicubic
from ifmsr.notebooks.parameters import check_parameters, read_profile
from ifmsr.runs import Run, read_manifest
from ifmsr.scenes import Scene
from ifmsr.scenes.download import unpack
from ifmsr.scenes.response import read_srf
from ifmsr.scenes.scene import Observation
from ifmsr.study.evaluation import COLUMNS, Task, evaluate, read_task
from ifmsr.study.finished import finished_runs
from ifmsr.study.ledger import Ledger
from ifmsr.study.rows import read_rows
from ifmsr.training.state import CHECKPOINT, State, read_checkpoint
from ifmsr.weights import load_weights, save_weights

BANDS = 8
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Sample:
    """One file, in a folder with whatever its reader needs beside it."""

    path: Path
    read: Callable[[], object]


def make(folder: Path) -> dict[str, Sample]:
    """Every sample by name. Each lies in a folder of its own below `folder`."""
    scenes = tiny.parts()
    image = scenes[0].cube[:BANDS, :10, :14]
    made: dict[str, Sample] = {}

    def add(name: str, file: str, write: Callable[[Path], object], read: Callable[[Path], object]) -> None:
        path = folder / name / file
        path.parent.mkdir(parents=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write(path)
        made[name] = Sample(path, lambda: read(path))

    add_images(add, image)
    add_studies(add, scenes)
    add_texts(add)
    return made


def add_images(add: Callable[..., None], image: np.ndarray) -> None:
    """Cubes and guides of every suffix."""
    counts = np.round(image * 4000).astype(np.int16)
    last = np.ascontiguousarray(counts.transpose(1, 2, 0))
    colours = (image[:3] * 255).astype(np.uint8).transpose(1, 2, 0)
    centres = np.linspace(400, 700, BANDS)
    cube = Cube(
        image, centres, fwhm=np.full(BANDS, 8.0), good=np.arange(BANDS) != 3,
        names=tuple(f"band {n}" for n in range(BANDS)), crs="EPSG:32611",
        transform=(2.0, 0.0, 257000.0, 0.0, -2.0, 4112000.0), nodata=-9999.0, dtype="int16", maximum=4000.0,
        header={"wavelength units": "Nanometers", "sensor": "AVIRIS", "map": ["a"] * BANDS},
    )  # fmt: skip

    def write_hdf5(path: Path, matlab: bool = False, chunks: tuple[int, ...] | None = None) -> None:
        with h5py.File(path, "w") as file:
            item = file.create_dataset(
                "S/Reflectance/Reflectance_Data", data=last, chunks=chunks, compression=chunks and "gzip"
            )
            item.attrs.update({"Scale_Factor": 1e4, "Data_Ignore_Value": -9999.0})
            file["S/Reflectance/Metadata/Spectral_Data/Wavelength"] = centres
            file["S/Reflectance/Metadata/Spectral_Data/Wavelength"].attrs["Units"] = "Nanometers"
            file["S/Reflectance/Metadata/Coordinate_System/Map_Info"] = "UTM, 1, 1, 257000, 4112000, 1, 1"
            file["S/Reflectance/Metadata/Coordinate_System/EPSG Code"] = "32611"
            if matlab:
                item.attrs["MATLAB_class"] = np.bytes_("int16")

    def write_deep(path: Path) -> None:
        import rasterio

        deep = (image[:3] * 65535).astype(np.uint16)
        with rasterio.open(path, "w", driver="PNG", count=3, height=10, width=14, dtype="uint16") as target:
            target.write(deep)

    def write_bands(path: Path) -> None:
        for number in range(1, 4):
            Image.fromarray((image[number] * 255).astype(np.uint8)).save(path.with_name(f"a_{number}.png"))

    def all_values(path: Path) -> np.ndarray:
        return read_cube(path, mapped=True).values[:, :, :]

    for suffix in ("npy", "npz", "mat", "tif"):
        add(f"cube.{suffix}", f"a.{suffix}", lambda path: write_cube(path, cube), read_cube)
    for suffix in ("hdr", "bil"):
        add(f"envi.{suffix}", f"a.{suffix}", lambda path: write_cube(path, cube), read_cube)
    for suffix in ("npy", "tif", "hdr", "bil"):
        add(f"mapped.{suffix}", f"a.{suffix}", lambda path: write_cube(path, cube), all_values)
    add("mat-plain", "a.mat", lambda path: scipy.io.savemat(path, {"cube": last, "fwhm": centres}), read_cube)
    add(
        "mat-4",
        "a.mat",
        lambda path: scipy.io.savemat(path, {"cube": last[0]}, format="4"),
        lambda path: read_cube(path, key="cube"),
    )
    add("mat-7.3", "a.mat", lambda path: write_hdf5(path, matlab=True), read_cube)
    add("hdf5", "a.h5", write_hdf5, read_cube)
    add("netcdf", "a.nc", lambda path: write_hdf5(path, chunks=(4, 4, 4)), read_cube)
    add(
        "zarr",
        "a.zarr/zarr.json",
        lambda path: zarr.save_array(str(path.parent), counts),
        lambda path: read_cube(path.parent),
    )
    add(
        "tiff-pages",
        "a.tif",
        lambda path: tifffile.imwrite(path, counts, photometric="minisblack"),
        read_cube,
    )
    add(
        "tiff-guide", "a.tif", lambda path: tifffile.imwrite(path, colours, compression="deflate"), read_guide
    )
    exif = Image.Exif()
    exif[274] = 6
    for suffix in ("png", "jpg", "bmp"):
        about = {"exif": exif} if suffix != "bmp" else {}
        add(
            f"guide.{suffix}", f"a.{suffix}",
            lambda path, about=about: Image.fromarray(colours).save(path, **about), read_guide,
        )  # fmt: skip
    add("guide-palette", "a.png", lambda path: Image.fromarray(colours).quantize(16).save(path), read_guide)
    add("guide-deep", "a.png", write_deep, read_guide)
    add("band-folder", "a_1.png", write_bands, lambda path: read_cube(path.parent))


def add_studies(add: Callable[..., None], scenes: list[Scene]) -> None:
    """What trainings and evaluations leave in their folders."""
    state = {}

    def write_weights(path: Path) -> None:
        net = State(tiny.CONFIG, scenes[:1], path.parent, CPU).net
        save_weights(path, net, "ifmsr", "2 epochs")
        path.with_suffix(".json").write_text(json.dumps({"sha256": "", "measured": []}))

    def write_checkpoint(path: Path) -> None:
        state["of"] = State(tiny.CONFIG, scenes[:1], path.parent, CPU)
        state["of"].save_checkpoint()

    def read_state(path: Path) -> None:
        content = read_checkpoint(path.parent, tiny.CONFIG, [scenes[0].name], CPU)
        if content is not None:
            state["of"].load(content)

    def write_evaluation(path: Path) -> None:
        task = Task("indian-pines", "spatial", side=32)
        evaluate(task, {"bicubic": Bicubic()}, path.parent)

    def read_evaluation(path: Path) -> None:
        Ledger(path.parent, ("scene", "seed", "method"), COLUMNS).finished()
        read_rows(path.parent)

    def trust_rows(path: Path) -> None:
        """The manifest of changed rows as if they had been written like that."""
        manifest = json.loads((path.parent / "manifest.json").read_text())
        manifest["files"]["rows.csv"] = sha256(path.read_bytes()).hexdigest()
        (path.parent / "manifest.json").write_text(json.dumps(manifest))
        read_evaluation(path)

    add("weights", "a.safetensors", write_weights, load_weights)
    add(
        "card",
        "a.json",
        lambda path: write_weights(path.with_suffix(".safetensors")),
        lambda path: load_weights(path.with_suffix(".safetensors")),
    )
    add("checkpoint", CHECKPOINT, write_checkpoint, read_state)
    add("task", "task.json", write_evaluation, lambda path: read_task(path.parent))
    add("rows", "rows.csv", write_evaluation, trust_rows)
    add(
        "manifest",
        "manifest.json",
        write_evaluation,
        lambda path: (read_manifest(path.parent), read_evaluation(path)),
    )
    add("manifest-listed", "manifest.json", write_evaluation, lambda path: finished_runs(path.parent))
    add("log-listed", "log.csv", write_training_log, lambda path: finished_runs(path.parent))
    add(
        "observation",
        "a.npz",
        lambda path: degrade(scenes[0].crop(0, 0, 16, 16), 4).save(path),
        Observation.load,
    )


def write_training_log(path: Path) -> None:
    training = {"scale": 4, "network": "ifmsr"}
    with Run(path.parent, {"dataset": "cave", "scenes": ["a"], "training": training}):
        path.write_text(
            "epoch,step,lr,loss,val_psnr,seconds\n1,3,0.001,0.25,30.5,1.5\n2,6,0.001,0.2,31.5,3.0\n"
        )


def add_texts(add: Callable[..., None]) -> None:
    """Profiles, notebooks, response tables and archives."""
    profile = "01_a:\n  scale: 4\n  seeds: &s [0, 1]\n  out: 'x'\n02_b:\n  seeds: *s\n  rate: 1.0e-4\n"
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell(
            "scale = 4\nseeds = [0, 1]\nname: str = 'a'", metadata={"tags": ["parameters"]}
        ),
        nbformat.v4.new_code_cell("print(scale)"),
    ]
    notebook = nbformat.writes(nbformat.v4.new_notebook(cells=cells))
    table = "wavelength_nm,R,G,B\n" + "".join(f"{400 + 10 * n},{n},{5},{9 - n}\n" for n in range(10))
    published = {PurePosixPath("data/a/a.txt"): (300, sha256(b"abc" * 100).hexdigest())}

    def write_archive(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("data/a/a.txt", b"abc" * 100)
            archive.writestr("data/a/b.txt", b"unlisted")

    add(
        "profile",
        "p.yaml",
        lambda path: path.write_text(profile),
        lambda path: read_profile(path, ["01_a.ipynb", "02_b.ipynb"]),
    )
    add(
        "notebook",
        "n.ipynb",
        lambda path: path.write_text(notebook),
        lambda path: check_parameters(path, {"scale": 8}),
    )
    for suffix in ("csv", "txt"):
        add(f"response.{suffix}", f"srf.{suffix}", lambda path: path.write_text(table), read_srf)
    add("archive", "a.zip", write_archive, lambda path: unpack(path, path.parent / "out", published))


def pickled(content: object) -> bytes:
    """`content` as `numpy.save` stores objects: a pickle."""
    stream = io.BytesIO()
    np.save(stream, np.array([content], dtype=object), allow_pickle=True)
    return stream.getvalue()

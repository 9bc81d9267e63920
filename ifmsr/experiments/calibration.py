"""Measurement of what methods and trainings cost on this machine, at a few small sizes.

The images are 31 and 62 bands of Indian Pines with the response of the Nikon D700, mirrored to the size; it is their
size that counts, except for methods that iterate until they converge. Networks have random weights.
"""

import multiprocessing
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, replace
from math import lcm
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from ifmsr import metrics
from ifmsr.degradation.protocol import degrade
from ifmsr.devices import choose_device
from ifmsr.experiments.measuring import PeakMemory, clock, machine, watched
from ifmsr.experiments.study_rows import COLUMNS, StudyRow
from ifmsr.inference.api import load_method
from ifmsr.inference.learned import Learned
from ifmsr.methods.base import Method
from ifmsr.methods.registry import VARIANTS, network_of
from ifmsr.methods.ual import Adapted
from ifmsr.scenes import Observation, Scene, nikon_d700, open_dataset
from ifmsr.study.evaluation import Task, with_true_kernel
from ifmsr.training import TrainConfig, build_network, preset, stages
from ifmsr.training.loop import batches_on, in_batches, samples
from ifmsr.training.state import State, validation_psnr

BANDS, MORE_BANDS = 31, 62
SCALE = 4  # at which networks are measured
SIDES = (64, 80, 128, 256, 512)  # of the images that methods are measured on, in pixels
BATCHES = (4, 16)  # further batches that trainings are measured on, in patches
TRAINING_SIDE = 144  # of the scene that training samples are cut from
ENOUGH = 10.0  # seconds; a larger size that is expected to take longer is not measured
QUICK = 1.0  # seconds; what takes less is measured again, because first calls import and allocate
REPEATS = 3
PART_OF_STEPS = 15  # of UAL's adaptation to an image, one part of so many is measured


@dataclass(frozen=True)
class Subject:
    """What is measured in one process.

    Attributes
    ----------
    part : "run" (a process), "scene" (all of a test scene but the method), "method" or "training".
    method : of the part "method".
    preset : of the training, or of the method's network; "": a network of default size, or none.
    stage : of a training in several stages, from 0.
    scale : magnification.
    """

    part: str
    method: str = ""
    preset: str = ""
    stage: int = 0
    scale: int = 0


@dataclass(frozen=True)
class Point:
    """One measurement: of `pixels` pixels with `bands` bands each, in seconds and in MB of the process's memory.

    The part of a training is divided: "epoch" (per training scene), "samples" (per batch), "step" (per optimiser step),
    "validation" (per validation scene and epoch).
    """

    part: str
    pixels: int
    bands: int
    seconds: float
    peak_mb: float


def subjects(row: StudyRow) -> list[Subject]:
    """What has to be measured to plan a row: its process, its scenes, its method, and each stage of its training.

    The costs of a network hardly depend on the scale, but on pixels and bands, so it is measured at one. A preset whose
    network has the default size has the default's costs.
    """
    trained = [Subject("training", "", row.preset, number, SCALE) for number in range(len(row.stages()))]
    own = row.preset if row.preset and row.stages()[-1].options else ""
    scale = row.scale if network_of(row.method) is None else SCALE
    evaluated = [Subject("scene", scale=row.scale), Subject("method", row.method, own, 0, scale)]
    return [Subject("run"), *evaluated, *trained]


def measure(subject: Subject) -> list[dict[str, Any]]:
    """The points of a subject, measured in a process of its own, each as one row of the table of costs."""
    forked = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forked else "spawn")
    if forked:
        context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, context) as pool:
        points, about = pool.submit(_measured, subject, torch.get_num_threads()).result()
    key = {name: getattr(subject, name) for name in ("method", "preset", "stage", "scale")}
    return [{"part": point.part, **key, **_numbers(point), **about} for point in points]


def _numbers(point: Point) -> dict[str, float]:
    return {
        "pixels": point.pixels,
        "bands": point.bands,
        "seconds": float(f"{point.seconds:.4g}"),
        "peak_mb": round(point.peak_mb),
    }


def _measured(subject: Subject, threads: int) -> tuple[list[Point], dict[str, str]]:
    torch.set_num_threads(threads)
    parts: dict[str, Callable[[Subject], Iterator[Point]]] = {
        "run": _run,
        "scene": _scene,
        "method": _method,
        "training": _training,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(parts[subject.part](subject)), machine()


def image(side: int, bands: int) -> Scene:
    """A scene of side x side pixels: Indian Pines, mirrored where it ends, with the response of the Nikon D700."""
    cube = open_dataset("indian-pines").load("full").cube[20 : 20 + bands]
    turns = -(-side // cube.shape[1])
    wide = np.concatenate([cube[:, :, :: (-1) ** number] for number in range(turns)], axis=2)
    tall = np.concatenate([wide[:, :: (-1) ** number] for number in range(turns)], axis=1)
    srf = np.repeat(nikon_d700(), bands // BANDS, axis=1) / (bands // BANDS)
    return Scene("part", np.ascontiguousarray(tall[:, :side, :side]), srf=srf.astype(np.float32))


def _timed(function: Callable[[], object]) -> tuple[float, PeakMemory]:
    """Seconds and peak memory of a call; if it is short, the median of some calls."""
    spent: list[float] = []
    with watched() as peak:
        while not spent or (spent[-1] < QUICK and len(spent) < REPEATS):
            started = clock()
            function()
            spent.append(clock() - started)
    return median(spent), peak


def _run(_: Subject) -> Iterator[Point]:
    """A process that runs a row whose scene takes almost nothing: imports, hashes, manifests."""
    row = StudyRow("indian-pines", SCALE, "bicubic", "spatial")
    with TemporaryDirectory() as folder, watched() as peak:
        study = Path(folder, "study.csv")
        lines = [",".join(COLUMNS), ",".join(map(str, astuple(row)))]
        study.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "ifmsr", "study", str(study), "--out", folder, "--row", row.name]
        started = clock()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = clock() - started
    yield Point("run", 0, 0, seconds, peak.megabytes)


def _ladder() -> list[tuple[int, int]]:
    """(side, bands), in the order of measurement: the first three are always measured."""
    first, second, *others = SIDES
    return [(first, BANDS), (first, MORE_BANDS), (second, BANDS), *((side, BANDS) for side in others)]


def _climb(part: str, time_on: Callable[[Scene], tuple[float, PeakMemory]], scale: int) -> Iterator[Point]:
    """Points of a part on larger and larger images, until the next one would take long."""
    rate = 0.0  # seconds per pixel of the image before
    for number, (side, bands) in enumerate(_ladder()):
        if number > 2 and rate * side**2 > ENOUGH:
            return
        scene = image(side, bands).crop_to_multiple(scale)
        pixels = scene.cube[0].size
        seconds, peak = time_on(scene)
        rate = seconds / pixels
        yield Point(part, pixels, bands, seconds, peak.megabytes)


def _scene(subject: Subject) -> Iterator[Point]:
    """All that happens to a test scene besides the method: degrade, store, read, compare, store the cube."""
    with TemporaryDirectory() as folder:
        observed, cube = Path(folder, "observation.npz"), Path(folder, "cube.npy")

        def time_on(scene: Scene) -> tuple[float, PeakMemory]:
            def process() -> None:
                degrade(scene, subject.scale).save(observed)
                Observation.load(observed)
                metrics.evaluate(scene.cube, 0.99 * scene.cube, subject.scale)
                np.save(cube, scene.cube.astype(np.float16))

            return _timed(process)

        yield from _climb("scene", time_on, subject.scale)


def _method(subject: Subject) -> Iterator[Point]:
    """A method; of UAL's steps of adaptation, which are alike, only some."""
    task = Task("indian-pines", "spatial", subject.scale)

    def time_on(scene: Scene) -> tuple[float, PeakMemory]:
        observation = degrade(scene, subject.scale)
        method = with_true_kernel(_ready(subject, len(scene.cube)), scene, 0, task)
        if not isinstance(method, Adapted):
            return _timed(lambda: method(observation))
        fusion, _ = _timed(lambda: method.fusion(observation))
        some = replace(method, steps=method.steps // PART_OF_STEPS)
        both, peak = _timed(lambda: some(observation))
        return fusion + PART_OF_STEPS * (both - fusion), peak

    yield from _climb("method", time_on, subject.scale)


def _ready(subject: Subject, bands: int) -> Method:
    """A training-free method, or one with a network of random weights, whose values do not affect its speed."""
    network = network_of(subject.method)
    if network is None:
        return load_method(subject.method, subject.scale)
    config = preset(subject.preset) if subject.preset else TrainConfig(network=network, steps="batched")
    net = build_network(replace(config, scale=subject.scale, start=""), bands)
    variant = VARIANTS[subject.method][1] if subject.method in VARIANTS else ""
    return net.as_method(Learned(net, "", ""), variant, None, "float32")


def _training(subject: Subject) -> Iterator[Point]:
    config = replace(stages(subject.preset)[subject.stage], scale=subject.scale, start="")
    config = config.on(choose_device())
    side, rate = config.side, 0.0  # rate: seconds per patch of the batch before
    unit = lcm(4, config.scale)  # of the sides that networks take
    small = max(side // 2 // unit, 1) * unit
    first = [(1, small, BANDS), (1, side, MORE_BANDS), (1, side, BANDS)]
    for number, (batch, side, bands) in enumerate([*first, *((batch, side, BANDS) for batch in BATCHES)]):
        if number > 2 and (batch > config.batch or rate * batch * REPEATS > ENOUGH):
            return
        points = list(_batches(replace(config, patch_side=side), batch, bands))
        rate = sum(point.seconds for point in points if point.part in ("samples", "step")) / batch
        yield from points
        if number < len(first):  # an image of a few patches
            yield _validation(config, (6 if side == small else 8) * config.scale, bands)


def _validation(config: TrainConfig, side: int, bands: int) -> Point:
    scene, device = image(side, bands), choose_device()
    net = build_network(config, bands)
    seconds, peak = _timed(lambda: validation_psnr(net, [scene], config, device))
    return Point("validation", scene.cube[0].size, bands, seconds, peak.megabytes)


def _batches(config: TrainConfig, batch: int, bands: int) -> Iterator[Point]:
    """The costs of a small batch of a scene with so many bands."""
    scene, device = image(TRAINING_SIDE, bands), choose_device()
    seen = bands
    if config.bands_per_step or config.steps == "per-band":  # bands per step, few and then more
        seen = 1 if bands == BANDS else 4
        config = replace(config, steps="batched", bands_per_step=seen)
    config = replace(config, batch=batch, crops_per_scene=batch * (REPEATS + 1), checkpoint_every=1e9)
    patches = samples([scene], config)
    pixels, preparing, learning = batch * config.side**2, list[float](), list[float]()
    with TemporaryDirectory() as folder, watched() as peak:
        state = State(config, [scene], Path(folder), device)
        made = iter(batches_on(device, patches, 0)(in_batches(range(len(patches)), batch)))
        for _ in range(1 + REPEATS):
            started = clock()
            some = next(made)
            between = clock()
            state.learn(*some)
            state.read_losses()
            preparing.append(between - started)
            learning.append(clock() - between)
            if learning[-1] > QUICK:  # long enough for its first call to tell
                break
    memory, prepared = peak.megabytes, median(preparing[1:] or preparing)  # the first also prepares scenes
    yield Point("epoch", scene.cube[0].size, bands, max(preparing[0] - prepared, 0), memory)
    yield Point("samples", pixels, bands, prepared, memory)
    yield Point("step", pixels, seen, median(learning[1:] or learning), memory)

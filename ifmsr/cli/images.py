"""One's own images: `ifmsr super-resolve` and `ifmsr assess`, and the `methods` and `cameras` to choose from."""

import argparse
import sys
import time
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ifmsr.cli.arguments import METHOD, PRECISIONS, Commands, command
from ifmsr.cli.pairs import add_pair, check_apart, in_options, pairs_of, read_pair, response
from ifmsr.errors import InputError, RunFailed
from ifmsr.extras import require

if TYPE_CHECKING:
    from ifmsr.assessment import Assessment
    from ifmsr.inference.blocks import Blocks
    from ifmsr.io import Pair
    from ifmsr.methods.base import Method

BATCH_SUFFIX = ".tif"
PICTURES = (".png", ".pdf", ".svg")
METHODS = {
    "auto": "the default: subspace-net, its correction weighed by what the cube confirms",
    "subspace-net": "a small network on top of closed-form, for any number of bands and any scale",
    "closed-form": "training-free and blind: blur, shift, noise and response are estimated",
    "bicubic": "bicubic interpolation of every band; the guide is not used",
    "gsa": "Gram-Schmidt adaptive hypersharpening (Aiazzi et al. 2007)",
    "mtf-glp-hs": "hypersharpening with a generalised Laplacian pyramid (Selva et al. 2015)",
    "cnmf": "coupled non-negative matrix factorisation (Yokoya et al. 2012)",
    "hysure": "fusion in a spectral subspace with vector total variation (Simoes et al. 2015)",
    "lttr": "low tensor-train rank (Dian et al. 2019), blur kernel assumed",
    "lttr-estimated": "LTTR with the estimated blur kernel",
    "lttr-oracle": "LTTR with the true blur kernel, in evaluations only",
    "cms": "clustering manifold structure (Zhang et al. 2018), blur kernel assumed",
    "cms-back-projected": "CMS with the last step of its authors' program",
    "cms-estimated": "CMS with the estimated blur kernel",
    "cms-oracle": "CMS with the true blur kernel, in evaluations only",
    "ifmsr": "RGB-induced feature modulation network, the paper's (Li et al. 2023)",
    "ifmsr-test-family": "IFMSR trained on random samples of the family of degradations it is tested on",
    "pzres-net": "progressive zero-centric residual network (Zhu et al. 2021)",
    "mhf-net": "unfolded proximal gradient method (Xie et al. 2019)",
    "mog-dcn": "model-guided deep unfolding (Dong et al. 2021)",
    "ual": "unsupervised adaptation to each image (Zhang et al. 2020): minutes per scene",
    "ual-fusion": "UAL without the adaptation",
}
"""Method -> one line; methods of other packages are listed by their title."""


def super_resolve(args: argparse.Namespace) -> None:
    """Super-resolve one's own images: a cube, given a finer RGB image of the same place."""
    from ifmsr.io import check_target
    from ifmsr.io.writing import WRITERS

    pairs = pairs_of(args.images)
    single = args.out.suffix.lower() in WRITERS
    if args.report is not None:
        require("matplotlib")
    if single and len(pairs) > 1:
        raise InputError("-o", f"one file for {len(pairs)} pairs", "Name a folder")
    if single or (len(pairs) == 1 and not args.out.is_dir()):
        check_target(args.out)
        if args.error is not None and args.error.suffix.lower() != ".npy":
            check_target(args.error)
        run_one(args, *pairs[0], args.out, args.report)
        return
    run_all(args, pairs)


def run_all(args: argparse.Namespace, pairs: list[tuple[Path, Path]]) -> None:
    """Every pair into a folder, the next one whatever becomes of it; a table at the end.

    Raises RunFailed if one has failed.
    """
    from ifmsr.io import check_target

    if args.error is not None:
        raise InputError(
            "--error", f"one file for {len(pairs)} pairs", "Leave it out, or run the pairs one by one"
        )
    check_target(args.out / f"result{args.suffix}")
    names = [lr.stem for lr, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError("LR RGB", f"{', '.join(twice)} would be written twice", "Run these pairs one by one")
    rows, failed = [], 0
    for lr, rgb in pairs:
        start, target = time.perf_counter(), args.out / f"{lr.stem}{args.suffix}"
        report = None if args.report is None else args.report / lr.stem
        try:
            assessment = run_one(args, lr, rgb, check_target(target), report)
            outcome = (
                f"{100 * (1 - assessment.unexplained):.1f} % explained, {len(assessment.warnings)} warnings"
            )
        except (InputError, RunFailed, OSError, MemoryError) as error:
            failed += 1
            outcome = f"failed: {error}"
            print(f"ifmsr: {error}", file=sys.stderr)
        rows.append((lr.name, f"{time.perf_counter() - start:.1f} s", outcome))
    if not args.json:
        widths = [max(len(row[column]) for row in rows) for column in range(2)]
        for name, seconds, outcome in rows:
            print(f"{name:{widths[0]}}  {seconds:>{widths[1]}}  {outcome}")
    if failed:
        raise RunFailed(f"{failed} of {len(pairs)} pairs failed")


def run_one(args: argparse.Namespace, lr: Path, rgb: Path, out: Path, report: Path | None) -> "Assessment":
    """One pair of files: read, assess, super-resolve, write, report."""
    steps = Steps(args.verbose)
    from ifmsr.inference import api
    from ifmsr.inference.assessed import Assessed
    from ifmsr.progress import no_progress

    steps.done("loading the libraries")
    check_apart(out, lr, rgb)
    if report is None and (blocks := mapped_blocks(args, lr, rgb, out)) is not None:
        return run_blocks(args, *blocks, out, steps)
    pair = read_pair(args, lr, rgb)
    steps.done("reading")
    memory = None if args.memory is None else args.memory * 10**6
    with in_options("lr", {"lr": lr, "rgb": rgb}), no_progress(args.quiet or args.json):
        method = api.load_method(args.method, pair.scale, args.weights, args.device, args.precision, memory)
        assessment = api.assess(
            pair.cube.values, pair.guide.values, pair.scale, response(args.srf, pair), args.guide
        )
        if not args.json:
            say(args, pair, assessment)
        doubt(pair, assessment, args.strict)
        say_method(args, method)
        steps.done("assessing the pair")
        results = api.run_assessed(Assessed.of(method), assessment, args.error is not None)
    steps.done("super-resolving")
    written = write(args, pair, out, *results)
    steps.done("writing")
    if report is not None:
        from ifmsr.cli.report import write_report

        config = {"lr": lr.name, "rgb": rgb.name, "scale": pair.scale, "method": args.method, "srf": args.srf}
        written += write_report(report, (lr, rgb), pair, assessment, results[0], config)
        steps.done("the report")
    if args.json:
        say_json(pair, assessment, out)
    elif not args.quiet:
        print(*written, sep="\n")
    return assessment


class Steps:
    """Prints the seconds of every step to standard error, if they are `wanted`."""

    def __init__(self, wanted: bool):
        self.wanted, self.start = wanted, time.perf_counter()

    def done(self, step: str) -> None:
        """A step ends here; the next one begins."""
        now = time.perf_counter()
        if self.wanted:
            print(f"ifmsr: {step}: {now - self.start:.1f} s", file=sys.stderr, flush=True)
        self.start = now


def mapped_blocks(args: argparse.Namespace, lr: Path, rgb: Path, out: Path) -> "tuple[Pair, Blocks] | None":
    """A pair of large files to be solved in blocks; None if they are small, or something needs them whole."""
    from ifmsr.inference import api
    from ifmsr.inference.blocks import LARGE, Blocks, blockwise
    from ifmsr.io.blockwise import TARGETS
    from ifmsr.io.reading import read_stored

    if args.crop or args.error is not None or out.suffix.lower() not in TARGETS:
        return None
    try:
        if prod(read_stored(rgb, mapped=True).array.shape[1:]) <= LARGE:
            return None
        pair = read_pair(args, lr, rgb, mapped=True)
    except InputError:  # said when they are read whole
        return None
    memory = None if args.memory is None else args.memory * 10**6
    with in_options("lr", {"lr": lr, "rgb": rgb}):
        method = api.load_method(args.method, pair.scale, args.weights, args.device, args.precision, memory)
        if not blockwise(method):
            return None
        srf = response(args.srf, pair)
        blocks = Blocks(pair.cube.values, pair.guide.values, pair.scale, method, srf, args.guide, memory)
    return (pair, blocks) if blocks.assessment.fits else None


def run_blocks(
    args: argparse.Namespace, pair: "Pair", blocks: "Blocks", out: Path, steps: Steps
) -> "Assessment":
    """A pair of large files, block by block into the result's file."""
    import numpy as np

    from ifmsr.io.blockwise import block_target
    from ifmsr.progress import no_progress

    assessment = blocks.assessment
    if not args.json:
        say(args, pair, assessment)
    doubt(pair, assessment, args.strict)
    say_method(args, blocks.method)
    steps.done("reading, and assessing a sample")
    result = pair.result(np.broadcast_to(np.float32(0), blocks.shape))
    gaps = (
        getattr(pair.cube.values, "missing", False)
        and result.nodata is None
        and np.dtype(result.dtype).kind != "f"
    )
    if gaps or args.float:
        result = result.floating()
    with block_target(out, result) as target, no_progress(args.quiet or args.json):
        blocks.into(target)
    steps.done("super-resolving and writing, block by block")
    if args.json:
        say_json(pair, assessment, out)
    elif not args.quiet:
        print(out)
    return assessment


def write(args: argparse.Namespace, pair: "Pair", out: Path, sr: Any, error: Any = None) -> list[Path]:
    """The result in the cube's unit and type, or as floats; the map of errors as floats."""
    from dataclasses import replace
    from functools import partial

    import numpy as np

    from ifmsr.files import write_atomically
    from ifmsr.io import Cube, write_cube

    result = pair.result(sr)
    unmarked = result.nodata is None and np.dtype(result.dtype).kind != "f" and bool(np.isnan(sr).any())
    if unmarked and not args.float:
        reason = f"{result.dtype} has no number for the missing values; --nodata names one"
        print(f"ifmsr: warning: {out} is written as float32: {reason}", file=sys.stderr)
    if unmarked or args.float:
        result = result.floating()
    written = [write_cube(out, result)]
    if error is None:
        return written
    if args.error.suffix.lower() == ".npy":
        return [*written, write_atomically(args.error, partial(np.save, arr=error))]
    place = replace(Cube(error[None]), crs=result.crs, transform=result.transform)
    return [*written, write_cube(args.error, place)]


def assess(args: argparse.Namespace) -> None:
    """Assess an LR cube and its RGB guide: estimated degradation, noise and registration, and warnings."""
    steps = Steps(args.verbose)
    from ifmsr.inference import api

    steps.done("loading the libraries")
    if args.out is not None:
        require("matplotlib")
        if args.out.suffix.lower() not in PICTURES:
            raise InputError(args.out, "it is no picture", f"Choose one of {' '.join(PICTURES)}")
    pair = read_pair(args, args.lr, args.rgb)
    steps.done("reading")
    with in_options("lr", {"lr": args.lr, "rgb": args.rgb}):
        assessment = api.assess(
            pair.cube.values, pair.guide.values, pair.scale, response(args.srf, pair), args.guide
        )
        if args.json:
            say_json(pair, assessment)
        else:
            say(args, pair, assessment)
            say_camera(args, pair, assessment)
        doubt(pair, assessment, args.strict)
    steps.done("assessing the pair")
    if args.out is not None:
        from ifmsr.cli.report import save_picture
        from ifmsr.figures.pair import assessment_figure

        figure = assessment_figure(
            pair.cube.values,
            pair.guide.values,
            assessment.kernel,
            assessment.response,
            pair.scale,
            pair.cube.wavelengths,
        )
        path = save_picture(figure, args.out)
        steps.done("the picture")
        if not args.quiet and not args.json:
            print(path)


def say(args: argparse.Namespace, pair: "Pair", assessment: "Assessment") -> None:
    """What was read, and the assessment's five lines."""
    if not args.quiet:
        print(pair.cube.taken, pair.guide.taken, assessment, sep="\n", flush=True)


def say_method(args: argparse.Namespace, method: "Method") -> None:
    """The method and how it was trained, with ``--verbose``."""
    if args.verbose:
        print(f"ifmsr: method {args.method}: {method.schedule or 'no training'}", file=sys.stderr)


def say_camera(args: argparse.Namespace, pair: "Pair", assessment: "Assessment") -> None:
    """The measured camera that is nearest to the guide's, where the cube's wavelengths are known."""
    if args.quiet or pair.cube.wavelengths is None:
        return
    if camera := assessment.nearest_camera(pair.cube.wavelengths):
        print(f"nearest of the measured cameras: {camera.name}; misfit {camera.misfit:.1f} with its response")


def say_json(pair: "Pair", assessment: "Assessment", result: Path | None = None) -> None:
    """One JSON object on one line."""
    import json

    from ifmsr.cli.report import as_json

    print(json.dumps(as_json(pair, assessment, result)), flush=True)


def doubt(pair: "Pair", assessment: "Assessment", strict: bool) -> None:
    """Print what to doubt about a pair to standard error; with `strict` raise InputError instead."""
    from ifmsr.assessment import demand_no_doubt

    if strict:
        for problem in pair.doubts:
            raise InputError("the pair of images", problem.rstrip("."), "Mend it, or leave strict out")
        demand_no_doubt(assessment)
    for problem in (*pair.doubts, *assessment.warnings):
        print(f"ifmsr: warning: {problem}", file=sys.stderr)


def methods(_: argparse.Namespace) -> None:
    """List every method with one line on it, and for networks the weights that are here."""
    from ifmsr.methods.registry import method_names, network_of, title_of
    from ifmsr.paths import weights_folders

    files = {path.stem for folder in weights_folders() for path in folder.glob("*.safetensors")}
    for name in method_names():
        network = network_of(name)
        here = sorted(
            stem for stem in files if network and (stem == network or stem.startswith(f"{network}-x"))
        )
        needs = f"weights: {', '.join(here) or 'none here'}" if network else "no training"
        print(f"{name:20}{METHODS.get(name) or title_of(name)} ({needs})")


def cameras(_: argparse.Namespace) -> None:
    """List the cameras and satellites whose spectral responses are known, as `--srf` takes them."""
    from ifmsr.scenes.cameras import PAPER, SATELLITES, camera_names

    print(f"{PAPER}  (the paper's table)")
    print(*(f"{name}  (nominal limits of its bands)" for name in SATELLITES), *camera_names(), sep="\n")


def add(commands: Commands) -> None:
    """The commands of this file."""
    example = "cube.hdr photo.tif -o result.tif --report report"
    made = add_pair(commands, "super-resolve", super_resolve, example)
    made.usage = "ifmsr super-resolve LR RGB [LR RGB ...] -o OUT [options]"
    made.add_argument(
        "images", nargs="+", type=Path, metavar="LR RGB",
        help="a cube and its aligned RGB guide; several pairs, or two folders, if OUT is a folder",
    )  # fmt: skip
    made.add_argument(
        "-o", "--out", type=Path, required=True,
        help="the result, in the format of its suffix: .tif .hdr .nc .mat .npz .npy; for several pairs a folder",
    )  # fmt: skip
    result = made.add_argument_group("the result")
    result.add_argument(
        "--float", action="store_true", help="write float reflectance, not the cube's unit and type"
    )
    result.add_argument(
        "--report", type=Path, metavar="FOLDER", help="leave preview.png and assessment.json there"
    )
    result.add_argument("--error", type=Path, help="each pixel's expected error (H, W); subspace-net only")
    result.add_argument(
        "--suffix", default=BATCH_SUFFIX, help="format of several results (default %(default)s)"
    )
    how = made.add_argument_group("how it is computed")
    how.add_argument("--method", default="auto", help=f"{METHOD} (default %(default)s)")
    how.add_argument("--weights", type=Path, help="a network's weights instead of the shipped ones")
    how.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: the GPU if there is one)")
    how.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="of networks (default %(default)s)"
    )
    how.add_argument(
        "--memory",
        type=int,
        metavar="MB",
        help="megabytes for a block of a large image (default 1000), or IFMSR's feature maps (half of what is free)",
    )

    made = add_pair(commands, "assess", assess, "cube.hdr photo.tif -o assessment.png")
    made.add_argument("lr", type=Path, metavar="LR", help="the cube")
    made.add_argument("rgb", type=Path, metavar="RGB", help="its aligned RGB guide, a whole number finer")
    made.add_argument("-o", "--out", type=Path, help="one picture of it: .png .pdf .svg")

    command(commands, "methods", methods, "")
    command(commands, "cameras", cameras, "")

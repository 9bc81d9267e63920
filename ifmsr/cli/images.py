"""One's own images: `ifmsr super-resolve`, and the methods to choose from: `ifmsr methods`."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from ifmsr.cli.arguments import GUIDES, METHOD, PRECISIONS, Commands, command


def super_resolve(args: argparse.Namespace) -> None:
    """Super-resolve one's own images."""
    import numpy as np

    from ifmsr.assessment import assess_observation
    from ifmsr.files import write_atomically
    from ifmsr.inference import api
    from ifmsr.inference.assessed import Assessed
    from ifmsr.io import read_cube, read_guide

    lr = read_cube(args.lr, maximum=args.maximum, layout=args.layout).values
    rgb = read_guide(args.rgb).values
    delivered = api.as_observation(lr, rgb, args.scale, response(args.srf))
    memory = None if args.memory is None else args.memory * 10**6
    wanted = args.error is not None
    method = api.load_method(args.method, args.scale, args.weights, args.device, args.precision, memory)
    assessment = assess_observation(delivered, args.guide)
    print(assessment)
    say_doubts(assessment, args.strict)
    results = api.run_assessed(Assessed.of(method), assessment, delivered, wanted)
    for path, array in zip([args.out, args.error], results, strict=False):
        print(write_atomically(path, partial(np.save, arr=array)))


def assess(args: argparse.Namespace) -> None:
    """Say what an LR cube and its RGB guide tell about themselves, and what to doubt."""
    from ifmsr.inference import api
    from ifmsr.io import read_cube, read_guide

    lr = read_cube(args.lr, maximum=args.maximum, layout=args.layout).values
    rgb = read_guide(args.rgb).values
    assessment = api.assess(lr, rgb, args.scale, response(args.srf), args.guide)
    print(assessment)
    say_doubts(assessment, args.strict)


def response(name: str | None) -> Any:
    """The spectral response that ``--srf`` names, or None."""
    from ifmsr.scenes.response import nikon_d700, read_srf

    if name is None:
        return None
    return nikon_d700() if name == "nikon-d700" else read_srf(name)[1]


def say_doubts(assessment: Any, strict: bool) -> None:
    """Print an assessment's warnings to standard error; with `strict` raise InputError instead."""
    from ifmsr.assessment import demand_no_doubt

    if strict:
        demand_no_doubt(assessment)
    for doubt in assessment.warnings:
        print(f"ifmsr: warning: {doubt}", file=sys.stderr)


def methods(_: argparse.Namespace) -> None:
    """List every method, and for networks the weights that are here."""
    from ifmsr.methods.registry import CLASSICAL, method_names, network_of
    from ifmsr.paths import weights_folders

    files = {path.stem for folder in weights_folders() for path in folder.glob("*.safetensors")}
    for name in method_names():
        if name in CLASSICAL:
            print(f"{name:20}no training")
            continue
        network = network_of(name)
        here = sorted(stem for stem in files if stem == network or stem.startswith(f"{network}-x"))
        print(f"{name:20}weights: {', '.join(here) or 'none here'}")


def add(commands: Commands) -> None:
    """The commands of this file."""
    made = command(commands, "super-resolve", super_resolve)
    add_pair(made)
    made.add_argument("--method", default="auto", help=f"{METHOD} (default %(default)s)")
    made.add_argument("--weights", type=Path, help="a network's weights instead of the shipped ones")
    made.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: the GPU if there is one)")
    made.add_argument("--precision", choices=PRECISIONS, default="float32")
    made.add_argument(
        "--memory", type=int, help="megabytes for IFMSR's feature maps (default: half of what is free)"
    )
    made.add_argument("--out", type=Path, required=True, help="the result, .npy (B, H, W) in [0, 1]")
    made.add_argument(
        "--error", type=Path, help="each pixel's expected error, .npy (H, W); subspace-net only"
    )
    add_pair(command(commands, "assess", assess))
    command(commands, "methods", methods)


def add_pair(made: argparse.ArgumentParser) -> None:
    """The two images, and what is known of them."""
    made.add_argument("--lr", type=Path, required=True, help="cube: .npy .npz .mat .tif .hdr ...")
    made.add_argument("--rgb", type=Path, required=True, help="aligned RGB guide, scale times larger")
    made.add_argument("--scale", type=int, required=True)
    made.add_argument("--srf", help="'nikon-d700' or a CSV file: wavelength_nm,R,G,B, one line per band")
    made.add_argument("--guide", choices=GUIDES, default="auto", help="the guide's tone curve")
    made.add_argument("--strict", action="store_true", help="refuse a pair that raises a warning")
    made.add_argument("--maximum", type=float, help="the cube's value that becomes 1")
    made.add_argument("--layout", choices=("HWC", "CHW"), help="the cube's bands come last, or first")

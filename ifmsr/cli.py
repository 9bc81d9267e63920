"""The command line: thin, every command is one call into the library.

Exit codes: 0 done, 1 a run failed, 2 bad input, 130 interrupted.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import yaml

import ifmsr
from ifmsr import doctor, figures, notebooks
from ifmsr.degradation.protocol import Alignment, Preset
from ifmsr.errors import InputError, check_choice
from ifmsr.experiments import ablations, cards, reproduction
from ifmsr.files import write_atomically
from ifmsr.inference.api import load_method, super_resolve
from ifmsr.methods.registry import CLASSICAL, METHODS, NETWORKS
from ifmsr.paths import RESULTS
from ifmsr.scenes import DATASETS, download
from ifmsr.scenes.own import load_cube, load_image
from ifmsr.scenes.response import nikon_d700, read_srf
from ifmsr.study import comparison, evaluation, rendering, robustness
from ifmsr.training import PRESETS, TrainingError, train_on_split
from ifmsr.training.config import with_settings


def data(args: argparse.Namespace) -> None:
    """Say what data are here, or fetch them."""
    if args.action == "fetch":
        for name in args.datasets:
            check_choice("data fetch", name, ("cave",))
        print(download.fetch_cave(args.root))
        return
    for name in args.datasets or DATASETS:
        print(download.check(name, args.root, args.verify))


def train(args: argparse.Namespace) -> None:
    """Train a network on a data set's split."""
    config = with_settings(PRESETS[args.preset], {"scale": args.scale, **dict(args.settings)})
    weights = train_on_split(
        config,
        args.data,
        args.split,
        args.out,
        args.root,
        resume=not args.restart,
        device=args.device,
        workers=args.workers,
        compile=args.compile,
    )
    print(weights)


def evaluate(args: argparse.Namespace) -> None:
    """Measure methods on a split's test scenes."""
    task = evaluation.Task(
        args.data,
        args.split,
        args.scale,
        args.degradation,
        args.alignment,
        seeds=tuple(args.seeds),
        scenes=tuple(args.scenes),
        side=args.side,
    )
    chosen = {
        name: load_method(name, args.scale, args.weights, args.device, args.precision)
        for name in args.methods
    }
    rows = evaluation.evaluate(task, chosen, args.out, args.root)
    print(evaluation.summary(rows).round(4).to_string())


def measure_robustness(args: argparse.Namespace) -> None:
    """Measure methods on a split's test scenes under other degradations than the paper's."""
    conditions = [entry for entry in robustness.GRID if not args.conditions or entry.name in args.conditions]
    if unknown := set(args.conditions) - {entry.name for entry in conditions}:
        known = ", ".join(entry.name for entry in robustness.GRID)
        raise InputError("--condition", f"there is no {', '.join(sorted(unknown))}", f"Choose from {known}")
    methods = {name: load_method(name, 0, args.weights, args.device) for name in args.methods}
    rows = robustness.measure_split(
        args.data, args.split, methods, conditions, args.out, args.seed, args.root
    )
    means = rows.groupby(["condition", "method"], sort=False)["PSNR"].mean().unstack(sort=False)
    print(means.round(2).to_string())


def ablate(args: argparse.Namespace) -> None:
    """Train variants of IFMSR that differ in one thing each, and compare them."""
    base = with_settings(PRESETS[args.preset], {"scale": args.scale, **dict(args.settings)})
    names = args.variants or list(ablations.VARIANTS)
    table = ablations.ablate(base, names, args.data, args.split, args.out, args.root, args.side, args.device)
    print(table.round(4).to_string(index=False))


def ship(args: argparse.Namespace) -> None:
    """Ship a training's weights with their card in results/weights."""
    print(cards.ship(args.training, args.evaluations, name=args.name))


def reproduce(args: argparse.Namespace) -> None:
    """Do a committed evaluation again, with its tables and figures, and say how far its numbers differ."""
    committed = Path(args.what)
    if args.what == "table4":
        scale = 4 if args.scale is None else args.scale
        committed = RESULTS / f"{args.data or 'cave'}-x{scale}"
    elif args.data or args.scale is not None:
        raise InputError("--data, --scale", f"{committed} has its own", "Give them with table4 only")
    out = args.out or RESULTS / "reproduced" / committed.name
    if args.settings and not args.train:
        raise InputError("--set", "nothing is trained", "Give --train as well")
    done = reproduction.reproduce(
        committed, out, args.train, dict(args.settings), args.methods, args.root, args.device
    )
    print(*done.files, sep="\n")
    print(evaluation.summary(done.rows).round(4).to_string())
    print(f"largest distance from {committed}:\n{done.distance.to_string(float_format='%.2g')}")
    for name, reason in done.left_out.items():
        print(f"left out: {name}: {reason}")


def make_tables(args: argparse.Namespace) -> None:
    """Table IV from finished evaluations, and every method's differences from every other."""
    print(*rendering.write_table4(args.evaluations, args.out), sep="\n")
    print(comparison.write_differences(args.evaluations, args.out))


def make_figures(args: argparse.Namespace) -> None:
    """Figures 4 and 5 from a finished evaluation."""
    for name, draw in (("figure4", figures.figure4), ("figure5", figures.figure5)):
        print(*figures.save_figure(draw(args.evaluation), args.out / name), sep="\n")


def run(args: argparse.Namespace) -> None:
    """Run notebooks strictly."""
    if args.in_place:
        for notebook in args.notebooks:
            print(notebooks.execute_in_place(notebook))
        return
    profile = notebooks.read_profile(args.profile, args.notebooks) if args.profile else {}
    for notebook in args.notebooks:
        profile[notebook.stem] = {**profile.get(notebook.stem, {}), **dict(args.settings)}
    print(*notebooks.run_all(args.notebooks, profile, args.out), sep="\n")


def own(args: argparse.Namespace) -> None:
    """Super-resolve one's own images."""
    lr, rgb = load_cube(args.lr, maximum=args.maximum, layout=args.layout), load_image(args.rgb)
    srf = None
    if args.srf:
        srf = nikon_d700() if args.srf == "nikon-d700" else read_srf(args.srf)[1]
    memory = None if args.memory is None else args.memory * 10**6
    wanted = args.error is not None
    results = super_resolve(
        lr, rgb, args.scale, args.method, srf, args.weights, args.device, args.precision, memory, wanted
    )
    for path, array in zip([args.out, args.error], results if wanted else [results], strict=False):
        print(write_atomically(path, partial(np.save, arr=array)))


def diagnose(_: argparse.Namespace) -> None:
    """Say what is installed, found and missing here."""
    print(doctor.report())


def setting(text: str) -> tuple[str, object]:
    """``name=value`` with the value read as YAML."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    return name, read_value(value)


def read_value(text: str) -> object:
    """A value read as YAML, and 1e-4 as a number, which YAML 1.1 takes for a word."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise InputError("value", f"{text!r} is no YAML", "Quote texts with special characters") from error
    with suppress(ValueError):
        return float(value) if isinstance(value, str) else value
    return value


class Pair(argparse.Action):
    """``-p NAME VALUE``, repeatable, collected as (name, value) with the value read as YAML."""

    def __call__(self, parser, namespace, values, option_string=None):  # type: ignore[no-untyped-def]
        """Append one pair."""
        pairs = [*getattr(namespace, self.dest), (values[0], read_value(values[1]))]
        setattr(namespace, self.dest, pairs)


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    about = (ifmsr.__doc__ or "").partition("\n")[0]
    top = argparse.ArgumentParser(prog="ifmsr", description=about)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, function, **kwargs) -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
        made = commands.add_parser(name, help=function.__doc__, description=function.__doc__, **kwargs)
        made.set_defaults(function=function)
        return made

    def places(made: argparse.ArgumentParser) -> None:
        made.add_argument("--root", type=Path, help="the data set's folder (default: $IFMSR_DATA/<data set>)")
        made.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: the GPU if there is one)")

    def common(made: argparse.ArgumentParser, scale: bool = True) -> None:
        made.add_argument("--data", required=True, choices=DATASETS, help="data set")
        made.add_argument("--split", required=True, help="for example figure4, names-20-12, seed-0, spatial")
        if scale:
            made.add_argument("--scale", type=int, default=4, help="magnification (default 4)")
        made.add_argument("--out", type=Path, required=True, help="folder for the results")
        places(made)

    def settings(made: argparse.ArgumentParser) -> None:
        made.add_argument(
            "--set", dest="settings", type=setting, action="append", default=[], metavar="NAME=VALUE",
            help="change one field of the preset, for example epochs=20 or options.features=32",
        )  # fmt: skip

    def training(made: argparse.ArgumentParser, preset: str) -> None:
        made.add_argument(
            "--preset", choices=PRESETS, default=preset, help="how to train (default %(default)s)"
        )
        settings(made)

    def middle(made: argparse.ArgumentParser) -> None:
        made.add_argument(
            "--side", type=int, default=0, help="only the middle of every test scene (default: all of it)"
        )

    made = command("data", data)
    made.add_argument("action", choices=("check", "fetch"))
    made.add_argument(
        "datasets", nargs="*", metavar="DATASET", help=f"of {', '.join(DATASETS)}; fetch knows cave"
    )
    made.add_argument("--root", type=Path, help="the data set's folder (default: $IFMSR_DATA/<data set>)")
    made.add_argument("--verify", action="store_true", help="hash every file instead of comparing sizes")

    made = command("train", train)
    common(made)
    training(made, "quick")
    made.add_argument("--restart", action="store_true", help="start anew even if there is a checkpoint")
    made.add_argument("--workers", type=int, default=0, help="processes that prepare samples, on a CPU")
    made.add_argument("--compile", action="store_true", help="compile the network: minutes, then faster")

    made = command("evaluate", evaluate)
    common(made)
    made.add_argument("--method", dest="methods", action="append", required=True, choices=METHODS)
    made.add_argument("--weights", type=Path, help="a network's weights instead of the shipped ones")
    made.add_argument(
        "--degradation", choices=get_args(Preset), default="test",
        help="the paper's test draw (default), its training draw, or a competitor's published blur",
    )  # fmt: skip
    made.add_argument("--alignment", choices=get_args(Alignment), default="released")
    made.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    made.add_argument("--seeds", type=int, nargs="+", default=[0], help="one observation a scene for each")
    made.add_argument(
        "--scenes", nargs="+", default=[], help="some of the split's test scenes (default: all)"
    )
    middle(made)

    made = command("robustness", measure_robustness)
    common(made, scale=False)
    every_scale = [*CLASSICAL, *(name for name, network in NETWORKS.items() if network.scale_free)]
    made.add_argument("--method", dest="methods", action="append", required=True, choices=every_scale)
    made.add_argument("--weights", type=Path, help="a network's weights instead of the shipped ones")
    made.add_argument(
        "--condition", dest="conditions", action="append", default=[], metavar="NAME",
        help="one of the grid, as tables print it (default: all)",
    )  # fmt: skip
    made.add_argument("--seed", type=int, default=0)

    made = command("ablations", ablate)
    common(made)
    training(made, "ablation")
    made.add_argument(
        "--variant", dest="variants", action="append", default=[], choices=ablations.VARIANTS,
        metavar="NAME", help=f"of {', '.join(ablations.VARIANTS)} (default: all)",
    )  # fmt: skip
    middle(made)

    made = command("ship", ship)
    made.add_argument("training", type=Path, help="a folder that `ifmsr train` filled")
    made.add_argument("evaluations", nargs="+", type=Path, help="folders with rows of these weights")
    made.add_argument("--name", default="", help="of the file (default: the one that methods look for)")

    made = command("reproduce", reproduce)
    made.add_argument("what", help="table4, or a folder that `ifmsr evaluate` filled")
    made.add_argument("--data", choices=DATASETS, help="table4's data set (default cave)")
    made.add_argument("--scale", type=int, help="table4's magnification (default 4)")
    made.add_argument(
        "--method", dest="methods", action="append", default=[], choices=METHODS,
        help="one of the evaluation's methods (default: all)",
    )  # fmt: skip
    made.add_argument("--train", action="store_true", help="train every network from nothing first")
    settings(made)
    places(made)
    made.add_argument("--out", type=Path, help="folder for the results (default results/reproduced/...)")

    made = command("tables", make_tables)
    made.add_argument("evaluations", nargs="+", type=Path, help="folders that `ifmsr evaluate` filled")
    made.add_argument("--out", type=Path, required=True)

    made = command("figures", make_figures)
    made.add_argument("evaluation", type=Path, help="a folder that `ifmsr evaluate` filled")
    made.add_argument("--out", type=Path, required=True)

    made = command("run", run)
    made.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    made.add_argument("-p", dest="settings", nargs=2, action=Pair, default=[], metavar=("NAME", "VALUE"))
    made.add_argument("--profile", type=Path, help="YAML file: notebook -> its parameters")
    made.add_argument(
        "--out", type=Path, default=Path("results/notebooks"), help="folder for executed copies"
    )
    made.add_argument("--in-place", action="store_true", help="with their own defaults, outputs kept inside")

    made = command("super-resolve", own)
    made.add_argument("--lr", type=Path, required=True, help="cube: .npy .npz .mat .tif .hdr ...")
    made.add_argument("--rgb", type=Path, required=True, help="aligned colour image, scale times larger")
    made.add_argument("--scale", type=int, required=True)
    made.add_argument("--method", choices=METHODS, default="ifmsr")
    made.add_argument("--srf", help="'nikon-d700' or a CSV file: wavelength_nm,R,G,B, one line a band")
    made.add_argument("--maximum", type=float, help="the cube's value that becomes 1")
    made.add_argument("--layout", choices=("HWC", "CHW"), help="the cube's bands come last, or first")
    made.add_argument("--weights", type=Path)
    made.add_argument("--device")
    made.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    made.add_argument(
        "--memory", type=int, help="megabytes for IFMSR's feature maps (default: half of what is free)"
    )
    made.add_argument("--out", type=Path, required=True, help="the result, .npy (B, H, W) in [0, 1]")
    made.add_argument(
        "--error", type=Path, help="each pixel's expected error, .npy (H, W); subspace-net only"
    )

    command("doctor", diagnose)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # paths that the terminal's encoding cannot show
    try:
        args = parser().parse_args(arguments)
        args.function(args)
    except InputError as error:
        print(f"ifmsr: {error}", file=sys.stderr)
        return 2
    except (TrainingError, notebooks.NotebookError, OSError) as error:
        print(f"ifmsr: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ifmsr: interrupted", file=sys.stderr)
        return 130
    return 0

"""Whole experiments: `ifmsr ablations` and `ifmsr reproduce`."""

import argparse
from pathlib import Path

from ifmsr.cli.arguments import (
    Commands,
    add_preset,
    add_root_and_device,
    add_settings,
    add_side,
    add_split,
    command,
    read_settings,
)
from ifmsr.cli.study import print_caveat
from ifmsr.errors import InputError
from ifmsr.paths import RESULTS


def ablate(args: argparse.Namespace) -> None:
    """Train variants of IFMSR that differ in one component each, and compare them."""
    from ifmsr.experiments import ablations
    from ifmsr.training import preset
    from ifmsr.training.config import with_settings

    base = with_settings(preset(args.preset), {"scale": args.scale, **read_settings(args.settings)})
    names = args.variants or list(ablations.VARIANTS)
    table = ablations.ablate(base, names, args.data, args.split, args.out, args.root, args.side, args.device)
    print(table.round(4).to_string(index=False))
    print_caveat(args.data)


def reproduce(args: argparse.Namespace) -> None:
    """Repeat a committed evaluation with its tables and figures, and report the differences of its numbers."""
    from ifmsr.experiments import reproduction
    from ifmsr.study.evaluation import summary

    committed = Path(args.what)
    if args.what == "table4":
        scale = 4 if args.scale is None else args.scale
        committed = RESULTS / f"{args.data or 'cave'}-x{scale}"
    elif args.data or args.scale is not None:
        raise InputError("--data, --scale", f"{committed} has its own", "Give them with table4 only")
    if not committed.is_dir():
        raise InputError(
            committed,
            "there is no such folder",
            "Run the command in a clone of the source repository, which has the committed evaluations, or name "
            "another folder that `ifmsr evaluate` filled",
        )
    out = args.out or RESULTS / "reproduced" / committed.name
    if args.settings and not args.train:
        raise InputError("--set", "nothing is trained", "Give --train as well")
    done = reproduction.reproduce(
        committed, out, args.train, read_settings(args.settings), args.methods, args.root, args.device
    )
    print(*done.files, sep="\n")
    print(summary(done.rows).round(4).to_string())
    print_caveat(done.rows["dataset"][0])
    print(f"largest difference from {committed}:\n{done.distance.to_string(float_format='%.2g')}")
    for name, reason in done.left_out.items():
        print(f"left out: {name}: {reason}")


def add(commands: Commands) -> None:
    """The commands of this file."""
    made = command(commands, "ablations", ablate)
    add_split(made)
    add_preset(made, "ablation")
    made.add_argument(
        "--variant", dest="variants", action="append", default=[], metavar="NAME",
        help="a name of `ifmsr.experiments.ablations.VARIANTS` (default: all)",
    )  # fmt: skip
    add_side(made)

    made = command(commands, "reproduce", reproduce)
    made.add_argument("what", help="table4, or a folder that `ifmsr evaluate` filled")
    made.add_argument("--data", help="table4's data set (default cave)")
    made.add_argument("--scale", type=int, help="table4's magnification (default 4)")
    made.add_argument(
        "--method", dest="methods", action="append", default=[],
        help="one of the evaluation's methods (default: all)",
    )  # fmt: skip
    made.add_argument("--train", action="store_true", help="train every network from scratch first")
    add_settings(made)
    add_root_and_device(made)
    made.add_argument("--out", type=Path, help="folder for the results (default results/reproduced/...)")

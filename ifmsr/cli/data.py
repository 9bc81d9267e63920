"""Data sets and installation: `ifmsr data` and `ifmsr doctor`."""

import argparse
from pathlib import Path

from ifmsr.cli.arguments import ROOT, Commands, command
from ifmsr.errors import check_choice


def data(args: argparse.Namespace) -> None:
    """List available data sets, or download CAVE."""
    from ifmsr.scenes import DATASETS, download

    if args.action == "fetch":
        for name in args.datasets:
            check_choice("data fetch", name, ("cave",))
        print(download.fetch_cave(args.root))
        return
    for name in args.datasets or DATASETS:
        print(download.check(name, args.root, args.verify))


def diagnose(_: argparse.Namespace) -> None:
    """Report what is installed and what is missing."""
    from ifmsr import doctor

    print(doctor.report())


def add(commands: Commands) -> None:
    """The commands of this file."""
    made = command(commands, "data", data, "fetch cave")
    made.add_argument("action", choices=("check", "fetch"), help="check the files on disk, or download them")
    made.add_argument(
        "datasets",
        nargs="*",
        metavar="DATASET",
        help="data sets to check (default: all); only cave can be fetched",
    )
    made.add_argument("--root", type=Path, help=ROOT)
    made.add_argument("--verify", action="store_true", help="hash every file instead of comparing sizes")
    command(commands, "doctor", diagnose, "")

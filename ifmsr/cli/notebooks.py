"""Notebooks: `ifmsr run` and `ifmsr new-experiment`."""

import argparse
from pathlib import Path

from ifmsr.cli.arguments import Commands, command, read_value


def run(args: argparse.Namespace) -> None:
    """Execute notebooks with parameters."""
    from ifmsr import notebooks

    if args.in_place:
        for notebook in args.notebooks:
            print(notebooks.execute_in_place(notebook))
        return
    profile = notebooks.read_profile(args.profile, args.notebooks) if args.profile else {}
    settings = {name: read_value(value) for name, value in args.settings}
    for notebook in args.notebooks:
        profile[notebook.stem] = {**profile.get(notebook.stem, {}), **settings}
    print(*notebooks.run_all(args.notebooks, profile, args.out), sep="\n")


def new_experiment(args: argparse.Namespace) -> None:
    """Write a notebook with a small ablation study into the current folder, to run and to change."""
    from ifmsr import notebooks

    path = notebooks.new_experiment(args.name)
    print(f"{path}\nOpen it with jupyter lab, or run it: ifmsr run {path}")


def add(commands: Commands) -> None:
    """The commands of this file."""
    made = command(commands, "run", run, "notebooks/05_table_iv.ipynb -p scale 8 --out results/notebooks")
    made.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK", help="files to execute")
    made.add_argument(
        "-p", dest="settings", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
        help="a parameter of the notebooks, repeatable; the value is read as YAML",
    )  # fmt: skip
    made.add_argument("--profile", type=Path, help="YAML file that maps notebooks to their parameters")
    made.add_argument(
        "--out", type=Path, default=Path("results/notebooks"), help="folder for executed copies"
    )
    made.add_argument(
        "--in-place",
        action="store_true",
        help="execute with the default parameters and store the outputs in the notebooks",
    )

    made = command(commands, "new-experiment", new_experiment, "more_blocks")
    made.add_argument("name", metavar="NAME", help="of the notebook, and of its folder below results")

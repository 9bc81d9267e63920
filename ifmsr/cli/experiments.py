"""Whole experiments: `ifmsr study`, `ifmsr plan`, `ifmsr ablations` and `ifmsr reproduce`."""

import argparse
import warnings
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
from ifmsr.errors import InputError, RunFailed
from ifmsr.paths import RESULTS

STUDY = "a table with the columns data, scale, method, split, seed, preset; an empty preset: no training"


def study(args: argparse.Namespace) -> None:
    """Run the rows of a table that are not finished yet: train, evaluate, and write one table of all."""
    from ifmsr.experiments import study_processes, study_rows, study_runs

    rows = study_rows.read_study(args.study)
    if args.row is not None:
        print(study_runs.run_row(study_rows.chosen(rows, args.row), args.out, args.device))
        return
    if args.list:
        for row in rows:
            run = study_runs.run_of(row, args.out)
            print(row.name, run.folder or "", run.state, sep="\t")
            if run.error:
                warnings.warn(f"{row.name}: {run.error}", stacklevel=1)
        return
    table = study_processes.run_study(args.study, rows, args.out, args.workers, args.device)
    shown = ["row", "state", "PSNR", "SSIM", "SAM", "ERGAS", "RMSE", "seconds"]
    print(table[shown].to_string(index=False, na_rep="", float_format="%.4g"))
    print(args.out / study_processes.TABLE)
    if failed := int((table["state"] == "failed").sum()):
        raise RunFailed(f"{failed} of {len(table)} rows failed: see the column error of the table.")


def make_plan(args: argparse.Namespace) -> None:
    """Hours, memory and disk of each row of a study before it runs, from costs measured on a machine."""
    from ifmsr.experiments import calibration, costs, plan, study_rows

    rows = study_rows.read_study(args.study)
    file = costs.MEASURED if args.machine is None else args.machine
    if args.measure:
        known = costs.add_costs(file, (part for row in rows for part in calibration.subjects(row)))
    else:
        known = costs.read_costs(file)
    table = plan.plan(rows, known)
    print(table.to_string(index=False, float_format="%.3g"))
    hours, days = table["hours"].sum(), table["hours"].sum() / 24
    print(
        f"one row after the other: {hours:.3g} hours ({days:.3g} days), {table['disk_gb'].sum():.3g} GB on disk"
    )
    print(f"largest row: {table['hours'].max():.3g} hours, {table['memory_gb'].max():.3g} GB of memory")
    print(f"measured on {known.machine}. Another machine has other costs: --machine FILE.csv --measure")


def ablate(args: argparse.Namespace) -> None:
    """Train variants of IFMSR that differ in one component each, and compare them."""
    from ifmsr.experiments import ablations
    from ifmsr.training import preset
    from ifmsr.training.config import with_settings

    base = with_settings(preset(args.preset), {"scale": args.scale, **read_settings(args.settings)})
    names = args.variants or list(ablations.VARIANTS)
    table = ablations.ablate(
        base, names, args.data, args.split, args.out, args.root, args.side, args.device, args.seeds
    )
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
    made = command(commands, "study", study, "workflow/study.csv --out results/study --workers 2")
    made.add_argument("study", type=Path, metavar="STUDY.csv", help=STUDY)
    made.add_argument("--out", type=Path, required=True, help="folder for the runs and the table")
    one = made.add_mutually_exclusive_group()
    one.add_argument("--workers", type=int, default=1, help="rows that run at once (default 1)")
    one.add_argument("--row", metavar="NAME", help="run one row, in this process, and write no table")
    one.add_argument(
        "--list", action="store_true", help="print name, folder and state of each row, run nothing"
    )
    made.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: the GPU if there is one)")

    made = command(commands, "plan", make_plan, "workflow/table4.csv --machine mine.csv --measure")
    made.add_argument("study", type=Path, metavar="STUDY.csv", help=STUDY)
    made.add_argument(
        "--machine", type=Path, metavar="FILE", help="measured costs (default: those in results)"
    )
    made.add_argument(
        "--measure", action="store_true", help="first measure here what the file lacks: seconds per method"
    )

    made = command(
        commands, "ablations", ablate, "--data cave --split figure4 --variant full --out results/ablations"
    )
    add_split(made)
    add_preset(made, "ablation")
    made.add_argument(
        "--variant", dest="variants", action="append", default=[], metavar="NAME",
        help="a name of `ifmsr.experiments.ablations.VARIANTS` (default: all)",
    )  # fmt: skip
    made.add_argument(
        "--seeds", type=int, nargs="+", default=[], metavar="SEED",
        help="train every variant with each of these seeds (default: once, with the preset's)",
    )  # fmt: skip
    add_side(made)

    made = command(commands, "reproduce", reproduce, "table4 --scale 8")
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

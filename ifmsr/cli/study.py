"""Evaluation: `ifmsr evaluate`, `robustness`, `tables`, `figures`, `runs` and `compare`."""

import argparse
from pathlib import Path

from ifmsr.cli.arguments import (
    ALIGNMENTS,
    DEGRADATIONS,
    GRIDS,
    METHOD,
    METRICS,
    PRECISIONS,
    Commands,
    add_again,
    add_side,
    add_split,
    command,
)
from ifmsr.errors import InputError, check_choice


def evaluate(args: argparse.Namespace) -> None:
    """Measure methods on a split's test scenes."""
    from ifmsr.inference import load_method
    from ifmsr.study import evaluation

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
    rows = evaluation.evaluate(task, chosen, args.out, args.root, args.again)
    print(evaluation.summary(rows).round(4).to_string())
    print_caveat(args.data)


def print_caveat(dataset: str) -> None:
    """Print the remark that belongs to results on a data set, if there is one."""
    from ifmsr.study.names import caveat, dataset_label

    if known := caveat(dataset):
        print(f"{dataset_label(dataset)}: {known}.")


def measure_robustness(args: argparse.Namespace) -> None:
    """Measure methods on a split's test scenes under other degradations, or with other guides, than the paper's."""
    from ifmsr.inference import load_method
    from ifmsr.methods.registry import NETWORKS, method_names, network_of
    from ifmsr.study import robustness

    grid = robustness.GRIDS[args.grid]
    conditions = [entry for entry in grid if not args.conditions or entry.name in args.conditions]
    if unknown := set(args.conditions) - {entry.name for entry in conditions}:
        known = ", ".join(entry.name for entry in grid)
        raise InputError("--condition", f"there is no {', '.join(sorted(unknown))}", f"Choose from {known}")
    scales = {entry.scale for entry in conditions}
    for name in args.methods:
        check_choice("--method", name, method_names())
        if (network := network_of(name)) and len(scales) > 1 and not NETWORKS[network].scale_free:
            problem = f"{name} is trained for one scale, and the grid has several"
            raise InputError("--method", problem, "Choose subspace-net or a method that needs no training")
    methods = {name: load_method(name, min(scales), args.weights, args.device) for name in args.methods}
    rows = robustness.measure_split(
        args.data,
        args.split,
        methods,
        conditions,
        args.out,
        args.seed,
        args.root,
        args.again,
        args.side,
        args.add,
    )
    means = rows.groupby(["condition", "method"], sort=False)["PSNR"].mean().unstack(sort=False)
    print(means.round(2).to_string())
    print_caveat(args.data)


def make_tables(args: argparse.Namespace) -> None:
    """Write Table IV and paired differences of finished evaluations; without any, print the paper's table."""
    if not args.evaluations:
        from ifmsr import published

        print(published.table())
        return
    if args.out is None:
        raise InputError("--out", "no folder for the tables", "Give one: --out FOLDER")
    from ifmsr.study import comparison, rendering

    print(*rendering.write_table4(args.evaluations, args.out), sep="\n")
    print(comparison.write_differences(args.evaluations, args.out))


def make_figures(args: argparse.Namespace) -> None:
    """Figures 4 and 5 from a finished evaluation."""
    from ifmsr import figures

    for name, draw in (("figure4", figures.figure4), ("figure5", figures.figure5)):
        print(*figures.save_figure(draw(args.evaluation), args.out / name), sep="\n")


def list_runs(args: argparse.Namespace) -> None:
    """List the finished runs below a folder: evaluations with their metrics, trainings with their best PSNR."""
    from ifmsr.files import write_text
    from ifmsr.study.finished import finished_runs
    from ifmsr.study.names import HIGHER_IS_BETTER

    if args.curves is not None:
        from ifmsr.figures import learning_curves, save_figure

        print(*save_figure(learning_curves(args.folder), args.curves), sep="\n")
        return
    rows = finished_runs(args.folder)
    if args.kind:
        rows = rows[rows["kind"] == args.kind]
    if args.sort:
        check_choice("--sort", args.sort, tuple(rows.columns))
        rows = rows.sort_values(args.sort, ascending=args.sort not in HIGHER_IS_BETTER, kind="stable")
    if args.csv is not None:
        print(write_text(args.csv, rows.to_csv(index=False)))
        return
    print(rows.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.4g}"))


def compare(args: argparse.Namespace) -> None:
    """Compare two evaluations scene by scene: SECOND minus FIRST."""
    from ifmsr.study.finished import compare_runs

    table = compare_runs(args.first, args.second, args.metric)
    print(table.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.4g}"))


def add(commands: Commands) -> None:
    """The commands of this file."""
    made = command(
        commands,
        "evaluate",
        evaluate,
        "--data cave --split figure4 --scale 8 --method auto --method gsa --out results/mine",
    )
    add_split(made)
    made.add_argument("--method", dest="methods", action="append", required=True, help=METHOD)
    made.add_argument("--weights", type=Path, help="a network's weights instead of the shipped ones")
    made.add_argument(
        "--degradation", choices=DEGRADATIONS, default="test",
        help="degradation: the paper's test (default) or training family, or a competitor's published blur",
    )  # fmt: skip
    made.add_argument(
        "--alignment",
        choices=ALIGNMENTS,
        default="released",
        help="alignment of the blur (default %(default)s)",
    )
    made.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="of the network (default %(default)s)"
    )
    made.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0],
        help="random seeds of the degradation, one observation per scene and seed (default 0)",
    )
    made.add_argument(
        "--scenes", nargs="+", default=[], help="some of the split's test scenes (default: all)"
    )
    add_side(made)
    add_again(made)

    made = command(
        commands,
        "robustness",
        measure_robustness,
        "--data indian-pines --split spatial --method closed-form --out results/robust",
    )
    add_split(made, scale=False)
    made.add_argument(
        "--method",
        dest="methods",
        action="append",
        required=True,
        help=METHOD,
    )
    made.add_argument("--weights", type=Path, help="a network's weights instead of the shipped ones")
    made.add_argument(
        "--grid",
        choices=GRIDS,
        default="degradations",
        help="other blurs, noise and responses (default), pairs of images as cameras deliver them, or guides "
        "of five measured cameras",
    )
    made.add_argument(
        "--condition", dest="conditions", action="append", default=[], metavar="NAME",
        help="a condition of the grid by its printed name (default: all)",
    )  # fmt: skip
    made.add_argument("--seed", type=int, default=0, help="random seed of the degradation (default 0)")
    made.add_argument(
        "--add",
        action="store_true",
        help="add the conditions to a finished grid in --out, or measure these of it again",
    )
    add_side(made)
    add_again(made)

    made = command(commands, "tables", make_tables, "results/cave-x4 results/cave-x8 --out results/tables")
    made.add_argument("evaluations", nargs="*", type=Path, help="folders that `ifmsr evaluate` filled")
    made.add_argument("--out", type=Path, help="folder for the tables")

    made = command(commands, "runs", list_runs, "results --kind evaluation --sort PSNR")
    made.add_argument("folder", nargs="?", type=Path, default=Path("results"), help="default: results")
    made.add_argument("--kind", choices=("evaluation", "robustness", "training", "other"), help="only these")
    made.add_argument("--sort", metavar="COLUMN", help="sort by a column, the best first for PSNR and SSIM")
    made.add_argument("--csv", type=Path, metavar="FILE", help="write the table there instead of printing it")
    made.add_argument(
        "--curves",
        type=Path,
        metavar="PATH",
        help="draw the trainings' curves, PATH.png and PATH.pdf, instead",
    )

    made = command(commands, "compare", compare, "results/cave-x4 results/mine --metric SAM")
    made.add_argument("first", type=Path, metavar="FIRST", help="a folder that `ifmsr evaluate` filled")
    made.add_argument("second", type=Path, metavar="SECOND", help="another one, on the same scenes and seeds")
    made.add_argument("--metric", choices=METRICS, default="PSNR", help="default %(default)s")

    made = command(commands, "figures", make_figures, "results/cave-x4 --out results/figures")
    made.add_argument("evaluation", type=Path, help="a folder that `ifmsr evaluate` filled")
    made.add_argument("--out", type=Path, required=True, help="folder for the figures")

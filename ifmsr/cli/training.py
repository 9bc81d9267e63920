"""Networks: `ifmsr train` and `ifmsr ship`."""

import argparse
from pathlib import Path

from ifmsr.cli.arguments import Commands, add_preset, add_split, command, read_settings


def train(args: argparse.Namespace) -> None:
    """Train a network on a data set's split; by `torchrun --nproc-per-node 2 -m ifmsr train ...` in two processes."""
    from ifmsr.training import stages, train_in_stages
    from ifmsr.training.config import with_settings
    from ifmsr.training.processes import joined

    with joined(args.device) as processes:
        settings = {"scale": args.scale, **read_settings(args.settings)}
        earlier = slice(-1, None) if settings.get("start") else slice(None)  # `start` takes their place
        weights = train_in_stages(
            [with_settings(config, settings) for config in stages(args.preset)[earlier]],
            args.data,
            args.split,
            args.out,
            root=args.root,
            resume=not args.restart,
            device=args.device,
            workers=args.workers,
            compile=args.compile,
        )
        if processes.first:
            print(weights)


def ship(args: argparse.Namespace) -> None:
    """Store a training's weights with their model card in results/weights."""
    from ifmsr.experiments import cards

    print(cards.ship(args.training, args.evaluations, name=args.name))


def add(commands: Commands) -> None:
    """The commands of this file."""
    made = command(commands, "train", train, "--data cave --split figure4 --preset ifmsr --out results/mine")
    add_split(made)
    add_preset(made, "quick")
    made.add_argument("--restart", action="store_true", help="start again even if there is a checkpoint")
    made.add_argument("--workers", type=int, default=0, help="processes that prepare samples, on a CPU")
    made.add_argument(
        "--compile", action="store_true", help="compile the network: takes minutes, then trains faster"
    )

    made = command(commands, "ship", ship, "results/mine results/mine-evaluated")
    made.add_argument("training", type=Path, help="a folder that `ifmsr train` filled")
    made.add_argument("evaluations", nargs="+", type=Path, help="folders with rows of these weights")
    made.add_argument("--name", default="", help="the file's name (default: the name that methods look for)")

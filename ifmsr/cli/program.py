"""All commands in one parser, and `main`, which runs one of them."""

import argparse
import io
import sys
from collections.abc import Sequence

import ifmsr
from ifmsr.cli import data, experiments, images, notebooks, study, training
from ifmsr.errors import InputError, RunFailed


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    about = (ifmsr.__doc__ or "").partition("\n")[0]
    top = argparse.ArgumentParser(prog="ifmsr", description=about)
    top.add_argument("--version", action="version", version=f"ifmsr {ifmsr.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in (images, data, training, study, experiments, notebooks):
        group.add(commands)
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
    except (RunFailed, OSError) as error:
        print(f"ifmsr: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ifmsr: interrupted", file=sys.stderr)
        return 130
    return 0

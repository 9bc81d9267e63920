"""All commands in one parser, and `main`, which runs one of them."""

import argparse
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import ifmsr
from ifmsr.cli import data, experiments, images, notebooks, study, training, viewer
from ifmsr.errors import InputError, RunFailed


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    about = (ifmsr.__doc__ or "").partition("\n")[0]
    top = argparse.ArgumentParser(prog="ifmsr", description=about)
    top.add_argument("--version", action="version", version=f"ifmsr {ifmsr.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in (images, viewer, data, training, study, experiments, notebooks):
        group.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    wait_briefly()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # paths that the terminal's encoding cannot show
    try:
        top = parser()
        if "_ARGCOMPLETE" in os.environ:  # a shell asks what may follow
            complete(top)
        args = top.parse_args(arguments)
        with plain_warnings():
            args.function(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, for example `head`, has stopped reading
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more as it ends
        return 141
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


def wait_briefly() -> None:
    """Let the threads of PyTorch, which is not loaded yet, sleep after about 50 microseconds without work.

    By default they keep their cores busy for milliseconds, at every step of a computation. Where other programs use the
    machine too, that makes a command of seconds one of minutes. What the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def complete(top: argparse.ArgumentParser) -> None:
    """Print what may follow the words on the shell's command line, and end; do nothing without argcomplete."""
    try:
        import argcomplete
    except ImportError:
        return
    argcomplete.autocomplete(top)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print warnings as ``ifmsr: warning: ...``, without the source line that raised them."""
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"ifmsr: warning: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = usual

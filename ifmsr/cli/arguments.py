"""Arguments that several commands share, and settings read as YAML."""

import argparse
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ifmsr.errors import InputError
from ifmsr.extras import MissingExtra
from ifmsr.untrusted import read_yaml

DEGRADATIONS = ("test", "train", "lttr", "cms", "pzres-net", "mhf-net", "mog-dcn", "ual")
ALIGNMENTS = ("released", "centred")
PRECISIONS = ("float32", "bfloat16")
GRIDS = ("degradations", "guides", "cameras")
METRICS = ("PSNR", "SSIM", "SAM", "ERGAS", "RMSE")
GUIDES = ("auto", "linear", "srgb")
METHOD = "a name that `ifmsr methods` lists"
ROOT = "the data set's folder (default: $IFMSR_DATA/<data set>)"

Commands = Any  # argparse keeps the type of what `add_subparsers` returns to itself
Function = Callable[[argparse.Namespace], None]


def command(commands: Commands, name: str, function: Function, example: str) -> argparse.ArgumentParser:
    """Add a command; its help text is its function's docstring, and `example` what may follow its name."""
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=function.__doc__,
        description=function.__doc__,
        epilog=f"example: ifmsr {name} {example}".rstrip(),
    )
    made.set_defaults(function=function)
    return made


def add_root_and_device(made: argparse.ArgumentParser) -> None:
    """``--root`` and ``--device``."""
    made.add_argument("--root", type=Path, help=ROOT)
    made.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: the GPU if there is one)")


def add_split(made: argparse.ArgumentParser, scale: bool = True) -> None:
    """The data set, its split, the scale, the folder for the results, and the device."""
    made.add_argument("--data", required=True, help="data set: a name that `ifmsr data check` lists")
    made.add_argument("--split", required=True, help="for example figure4, names-20-12, seed-0, spatial")
    if scale:
        made.add_argument("--scale", type=int, default=4, help="magnification (default 4)")
    made.add_argument("--out", type=Path, required=True, help="folder for the results")
    add_root_and_device(made)


def add_settings(made: argparse.ArgumentParser) -> None:
    """``--set``, repeatable."""
    made.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="NAME=VALUE",
        help="change one field of the preset, repeatable, for example epochs=20 or options.features=32",
    )  # fmt: skip


def add_preset(made: argparse.ArgumentParser, preset: str) -> None:
    """``--preset`` and ``--set``."""
    made.add_argument("--preset", default=preset, help="training configuration (default %(default)s)")
    add_settings(made)


def add_side(made: argparse.ArgumentParser) -> None:
    """``--side``."""
    made.add_argument(
        "--side",
        type=int,
        default=0,
        help="side in pixels of the central crop of every test scene (default: whole scenes)",
    )


def read_settings(texts: Iterable[str]) -> dict[str, object]:
    """``NAME=VALUE`` texts as a mapping, values read as YAML. Raises InputError for a text without ``=``."""
    settings = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(
                "--set", f"{text!r} is not of the form NAME=VALUE", "Write for example epochs=20"
            )
        settings[name] = read_value(value)
    return settings


def read_value(text: str) -> object:
    """A value read as YAML; 1e-4 is a number here, unlike in YAML 1.1."""
    try:
        value = read_yaml("value", text)
    except MissingExtra:
        raise
    except InputError as error:
        raise InputError("value", f"{text[:60]!r}: {error.problem}", error.fix) from error
    with suppress(ValueError):
        return float(value) if isinstance(value, str) else value
    return value


def add_again(made: argparse.ArgumentParser) -> None:
    """``--again``."""
    made.add_argument(
        "--again", action="store_true", help="measure the methods again even if their rows exist"
    )

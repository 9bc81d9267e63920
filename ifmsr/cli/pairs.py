"""Pairs of images on the command line: reading them, errors in the user's words, pairs from folders."""

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ifmsr.cli.arguments import GUIDES, Commands, command
from ifmsr.errors import InputError

if TYPE_CHECKING:
    from ifmsr.io import Pair

KEYWORDS = {
    "key": "--{role}-key",
    "maximum": "--{role}-maximum",
    "layout": "--layout",
    "nodata": "--nodata",
    "rgb_bands": "--rgb-bands",
    "scale": "--scale",
    "crop": "--crop",
    "strict": "--strict",
    "srf": "--srf",
    "method": "--method",
    "memory": "--memory",
    "weights": "--weights",
    "with_error": "--error",
}
"""Argument of the library -> option."""
RGB_BANDS = "the guide's red, green and blue band, counted from 1"


def read_pair(args: argparse.Namespace, lr: Path, rgb: Path, mapped: bool = False) -> "Pair":
    """The cube and the guide in two files, fitted to each other as the options say; `mapped`: left in the files."""
    from ifmsr.io import fit_pair, read_cube, read_guide

    with in_options("rgb"):
        guide = read_guide(
            rgb, key=args.rgb_key, maximum=args.rgb_maximum, rgb_bands=args.rgb_bands, mapped=mapped
        )
    height, width = guide.values.shape[1:]
    with in_options("lr"):
        cube = read_cube(
            lr,
            key=args.lr_key,
            layout=args.layout,
            maximum=args.lr_maximum,
            nodata=args.nodata,
            bad_bands=args.bad_bands,
            beside=(height, width),
            mapped=mapped,
        )
        return fit_pair(cube, guide, args.scale, args.crop)


def response(name: str | None, pair: "Pair") -> Any:
    """The spectral response that ``--srf`` names, for the bands of a pair's cube, or None."""
    from ifmsr.scenes.cameras import find_response

    if name is None:
        return None
    with in_options("lr"):
        return find_response(name, len(pair.cube.values), pair.cube.wavelengths)


@contextmanager
def in_options(role: str, files: dict[str, Path] | None = None) -> Iterator[None]:
    """An InputError about the library's arguments names options, and the `files` for the arrays ``lr`` and ``rgb``."""
    try:
        yield
    except InputError as error:
        where = (files or {}).get(error.where) or _option(error.where, role)
        if type(error) is not InputError:  # a missing extra is no option
            raise
        raise InputError(where, _options(error.problem, role), _options(error.fix, role)) from error


def _option(name: str, role: str) -> str:
    """The option of an argument; anything else as it is. Without a role, ``key`` is --key."""
    return KEYWORDS[name].format(role=role).replace("---", "--") if name in KEYWORDS else name


def _options(text: str, role: str) -> str:
    """``key=`` and ``layout="HWC"`` as the options --lr-key and --layout HWC, ``leave strict out`` likewise."""
    names = "|".join(KEYWORDS)

    def option(found: re.Match[str]) -> str:
        value = "" if found[2] in ("", "True") else f" {found[2]}"
        return _option(found[1], role) + value

    text = re.sub(rf'\b({names})="?(\w*)"?', option, text)
    return text.replace("leave strict out", "leave --strict out")


def pairs_of(images: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pairs of files: as they are given, or those of two folders whose names begin alike.

    Raises InputError if the number of images is odd.
    """
    from ifmsr.io.reading import STORE

    if len(images) % 2:
        raise InputError(
            "LR RGB", f"{len(images)} images", "Give pairs: a cube, its guide, the next cube, its guide"
        )
    folders = all(path.is_dir() and path.suffix.lower() != STORE for path in images)
    if len(images) == 2 and folders and (found := _by_name(*images)):
        return found
    return list(zip(images[::2], images[1::2], strict=True))


def _by_name(cubes: Path, guides: Path) -> list[tuple[Path, Path]]:
    """The cubes of a folder, each with the guide of the other whose name begins alike; [] if there is no such pair.

    A cube without a guide stands beside the name that its guide would have, so that its turn says what is missing.
    """
    from ifmsr.io.reading import READABLE

    def images(folder: Path) -> list[Path]:
        found = (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))
        return [path for path in found if path.is_dir() or path.suffix.lower() in READABLE]

    beside = images(guides)
    headers = {path.stem for path in images(cubes) if path.suffix.lower() == ".hdr"}
    pairs, found = [], False
    for cube in images(cubes):
        if cube.stem in headers and cube.suffix.lower() != ".hdr":
            continue  # the data file of an ENVI header
        alike = [guide for guide in beside if _alike(cube.stem, guide.stem)]
        found |= bool(alike)
        pairs.append((cube, max(alike, key=lambda guide: len(guide.stem)) if alike else guides / cube.name))
    return pairs if found else []


def _alike(a: str, b: str) -> bool:
    """Whether one name begins with the other, up to the end of a word."""
    short, long = sorted([a.lower(), b.lower()], key=len)
    return long.startswith(short) and not long[len(short) : len(short) + 1].isalnum()


def check_apart(out: Path, *images: Path) -> None:
    """Raise InputError if a result would replace one of the images that it is made of."""
    from ifmsr.io import envi, envi_writing

    def files(path: Path) -> set[Path]:
        parts = (
            envi_writing.targets(path) if path.suffix.lower() in (".hdr", *envi.DATA_SUFFIXES) else (path,)
        )
        return {part.resolve() for part in parts}

    for image in images:
        if files(out) & files(image):
            raise InputError(out, "it is one of the images to read", "Name another file for the result")


def add_pair(commands: Commands, name: str, function: Any, example: str) -> argparse.ArgumentParser:
    """A command on pairs of images, with the options that say what the files mean."""
    made = command(commands, name, function, example)
    files = made.add_argument_group("files")
    files.add_argument("--lr-key", metavar="NAME", help="the cube's array in a file that holds several")
    files.add_argument("--rgb-key", metavar="NAME", help="the guide's array in a file that holds several")
    files.add_argument(
        "--lr-maximum", type=float, metavar="VALUE", help="the cube's stored number that becomes 1"
    )
    files.add_argument(
        "--rgb-maximum", type=float, metavar="VALUE", help="the guide's stored number that becomes 1"
    )
    files.add_argument("--layout", choices=("HWC", "CHW"), help="the cube's bands come last, or first")
    files.add_argument(
        "--nodata", type=float, metavar="VALUE", help="the cube's stored number of a missing value"
    )
    files.add_argument("--bad-bands", action="store_true", help="keep the bands that the file calls bad")
    files.add_argument("--rgb-bands", type=band_numbers, metavar="R,G,B", help=RGB_BANDS)
    files.add_argument("--crop", action="store_true", help="use the upper left part that both images have")
    pair = made.add_argument_group("what is known of the pair")
    pair.add_argument("--scale", type=int, help="magnification (default: what the sizes of the images say)")
    pair.add_argument(
        "--srf", metavar="NAME|FILE", help="the camera's spectral response: `ifmsr cameras` lists names"
    )
    pair.add_argument("--guide", choices=GUIDES, default="auto", help="the guide's tone curve (default auto)")
    pair.add_argument("--strict", action="store_true", help="refuse a pair that raises a warning")
    said = made.add_argument_group("what is printed")
    much = said.add_mutually_exclusive_group()
    much.add_argument("-q", "--quiet", action="store_true", help="print warnings and errors alone")
    much.add_argument(
        "-v", "--verbose", action="store_true", help="print the method, and the seconds of every step, too"
    )
    said.add_argument("--json", action="store_true", help="print one JSON object per pair")
    return made


def band_numbers(text: str) -> tuple[int, ...]:
    """``4,3,2`` as numbers."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 4,3,2") from error

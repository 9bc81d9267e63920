"""`ifmsr view`: a cube, and what belongs to it, as one page for the browser."""

import argparse
from pathlib import Path

from ifmsr.cli.arguments import Commands, command
from ifmsr.cli.pairs import RGB_BANDS, band_numbers, in_options
from ifmsr.errors import InputError, whole


def view(args: argparse.Namespace) -> None:
    """Write a cube as one HTML page: bands, colours, spectra, results compared. It needs no kernel and no network."""
    import numpy as np

    from ifmsr.io import Cube, read_cube, read_guide
    from ifmsr.viewer.page import write_page
    from ifmsr.viewer.stack import stack_of

    out = args.out or Path(f"{args.file.stem}.html")
    results = _named(args.results)
    files = {"cube": args.file, "guide": args.guide, "truth": args.truth}
    files |= {f"results[{name!r}]": path for name, path in results.items()}

    every = whole("--every", args.every, least=1)

    def read(path: Path) -> Cube:
        cube = read_cube(path, args.key, args.layout, args.maximum, bad_bands=args.bad_bands)
        return cube.bands(np.arange(len(cube.values)) % every == 0)

    guide = None
    if args.guide is not None:
        with in_options("guide", {"guide": args.guide}):
            guide = read_guide(args.guide, key=args.guide_key, rgb_bands=args.rgb_bands)
    with in_options("", {name: path for name, path in files.items() if path is not None}):
        cube = read(args.file)
        stack = stack_of(
            cube,
            guide,
            {name: read(path) for name, path in results.items()},
            None if args.truth is None else read(args.truth),
        )
        print(write_page(out, stack, title=args.file.name))
    if args.open:
        import webbrowser

        webbrowser.open(out.resolve().as_uri())


def _named(texts: list[str]) -> dict[str, Path]:
    """``NAME=FILE`` or ``FILE`` as names and paths. Raises InputError for a name that is there twice."""
    named: dict[str, Path] = {}
    for text in texts:
        before, equals, after = text.partition("=")
        name, path = (before, Path(after)) if equals and after else (Path(text).stem, Path(text))
        if name in named:
            raise InputError("--result", f"{name!r} is there twice", "Name them: --result NAME=FILE")
        named[name] = path
    return named


def add(commands: Commands) -> None:
    """The command of this file."""
    made = command(commands, "view", view, "cube.hdr --guide photo.tif --result auto=result.tif -o page.html")
    made.add_argument("file", type=Path, metavar="FILE", help="the cube")
    made.add_argument("-o", "--out", type=Path, help="the page (default: FILE's name with .html, here)")
    made.add_argument("--open", action="store_true", help="open the page in the web browser")
    beside = made.add_argument_group("images beside the cube")
    beside.add_argument("--guide", type=Path, metavar="FILE", help="its RGB guide")
    beside.add_argument(
        "--result", dest="results", action="append", default=[], metavar="[NAME=]FILE",
        help="a super-resolved cube, repeatable",
    )  # fmt: skip
    beside.add_argument("--truth", type=Path, metavar="FILE", help="the reference: adds error maps")
    files = made.add_argument_group("files")
    files.add_argument("--key", metavar="NAME", help="the array in files that hold several")
    files.add_argument("--guide-key", metavar="NAME", help="the guide's array in a file that holds several")
    files.add_argument("--rgb-bands", type=band_numbers, metavar="R,G,B", help=RGB_BANDS)
    files.add_argument("--layout", choices=("HWC", "CHW"), help="bands last or first, where files do not say")
    files.add_argument("--maximum", type=float, metavar="NUMBER", help="the stored number that becomes 1")
    files.add_argument(
        "--every", type=int, default=1, metavar="N", help="keep every N-th band: a smaller page"
    )
    files.add_argument("--bad-bands", action="store_true", help="keep the bands that the file calls bad")

"""Build the book: ``python -m docs.build`` (`make book`) writes `docs/_build/html` and checks it.

Sphinx reads a staged copy of the pages, so that nothing that is generated lies between the sources:

- the pages of `docs`, the notebooks, the changelog, the contributors' guide and the results' readme, each where `PAGES`
  says; their relative links, which also work in the repository, are translated;
- files of the repository that pages link to, below ``files``;
- the tables of results, the help of the command line, and one page per room of the package.
"""

import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path, PurePosixPath

from docs.check import faults
from docs.tables import TABLES
from ifmsr.cli import parser
from ifmsr.paths import ROOT

DOCS = ROOT / "docs"
OUT = DOCS / "_build"
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"} | {
    "results/README.md": "results/folders.md"
}
"""File of the repository -> page of the book, apart from `docs` and the notebooks."""
LINK = re.compile(r"(?P<mark>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
COLUMNS = "88"


def sources() -> dict[str, str]:
    """File of the repository -> page of the book, both as POSIX paths."""
    pages = {str(path.relative_to(ROOT)): str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    pages = {source: page for source, page in pages.items() if not page.startswith("_build")}
    chapters = {f"notebooks/{path.name}": f"chapters/{path.name}" for path in ROOT.glob("notebooks/*.ipynb")}
    return PAGES | chapters | pages


def stage(folder: Path) -> None:
    """Write everything that Sphinx reads into a new `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS / "_static", folder / "_static")
    shutil.copy(DOCS / "conf.py", folder)
    for name, table in TABLES.items():
        write(folder / "tables" / f"{name}.md", table())
    write(folder / "reference" / "cli.md", command_line())
    for room, page in api():
        write(folder / "reference" / "api" / f"{room}.md", page)
    pages = sources()
    for source, page in pages.items():
        if source == "README.md":  # the book has its own first page
            continue
        text = (ROOT / source).read_text(encoding="utf-8")
        if source.endswith(".ipynb"):
            notebook = json.loads(text)
            for cell in notebook["cells"]:
                if cell["cell_type"] == "markdown":
                    cell["source"] = translate("".join(cell["source"]), source, pages, folder)
            text = json.dumps(notebook)
        else:
            text = translate(text, source, pages, folder)
        write(folder / page, text)


def write(path: Path, text: str) -> None:
    """Write a staged page and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def translate(text: str, source: str, pages: dict[str, str], folder: Path) -> str:
    """The links of a page or cell, which are relative to its place in the repository, for the staged page.

    A link to another page leads there; a linked file is copied; a linked folder becomes its path in code.
    """
    here = PurePosixPath(pages[source]).parent

    def link(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(ROOT / Path(source).parent / found["target"]))
        if not target.exists() or not target.is_relative_to(ROOT):
            return found[0]
        path = target.relative_to(ROOT).as_posix()
        if target.is_dir():
            named = found["text"].strip("`") == path
            return f"`{path}`" if named else f"{found['text']} (`{path}`)"
        place = pages.get(path) or _place_of_file(path)
        if path not in pages:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target, folder / place)
        place = os.path.relpath(place, here)
        return f"{found['mark']}[{found['text']}]({place}{found['anchor'] or ''})"

    return LINK.sub(link, text)


def _place_of_file(path: str) -> str:
    """Where a linked file that is no page goes; Markdown becomes text, because Sphinx would look for a page."""
    if path.startswith("docs/_static/"):
        return path.removeprefix("docs/")
    return f"files/{path}.txt" if path.endswith(".md") else f"files/{path}"


def command_line() -> str:
    """The page of the command line: the help of every command, from the parser."""
    top = parser()
    commands = next(action.choices for action in top._actions if isinstance(action.choices, dict))
    helps = {"ifmsr": top, **{f"ifmsr {name}": command for name, command in commands.items()}}
    os.environ["COLUMNS"] = COLUMNS  # argparse folds lines there
    said = [f"## {name}\n\n```text\n{command.format_help()}```\n" for name, command in helps.items()]
    about = (
        "Written by the program's own parser, as `ifmsr COMMAND --help` prints it. Exit codes: 0 success, 1 a failed "
        "run, 2 bad input, 130 interrupted, 141 the reader of a pipe has stopped reading.\n"
    )
    return "\n".join(["# Command line\n", about, *said])


def api() -> Iterator[tuple[str, str]]:
    """One page per room of the package, and one, ``top``, for the modules beside the rooms."""
    package = import_module("ifmsr")
    rooms: dict[str, list[str]] = {"top": []}
    for module in pkgutil.walk_packages(package.__path__, "ifmsr."):
        _, room, *_ = module.name.split(".")
        if room != "__main__":
            is_room = (ROOT / "ifmsr" / room).is_dir()
            rooms.setdefault(room if is_room else "top", []).append(module.name)
    for room, modules in rooms.items():
        title = "Modules beside the rooms" if room == "top" else f"ifmsr.{room}"
        yield room, "\n".join([f"# {title}\n", *map(_module, modules)])


def _module(name: str) -> str:
    module = import_module(name)
    is_package = hasattr(module, "__path__")  # its names are documented where they are defined
    heading = "" if is_package and name.count(".") == 1 else f"## {name}\n\n"
    members = "   :no-members:\n" if is_package else ""
    return f"{heading}```{{eval-rst}}\n.. automodule:: {name}\n{members}```\n"


def build(folder: Path) -> list[str]:
    """Stage, build and check the book below `folder`; one line per fault, of Sphinx or of the built pages."""
    staged, html = folder / "source", folder / "html"
    stage(staged)
    shutil.rmtree(html, ignore_errors=True)
    words = ("-W", "--keep-going", "-q", "-b", "html", "-d", folder / "doctrees", staged, html)
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words], cwd=ROOT, stderr=subprocess.PIPE, encoding="utf-8"
    )
    return done.stderr.splitlines() if done.returncode else faults(html)


def main() -> int:
    """Build the book, print its faults and return the exit code."""
    found = build(OUT)
    page = (OUT / "html" / "index.html").relative_to(ROOT)
    print("\n".join(found) if found else f"{page}: no broken link, nothing remote")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

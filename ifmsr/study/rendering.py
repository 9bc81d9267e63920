"""Table IV as CSV, Markdown and LaTeX; every line of numbers is labelled `published` or `ours`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ifmsr.files import write_text
from ifmsr.study.names import DIGITS, HIGHER_IS_BETTER, caveat
from ifmsr.study.rows import Folders, read_rows
from ifmsr.study.table4 import table4


@dataclass(frozen=True)
class Markup:
    """The symbols of a table cell in one output format."""

    best: str
    second: str
    up: str
    down: str
    times: str
    plus_minus: str
    minus: str
    dash: str
    mark: str
    escapes: dict[int, str]


MARKDOWN = Markup("**{}**", "<u>{}</u>", "↑", "↓", "x", "±", "-", "—", " †", {})
LATEX = Markup(
    r"\textbf{{{}}}", r"\underline{{{}}}", r"$\uparrow$", r"$\downarrow$", r"$\times$", r"$\pm$", "$-$", "--",
    r"\textsuperscript{\dag}", str.maketrans({c: "\\" + c for c in "_%&#$"}),
)  # fmt: skip


def wide(block: pd.DataFrame, markup: Markup = MARKDOWN) -> pd.DataFrame:
    """One data set and scale of `table4` in the paper's layout: methods as columns, cells as text.

    Three lines per metric where the paper has values (`published`, `ours` and `ours - published`), else one (`ours`).
    Our best value is bold and our second best underlined, after rounding; published values are not marked.
    """
    in_paper = block["published"].notna().any()
    lines = []
    for metric, group in block.groupby("metric", sort=False):
        arrow = markup.up if metric in HIGHER_IS_BETTER else markup.down
        digits = DIGITS[str(metric)]
        shown = {"published": _published_cells(group, digits, markup)} if in_paper else {}
        shown["ours"] = _our_cells(group, digits, markup)
        if in_paper:
            signed = (_number(value, f"+.{digits}f", markup) for value in group["difference"])
            shown[f"ours {markup.minus} published"] = list(signed)
        for number, (source, cells) in enumerate(shown.items()):
            name = f"{metric} {arrow}" if number == 0 else ""
            methods = [method.translate(markup.escapes) for method in group["method"]]
            lines.append({"metric": name, "": source} | dict(zip(methods, cells, strict=True)))
    return pd.DataFrame(lines)


def _number(value: float, form: str, markup: Markup) -> str:
    return markup.dash if np.isnan(value) else format(value, form).replace("-", markup.minus)


def _published_cells(group: pd.DataFrame, digits: int, markup: Markup) -> list[str]:
    marks = [markup.mark if note else "" for note in group["note"]]
    cells = [_number(value, f".{digits}f", markup) for value in group["published"]]
    return [cell + mark for cell, mark in zip(cells, marks, strict=True)]


def _our_cells(group: pd.DataFrame, digits: int, markup: Markup) -> list[str]:
    """Our values with their spread. Values that print equal share a mark; a single method gets none."""
    printed = group["ours"].round(digits)
    ranks = printed.rank(method="dense", ascending=group["metric"].iloc[0] not in HIGHER_IS_BETTER)
    cells = []
    for value, spread, rank in zip(group["ours"], group["spread"], ranks, strict=True):
        cell = _number(value, f".{digits}f", markup)
        if printed.count() > 1 and rank in (1, 2):
            cell = (markup.best if rank == 1 else markup.second).format(cell)
        if not np.isnan(spread):
            cell += f" {markup.plus_minus} {spread:.{digits}f}"
        cells.append(cell)
    return cells


def protocol(block: pd.DataFrame, markup: Markup = MARKDOWN) -> list[str]:
    """The sentences under the table of one data set and scale, which explain its numbers."""
    ran = block[block["ours"].notna()]
    first = ran.iloc[0]
    scenes = "1 scene" if first["scenes"] == 1 else f"{first['scenes']} scenes"
    seeds = "1 seed" if first["seeds"] == 1 else f"{first['seeds']} seeds"
    spread = f" {markup.plus_minus} standard deviation" if first["scenes"] > 1 else ""
    said = [
        f"Ours: mean{spread} over {scenes} of split {first['split']}, {seeds}; degradation preset "
        f"{first['preset']}, alignment {first['alignment']}."
    ]
    schedules = ran.drop_duplicates("method").query("schedule != ''")
    said += [f"Ours, {line.method}: {line.schedule}." for line in schedules.itertuples()]
    if block["published"].notna().any():
        said.append("Published: the paper's Table IV, on the paper's own test images.")
    if known := caveat(str(first["dataset"])):
        said.append(f"{first['dataset']}: {known}.")
    said += [f"{markup.mark.strip()} {note[0].upper()}{note[1:]}." for note in block["note"].unique() if note]
    return said


def write_table4(rows_or_folders: pd.DataFrame | Folders, out_folder: str | Path) -> list[Path]:
    """Write `table4.csv`, `table4.md` and `table4.tex` (LaTeX's booktabs) and return their paths.

    Raises
    ------
    InputError : see `read_rows` and `table4`.
    """
    given = rows_or_folders
    table = table4(given if isinstance(given, pd.DataFrame) else read_rows(given))
    blocks = [block for _, block in table.groupby(["dataset", "scale"], sort=False)]
    out = Path(out_folder)
    return [
        write_text(out / "table4.csv", table.to_csv(index=False, float_format="%.6g")),
        write_text(out / "table4.md", "\n".join(_markdown(block) for block in blocks)),
        write_text(out / "table4.tex", "% needs \\usepackage{booktabs}\n" + "\n".join(map(_latex, blocks))),
    ]


def _title(block: pd.DataFrame, markup: Markup) -> str:
    return f"{block['dataset'].iloc[0]} {markup.times}{block['scale'].iloc[0]}"


def _markdown(block: pd.DataFrame) -> str:
    cells = wide(block)
    rule = [":--", ":--"] + ["--:"] * (cells.shape[1] - 2)
    lines = [list(cells.columns), rule, *cells.to_numpy().tolist()]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    said = "  \n".join(protocol(block))  # two blanks: a line break
    return f"**{_title(block, MARKDOWN)}**\n\n{table}\n\n{said}\n"


def _latex(block: pd.DataFrame) -> str:
    cells = wide(block, LATEX)
    said = " ".join(sentence.translate(LATEX.escapes) for sentence in protocol(block))
    said = said.replace("±", LATEX.plus_minus).replace("†", LATEX.mark)
    return cells.style.hide(axis="index").to_latex(
        hrules=True,
        column_format="ll" + "r" * (cells.shape[1] - 2),
        caption=f"{_title(block, LATEX)}. {said}",
        environment="table*",
        position_float="centering",
    )

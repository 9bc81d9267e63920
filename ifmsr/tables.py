"""The paper's Table IV: its published figures and ours, side by side and never mixed up.

`read_rows` gathers finished evaluations, `table4` puts every mean beside the published figure, one line a
number, and `write_table4` stores that table as CSV and as two renderings that say `published` or `ours` in
front of every line of numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ifmsr.errors import InputError
from ifmsr.evaluation import TEXT
from ifmsr.files import write_text
from ifmsr.paths import RESULTS
from ifmsr.runs import read_manifest

PUBLISHED = RESULTS / "paper" / "table4.csv"
DIGITS = {"PSNR": 2, "SSIM": 3, "SAM": 2, "ERGAS": 2, "RMSE": 3}  # as many as the paper prints
HIGHER_IS_BETTER = ("PSNR", "SSIM")
DATASET_LABELS = {
    "cave": "CAVE",
    "harvard": "Harvard",
    "chikusei": "Chikusei",
    "worldview2": "WorldView-2",
    "indian-pines": "Indian Pines",
}
METHOD_LABELS = {
    "bicubic": "Bicubic",
    "closed-form": "Closed-form",
    "subspace-net": "SubspaceNet",
    "gsa": "GSA",
    "mtf-glp-hs": "MTF-GLP-HS",
    "cnmf": "CNMF",
    "hysure": "HySure",
    "lttr": "LTTR",
    "lttr-estimated": "LTTR, estimated kernel, LR weight 0.02",
    "lttr-oracle": "LTTR, true kernel, LR weight 0.02",
    "cms": "CMS",
    "cms-back-projected": "CMS, back-projected",
    "cms-estimated": "CMS, estimated kernel, LR weight 0.1",
    "cms-oracle": "CMS, true kernel, LR weight 0.1",
    "pzres-net": "PZRes-Net",
    "mhf-net": "MHF-net",
    "mog-dcn": "MoG-DCN",
    "ual": "UAL",
    "ual-fusion": "UAL (fusion only)",
    "ifmsr": "IFMSR",
}
ROW_COLUMNS = ("dataset", "split", "scene", "scale", "alignment", "seed", "method", "schedule", *DIGITS)
MISPRINT = ("CAVE", 4, "RMSE", "PZRes-Net")
MISPRINT_NOTE = "PZRes-Net's RMSE, kept as printed, contradicts its own PSNR: 41.78 dB is an RMSE of 0.0082"
DASH_NOTE = "the paper has no {method} here: it needs the camera's response, unknown for {dataset}"

Folders = str | Path | Sequence[str | Path]


def method_label(method: str) -> str:
    """A method's name as tables and figures print it."""
    return METHOD_LABELS.get(method, method)


def read_rows(folders: Folders) -> pd.DataFrame:
    """Every row of one or several finished evaluation folders.

    Parameters
    ----------
    folders : one evaluation folder or several.

    Returns
    -------
    The columns of their `rows.csv` and `preset`; data sets and methods by their printed names.

    Raises
    ------
    InputError : a folder has no manifest (its run was not finished), is no evaluation, has unusable rows,
        or the folders cannot share a table: see `check_comparable`.
    """
    folders = [folders] if isinstance(folders, str | Path) else list(folders)
    if not folders:
        raise InputError("folders", "no evaluation folder given", "Give at least one")
    rows = pd.concat([_read_folder(Path(folder)) for folder in folders], ignore_index=True)
    check_comparable(rows)
    return rows


def _read_folder(folder: Path) -> pd.DataFrame:
    config = read_manifest(folder)["config"]
    path = folder / "rows.csv"
    try:
        rows = pd.read_csv(path, dtype=TEXT)
    except FileNotFoundError:
        raise InputError(path, "not there", "Give the folder of an evaluation") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(path, f"not a table of rows ({error})", "Run the evaluation again") from error
    missing = [column for column in ROW_COLUMNS if column not in rows]
    if missing or rows.empty:
        problem = f"the columns {missing} are missing" if missing else "it has no rows"
        raise InputError(path, problem, "Run the evaluation again")
    if rows[[*DIGITS]].isna().any(axis=None):
        raise InputError(path, "a metric is NaN", "Run that scene and method again")
    return rows.assign(
        preset=config["preset"],
        side=config.get("side", 0),
        schedule=rows["schedule"].fillna(""),
        dataset=rows["dataset"].replace(DATASET_LABELS),
        method=rows["method"].map(method_label),
    )


def check_comparable(rows: pd.DataFrame) -> None:
    """Raise InputError unless all rows belong in one table.

    One alignment, preset and size of scenes for the whole table, one split a data set; within a data set and scale,
    every method has one schedule and has seen each scene with the same seeds exactly once.
    """
    for column in ("alignment", "preset", "side"):
        _demand_one(column, rows, "the table")
    for dataset, group in rows.groupby("dataset"):
        _demand_one("split", group, str(dataset))
    for key, group in rows.groupby(["dataset", "scale"]):
        block = "{} x{}".format(*key)
        seen: dict[Any, set[tuple[Any, Any]]] = {}
        for method, own in group.groupby("method"):
            _demand_one("schedule", own, f"{block}, {method}")
            seen[method] = set(zip(own["scene"], own["seed"], strict=True))
            if len(seen[method]) < len(own):
                problem = f"{method} has several rows for the same scene and seed"
                raise InputError(block, problem, "Give each evaluation folder once")
        first, *others = seen
        for method in others:
            if seen[method] != seen[first]:
                problem = f"{first} and {method} were not run on the same scenes and seeds"
                raise InputError(block, problem, "Evaluate every method of the table on the same ones")


def _demand_one(column: str, rows: pd.DataFrame, where: str) -> None:
    values = sorted(rows[column].unique().tolist())
    if len(values) > 1:
        raise InputError(
            where, f"mixes the {column}s {', '.join(map(repr, values))}", "Make a table for each"
        )


def table4(rows: pd.DataFrame, published: str | Path = PUBLISHED) -> pd.DataFrame:
    """The paper's Table IV for the data sets and scales in `rows`, one line a number.

    Parameters
    ----------
    rows : what `read_rows` returns.
    published : the published table, one column a method.

    Returns
    -------
    dataset, scale, metric, method; `published`: the paper's figure; `ours`: the mean over scenes of the mean
    over seeds; `difference`: ours - published; `spread`: standard deviation over scenes; `seed_spread`: mean over
    scenes of the standard deviation over seeds, empty for one seed; `scenes` and `seeds`: how many; schedule, note,
    split, alignment, preset. A number that does not exist is empty.

    Raises
    ------
    InputError : the rows cannot share a table: see `check_comparable`.
    """
    check_comparable(rows)
    figures = pd.read_csv(published)
    lines = []
    for (dataset, scale), group in rows.groupby(["dataset", "scale"], sort=False):
        theirs = figures[(figures["dataset"] == dataset) & (figures["scale"] == scale)].set_index("metric")
        lines += _block(str(dataset), group, theirs.drop(columns=["dataset", "scale"]))
    return pd.DataFrame(lines).astype({"scenes": "Int64", "seeds": "Int64"})


def _block(dataset: str, rows: pd.DataFrame, theirs: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of one data set and scale; `theirs` has one row a metric, none where the paper is silent."""
    over_scenes = rows.groupby(["method", "scene"])[[*DIGITS]].mean().groupby("method")
    mean, spread, scenes = over_scenes.mean(), over_scenes.std(), over_scenes.size()
    seed_spread = rows.groupby(["method", "scene"])[[*DIGITS]].std().groupby("method").mean()
    seeds = rows.groupby("method")["seed"].nunique()
    own = list(dict.fromkeys(rows["method"]))
    unpublished = [method for method in own if method not in theirs.columns]
    methods = [method for method in theirs.columns if method in own or not theirs.empty]
    first = rows.iloc[0]
    scale = int(first["scale"])
    lines = []
    for metric in DIGITS:
        for method in unpublished + methods:
            in_paper = not theirs.empty and method in theirs.columns
            line = {"dataset": dataset, "scale": scale, "metric": metric, "method": method}
            line["published"] = theirs.loc[metric, method] if in_paper else np.nan
            line["ours"] = mean.loc[method, metric] if method in own else np.nan
            line["difference"] = line["ours"] - line["published"]
            line["spread"] = spread.loc[method, metric] if method in own else np.nan
            line["seed_spread"] = seed_spread.loc[method, metric] if method in own else np.nan
            line["scenes"] = scenes[method] if method in own else pd.NA
            line["seeds"] = seeds[method] if method in own else pd.NA
            line["schedule"] = rows.loc[rows["method"] == method, "schedule"].iloc[0] if method in own else ""
            line["note"] = ""
            if (dataset, scale, metric, method) == MISPRINT:
                line["note"] = MISPRINT_NOTE
            elif in_paper and np.isnan(line["published"]):
                line["note"] = DASH_NOTE.format(method=method, dataset=dataset)
            lines.append(line | {key: first[key] for key in ("split", "alignment", "preset")})
    return lines


@dataclass(frozen=True)
class Markup:
    """How one output format writes what a table cell needs."""

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
    """One data set and scale of `table4` as the paper prints it: methods as columns, cells as text.

    Three lines a metric where the paper has figures, `published`, `ours` and `ours - published`, else one,
    `ours`. Our best is bold and our second underlined, as they print; nothing is marked in their line.
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
    """Ours with its spread; equal figures, as printed, share a mark, and a lone method gets none."""
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
    """What the numbers of one data set and scale are: sentences to stand under its table."""
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

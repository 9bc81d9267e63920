"""The tables of the book and of the README in Markdown, each computed from files in `results`."""

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd

from ifmsr.paths import RESULTS, WEIGHTS
from ifmsr.runs import manifest_of
from ifmsr.study.names import DIGITS, HIGHER_IS_BETTER, caveat, dataset_label, method_label, paper_order
from ifmsr.study.rendering import write_table4
from ifmsr.study.rows import TEXT

TABLE4 = ("cave-x4", "cave-x8", "ifmsr/test-family-x4", "ifmsr/test-family-x8")
"""The evaluation folders of Table IV."""
BEYOND = {
    "CAVE, split names-20-12": ("beyond/names-20-12-x4", "beyond/names-20-12-x8"),
    "CAVE, split figure4": ("cave-x4-classics", "cave-x4", "cave-x8"),
    "Indian Pines †, response unknown": ("beyond/indian-pines-x4",),
    "WorldView-2, response unknown": ("beyond/worldview2-x4",),
}
"""What is measured -> its evaluation folders."""
BEYOND_METHODS = ("bicubic", "gsa", "mtf-glp-hs", "hysure", "cnmf", "closed-form", "subspace-net")


def rows(*folders: str) -> pd.DataFrame:
    """The rows of evaluation folders below `results`."""
    return pd.concat([pd.read_csv(RESULTS / folder / "rows.csv", dtype=TEXT) for folder in folders])


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A table whose first `texts` columns are text and whose other columns are numbers."""
    rule = [":--"] * texts + ["--:"] * (len(head) - texts)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines)) + "\n"


def arrowed(metric: str) -> str:
    """A metric's name, and whether more or less of it is better."""
    return f"{metric} {'↑' if metric in HIGHER_IS_BETTER else '↓'}"


def table4() -> str:
    """Table IV, ours beside the published values, as `ifmsr tables` writes it."""
    with tempfile.TemporaryDirectory() as folder:
        write_table4([RESULTS / name for name in TABLE4], folder)
        return Path(folder, "table4.md").read_text(encoding="utf-8")


def beyond() -> str:
    """Our own methods beside bicubic interpolation and the classics, means over whole test scenes."""
    metrics = ("PSNR", "SAM", "ERGAS", "SSIM")
    lines = []
    for measured, folders in BEYOND.items():
        means = rows(*folders).groupby(["scale", "method"])[[*metrics]].mean()
        for scale, method in sorted(means.index, key=lambda key: (key[0], order(key[1]))):
            if method in BEYOND_METHODS:
                values = means.loc[(scale, method)]
                numbers = [format(values[metric], f".{DIGITS[metric]}f") for metric in metrics]
                lines.append([measured, f"x{scale}", method_label(method), *numbers])
    head = ("measured on", "scale", "method", *map(arrowed, metrics))
    return (
        markdown(head, lines, texts=3) + f"\n† {dataset_label('indian-pines')}: {caveat('indian-pines')}.\n"
    )


def worldview2() -> str:
    """All methods on another sensor: the test part of `imgWV2`, and the minutes of training on its training part."""
    metrics = ("PSNR", "SAM", "ERGAS", "SSIM")
    measured = rows("worldview2-x4").set_index("method")[[*metrics]]
    lines = []
    for method in paper_order(sorted(map(str, measured.index), key=order)):
        training = RESULTS / "worldview2-x4" / f"training-{method}"
        minutes = f"{manifest_of(training)['seconds'] / 60:.0f}" if training.is_dir() else ""
        numbers = [format(measured.at[method, metric], f".{DIGITS[metric]}f") for metric in metrics]
        lines.append([method_label(method), *numbers, minutes])
    return markdown(("WorldView-2, x4", *map(arrowed, metrics), "minutes trained"), lines)


def order(method: str) -> int:
    """A method's place in the tables of `beyond`."""
    return BEYOND_METHODS.index(method) if method in BEYOND_METHODS else len(BEYOND_METHODS)


def by_condition(folder: str) -> str:
    """PSNR and SAM of every method under every condition of a robustness folder, means over scenes."""
    table = rows(folder)
    methods = list(dict.fromkeys(table["method"]))
    means = table.groupby(["condition", "method"])[["PSNR", "SAM"]].mean()
    lines = [
        [condition, *(f"{means.loc[(condition, method), 'PSNR']:.1f} dB, "
                      f"{means.loc[(condition, method), 'SAM']:.1f}°" for method in methods)]
        for condition in dict.fromkeys(table["condition"])
    ]  # fmt: skip
    return markdown(("condition", *map(method_label, methods)), lines)


def cameras() -> str:
    """PSNR of every method with the paper's spectral response and with those of measured cameras."""
    means = (
        rows("real/cameras-x4")
        .groupby(["method", "condition"], sort=False)["PSNR"]
        .mean()
        .unstack(sort=False)
    )
    lines = [
        [method_label(str(name)), *(f"{value:.1f}" for value in line)] for name, line in means.iterrows()
    ]
    head = ["PSNR (dB)", *("the paper's" if name == "linear" else str(name) for name in means.columns)]
    return markdown(head, lines)


def splits() -> str:
    """PSNR of bicubic and `closed-form` on five published random splits."""
    folders = [f"splits/random-{seed}-x{scale}" for scale in (4, 8) for seed in range(5)]
    means = rows(*folders).groupby(["scale", "method", "split"])["PSNR"].mean().unstack()
    lines = [
        [f"x{scale}", method_label(method), *(f"{value:.2f}" for value in means.loc[(scale, method)])]
        for scale, method in means.index
    ]
    return markdown(("scale", "method", *map(str, means.columns)), lines, texts=2)


def speed() -> str:
    """Seconds, share of the processor's peak and memory of IFMSR per CAVE scene."""
    table = pd.read_csv(RESULTS / "performance" / "inference.csv")
    lines = [
        [
            str(line.variant),
            f"{line.seconds:.0f}",
            f"{100 * line.share:.0f} %",
            f"{line.peak_mb / 1000:.1f} GB",
        ]
        for line in table.itertuples()
    ]
    return markdown(("IFMSR", "seconds per scene", "share of the convolution peak", "peak memory"), lines)


def own_speed() -> str:
    """Seconds, operations and memory of our own methods per CAVE scene at x4."""
    table = pd.read_csv(RESULTS / "performance" / "beyond.csv")
    lines = [
        [
            f"{line.method}, {line.precision}",
            f"{line.seconds:.2f}",
            "" if pd.isna(line.gmacs) else f"{line.gmacs:.0f}",
            f"{line.peak_mb / 1000:.2f} GB",
        ]
        for line in table.itertuples()
    ]
    return markdown(("method", "seconds per scene", "billion multiply-adds", "peak memory"), lines)


def weights() -> str:
    """The shipped weights by their cards."""
    lines = []
    for path in sorted(WEIGHTS.glob("*.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        size = path.with_suffix(".safetensors").stat().st_size / 1e6
        data = f"{dataset_label(card['dataset'])}, {card['split']}"
        lines.append([f"`{path.stem}`", data, card["schedule"], f"{card['parameters']:,}", f"{size:.1f} MB"])
    return markdown(("weights", "trained on", "schedule", "parameters", "file"), lines, texts=3)


def readme_results() -> str:
    """The README's one table: published values, ours, and the methods beyond the paper, on CAVE."""
    paper = (
        pd.read_csv(RESULTS / "paper" / "table4.csv")
        .query("dataset == 'CAVE'")
        .set_index(["scale", "metric"])
    )
    ours = rows(*TABLE4).groupby(["scale", "method"])[["PSNR", "SAM"]].mean()
    lines = []
    for source, name in (
        ("ours", "bicubic"),
        ("published", "UAL"),
        ("published", "IFMSR"),
        ("ours", "ual"),
        ("ours", "ifmsr"),
        ("ours", "ifmsr-test-family"),
        ("beyond", "closed-form"),
        ("beyond", "subspace-net"),
    ):
        values = (
            paper[name] if source == "published" else ours.loc[pd.IndexSlice[:, name], :].droplevel(1).stack()
        )
        numbers = [f"{values.loc[(scale, metric)]:.2f}" for scale in (4, 8) for metric in ("PSNR", "SAM")]
        title = name if source == "published" else method_label(name)
        lines.append([title, source, *numbers])
    head = [f"{arrowed(metric)}, x{scale}" for scale in (4, 8) for metric in ("PSNR", "SAM")]
    return markdown(("CAVE", "", *head), lines, texts=2)


TABLES: dict[str, Callable[[], str]] = {
    "table4": table4,
    "beyond": beyond,
    "splits": splits,
    "worldview2": worldview2,
    "robustness": lambda: by_condition("beyond/robustness"),
    "guides": lambda: by_condition("real/guides-x4"),
    "cameras": cameras,
    "speed": speed,
    "own_speed": own_speed,
    "weights": weights,
    "readme_results": readme_results,
}
"""Name of an included file -> the function that writes the table."""

"""The book: its glossary, tables and examples, the staged pages, and the built site."""

import re
from importlib.util import find_spec

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from docs.build import LINK, PAGES, build, command_line, sources, stage
from docs.tables import TABLES, beyond
from ifmsr.cli import parser
from ifmsr.methods import method_names
from ifmsr.paths import RESULTS, ROOT
from ifmsr.scenes.datasets import DATASETS
from ifmsr.scenes.indian_pines import IndianPines
from ifmsr.study.names import method_label

DOCS = ROOT / "docs"
LONG_PATH = sorted((ROOT / "notebooks").glob("0[0-5]_*.ipynb"))  # the ninety minutes of chapter 00
TERMS = """
    LR, HR, RGB guide, spectral response function, SRF, point spread function, PSF, blur kernel, kernel,
    Wald's protocol, subspace, SURE, Wiener filter, PSNR, SSIM, SAM, ERGAS, RMSE, blind, endmember, band,
    MCPA, RDE, DCFM, CGM, dynamic filter, EMA, mosaic, alignment, bicubic, closed-form, cube, degradation,
    ground truth, guide, hypersharpening, MACs, misfit, noise, observation, pansharpening, registration,
    residual, scale, scene, seed, spectrum, split, super-resolution, tone curve, training-free, upsampling,
    total variation
"""
# words of the field, and of training networks, that a reader of the first chapters may not know
FIELD = """
    Adam, alignment, anisotropic, augmentation, batch, bicubic, blur kernel, channel, checkpoint, closed-form,
    convolution, cube, decimation, degradation, dynamic filter, endmember, epoch, feature, fine-tuning, ground truth,
    guided filter, hyperspectral image, interpolation, isotropic, learning rate, loss, low-rank, manifest, misfit,
    mosaic, observation, optimiser, pansharpening, patch, point spread function, preset, receptive field, registration,
    residual, right inverse, schedule, seed, spectral response function, spectrum, split, subspace, super-resolution,
    tone curve, total variation, training-free, upsampling, validation, Wald's protocol, wavelength, weights
"""
# abbreviations that no glossary has to explain: computing, units, proper names
PLAIN = """
    CPU, CSV, Ctrl-C, ENVI, GB, GPU, GeoTIFF, HTML, IEEE, IV, JSON, LaTeX, NaN, NumPy, PyTorch, RGB, RGB-Induced, SHA,
    SIGTERM, Super-Resolution, TGRS, WorldView
"""
ABBREVIATION = re.compile(r"\b[A-Za-z]*[A-Z][A-Za-z-]*[A-Z][A-Za-z]*\b")


def pages():
    return {
        path: path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md") if "_build" not in path.parts
    }


def glossary():
    """The terms of the glossary, in its order."""
    text = (DOCS / "reference" / "glossary.md").read_text(encoding="utf-8")
    body = text.partition("```{glossary}\n")[2].partition("```")[0]
    return [line for line in body.splitlines() if line and not line.startswith(" ")]


def listed(terms):
    return {" ".join(term.split()) for term in terms.split(",")}


def prose(path):
    """The text of a chapter's Markdown cells without code, formulas and addresses of links."""
    cells = nbformat.read(path, as_version=4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)", " ", text, flags=re.DOTALL)


def test_the_glossary_has_the_terms_of_the_field():
    terms = glossary()
    assert listed(TERMS) - set(terms) == set()
    assert len(terms) == len(set(terms))


def test_the_glossary_has_the_field_s_words_in_the_chapters_of_the_long_path():
    said = " ".join(" ".join(prose(path) for path in LONG_PATH).lower().split())
    # a long word without its last letters: "decimation" is also "decimates", "fine-tuning" "fine-tunes"
    stems = {term: term.lower()[: len(term) - 3 * (len(term) > 8)] for term in listed(FIELD)}
    used = {term for term, stem in stems.items() if re.search(rf"\b{re.escape(stem)}", said)}
    assert len(used) > 40
    assert used - set(glossary()) == set()


@pytest.mark.parametrize("path", LONG_PATH, ids=lambda path: path.stem)
def test_every_abbreviation_in_the_chapters_of_the_long_path_is_in_the_glossary(path):
    titles = {method_label(name) for name in method_names()} | {kind.title for kind in DATASETS.values()}
    known = (
        listed(PLAIN)
        | {term.removesuffix("s") for term in glossary()}
        | {word for title in titles for word in ABBREVIATION.findall(title)}
    )
    used = {found.removesuffix("s") for found in ABBREVIATION.findall(prose(path))}
    assert used - known == set()


def test_every_table_of_results_is_on_a_page_and_every_included_table_is_made():
    included = {
        name for text in pages().values() for name in re.findall(r"\{include\} \S*tables/(\w+)\.md", text)
    }
    assert included == set(TABLES)


def test_every_row_of_indian_pines_says_that_the_file_is_damaged():
    table = beyond()
    measured = [line for line in table.splitlines() if line.startswith("| Indian Pines")]
    assert len(measured) == 5 and all(line.startswith("| Indian Pines †,") for line in measured)
    assert f"† Indian Pines: {IndianPines.caveat}." in table


def test_links_between_the_sources_lead_somewhere():
    made = {
        DOCS / "reference" / "api" / f"{path.name}.md" for path in (ROOT / "ifmsr").iterdir() if path.is_dir()
    }
    made |= {DOCS / "reference" / "cli.md", DOCS / "reference" / "api" / "top.md"}
    broken = [
        f"{path.relative_to(ROOT)}: {found['target']}"
        for path, text in pages().items()
        for found in LINK.finditer(text)
        if (target := (path.parent / found["target"]).resolve()) not in made and not target.exists()
    ]
    assert broken == []


def test_the_page_of_methods_names_every_method():
    text = (DOCS / "reference" / "methods.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z-]+)`", text))
    ours = {name for name in method_names() if not name.endswith(("-estimated", "-oracle"))}
    assert ours - named == set()


def test_the_page_of_the_command_line_has_the_help_of_every_command():
    text = command_line()
    names = next(action.choices for action in parser()._actions if isinstance(action.choices, dict))
    assert len(names) > 15 and all(f"## ifmsr {name}\n" in text for name in names)
    assert "--report FOLDER" in text


@pytest.mark.parametrize("page", ["own_images", "add_a_method"])
def test_the_examples_in_python_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    fine = rng.random((8, 24, 24)).repeat(2, 1).repeat(2, 2).astype(np.float32)  # (B, H, W)
    rgb = fine[[6, 4, 1]]
    lr = fine.reshape(8, 12, 4, 12, 4).mean((2, 4))
    np.save("cube.npy", lr)
    np.save("photo.npy", rgb)
    Image.fromarray((255 * rgb.transpose(1, 2, 0)).round().astype(np.uint8)).save("photo.png")
    text = (DOCS / "guides" / f"{page}.md").read_text(encoding="utf-8")
    names = {"lr": lr, "rgb": rgb}
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for block in blocks:
        exec(block, names)
    result = names["repeated" if page == "add_a_method" else "sr"]
    assert blocks and result.shape == (8, 48, 48)


def test_staged_pages_are_those_of_the_sources_and_leave_nothing_between_them(tmp_path):
    before = sorted(path for path in DOCS.rglob("*") if not {"_build", "__pycache__"} & set(path.parts))
    stage(tmp_path)
    assert (
        sorted(path for path in DOCS.rglob("*") if not {"_build", "__pycache__"} & set(path.parts)) == before
    )
    assert all((tmp_path / page).is_file() for page in sources().values())
    assert set(PAGES) <= set(sources())
    chapters = (tmp_path / "chapters" / "index.md").read_text(encoding="utf-8")
    assert "](00_start_here.ipynb)" in chapters and "../../notebooks" not in chapters
    folders = (tmp_path / "results" / "index.md").read_text(encoding="utf-8")
    assert "(`results/matched`)" in folders  # a folder is no link
    assert (tmp_path / "files" / "results" / "settings-x4" / "rows.csv").is_file()


@pytest.mark.skipif(
    find_spec("myst_nb") is None, reason='the extra is not installed: pip install "ifmsr[book]"'
)
def test_the_built_book_has_no_broken_link_and_loads_nothing_remote(tmp_path):
    assert build(tmp_path) == []
    html = tmp_path / "html"
    chapter = (html / "chapters" / "00_start_here.html").read_text(encoding="utf-8")
    assert "<math" in chapter and 'src="../_images/' in chapter  # formulas and outputs
    assert "super_resolve" in (html / "reference" / "public.html").read_text(encoding="utf-8")
    assert "SAM" in (html / "searchindex.js").read_text(encoding="utf-8")


def test_the_workflows_run_commands_of_the_makefile():
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"), reverse=True)
    jobs = [job for path in workflows for job in yaml.safe_load(path.read_text())["jobs"].values()]
    runs = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert runs == ["make lint", "make test", "make wheel-test", "make book", "make audit"]
    assert {run.removeprefix("make ") for run in runs} <= targets
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert all(run in ci for run in runs[:3])


def test_numbers_in_the_prose_are_those_of_the_tables():
    said = " ".join((DOCS / "results" / "real.md").read_text(encoding="utf-8").split())
    prose = said.partition("seed 5; ")[2].partition("with a warning")[0]
    numbers = set(re.findall(r"\d\d\.\d", prose))
    assert len(numbers) == 7 and numbers <= set(re.findall(r"\d\d\.\d", TABLES["guides"]()))
    page = " ".join((DOCS / "guides" / "reproduce.md").read_text(encoding="utf-8").split())
    quick = (
        pd.read_csv(RESULTS / "quick" / "table4.csv").query("metric == 'PSNR'").set_index("method")["ours"]
    )
    for method, name in (("Bicubic", "bicubic"), ("IFMSR", "IFMSR"), ("Closed-form", "`closed-form`")):
        assert f"{quick[method]:.2f} dB for {name}" in page

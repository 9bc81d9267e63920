"""The README is short, and every number and link of it is right; so is the readme of the results."""

import re
import subprocess

from docs.tables import readme_results
from ifmsr.paths import RESULTS, ROOT
from ifmsr.study.rows import read_rows
from ifmsr.study.table4 import table4

README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = README.partition("<!-- results -->")[2].partition("<!-- /results -->")[0]
LINK = re.compile(r"\]\(([^)#]+)\)")


def test_the_readme_is_one_screen_and_a_half():
    assert len(README.split()) < 1200
    assert [line for line in README.splitlines() if len(line) > 200] == []


def test_the_readmes_table_is_the_one_that_the_results_give():
    assert TABLE.strip() == readme_results().strip() and TABLE.count("\n") > 8


def test_no_measured_number_stands_outside_the_table():
    """A number with decimals, or with a unit of a measurement, is a result: it belongs into the table."""
    prose = README.replace(TABLE, "").replace("Python 3.11", "")
    measured = r"\d\.\d|\d\s*(?:dB|°|%|degrees|seconds|minutes|hours|MB|GB)"
    assert re.findall(measured, prose) == []
    assert re.search(measured, "trained for 55 minutes") and re.search(measured, "49.38")


def test_every_file_that_the_readme_links_to_is_there():
    links = LINK.findall(README)
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_results_readme_names_every_committed_folder_and_the_damaged_file():
    done = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "results"], capture_output=True, encoding="utf-8", check=True
    )
    folders = {path.split("/")[1] for path in done.stdout.splitlines() if path.count("/") > 1}
    text = (RESULTS / "README.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in text.splitlines() if line.startswith("| `"))
    assert len(folders) > 10 and {name for name in folders if f"`{name}" not in table} == set()
    assert "Indian Pines is a damaged file" in text
    links = LINK.findall(text)
    assert links and all((RESULTS / link).exists() for link in links)


def test_committed_results_show_published_methods_beside_ours():
    table = table4(read_rows(RESULTS / "cave-x4"))
    psnr = table[table["metric"] == "PSNR"].set_index("method")
    assert psnr.loc["IFMSR", "published"] == 44.64 and psnr.loc["Closed-form", "ours"] > 45

import re
import subprocess

from ifmsr.paths import RESULTS, ROOT
from ifmsr.scenes.indian_pines import IndianPines
from ifmsr.study.rendering import write_table4
from ifmsr.study.rows import read_rows
from ifmsr.study.table4 import table4

README = (ROOT / "README.md").read_text()


def test_the_readmes_table_is_the_one_that_the_results_give(tmp_path):
    shown = README.partition("<!-- table4 -->")[2].partition("<!-- /table4 -->")[0]
    folders = ("cave-x4", "cave-x8", "ifmsr/test-family-x4", "ifmsr/test-family-x8")
    write_table4([RESULTS / folder for folder in folders], tmp_path)
    assert shown.strip() == (tmp_path / "table4.md").read_text().strip()


def test_every_row_of_indian_pines_says_that_the_file_is_damaged():
    measured = [line for line in README.splitlines() if line.startswith("| Indian Pines") and "x4" in line]
    assert len(measured) == 5 and all(line.startswith("| Indian Pines †,") for line in measured)
    assert f"† Indian Pines: {IndianPines.caveat}." in README


def test_every_file_that_the_readme_links_to_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) > 10
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
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert links and all((RESULTS / link).exists() for link in links)


def test_committed_results_show_published_methods_beside_ours():
    table = table4(read_rows(RESULTS / "cave-x4"))
    psnr = table[table["metric"] == "PSNR"].set_index("method")
    assert psnr.loc["IFMSR", "published"] == 44.64 and psnr.loc["Closed-form", "ours"] > 45

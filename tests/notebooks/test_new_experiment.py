"""The template of an experiment: copied under a name, with parameters that can be set, and never over a file."""

import nbformat
import pytest

from ifmsr.cli import main
from ifmsr.errors import InputError
from ifmsr.experiments.ablations import NAME, VARIANTS
from ifmsr.notebooks import check_parameters, new_experiment
from ifmsr.notebooks.new import IN_TEMPLATE, TEMPLATE


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_copy_has_the_name_in_its_title_and_its_folder_and_no_outputs(here, capsys):
    assert main(["new-experiment", "wider-net"]) == 0
    assert "ifmsr run wider-net.ipynb" in capsys.readouterr().out
    notebook = nbformat.read(here / "wider-net.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith("# wider-net\n")
    assert check_parameters(here / "wider-net.ipynb", {"side": 64})["out"] == "results/wider-net"
    assert all(not cell.get("outputs") for cell in notebook.cells)
    assert not any(old in cell.source for cell in notebook.cells for old in IN_TEMPLATE)


def test_what_is_replaced_is_in_the_template():
    sources = [cell.source for cell in nbformat.read(TEMPLATE, as_version=4).cells]
    assert all(sum(source.count(old) for source in sources) == 1 for old in IN_TEMPLATE)


def test_a_file_that_exists_is_kept(here):
    (here / "mine.ipynb").write_text("kept")
    with pytest.raises(InputError, match=r"mine\.ipynb: there is such a file already"):
        new_experiment("mine")
    assert (here / "mine.ipynb").read_text() == "kept"


@pytest.mark.parametrize("name", ["", "a b", "../up", "a.ipynb", "-x", "x" * 61, "é", "a\0b"])
def test_a_name_that_cannot_be_a_file_is_refused(here, name):
    with pytest.raises(InputError, match="cannot name a notebook"):
        new_experiment(name)
    assert list(here.iterdir()) == []


def test_the_names_of_our_variants_have_the_form_of_ones_own():
    assert all(NAME.fullmatch(name) for name in VARIANTS)

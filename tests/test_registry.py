"""Registries: registration, rejected objects, and the time of imports."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from ifmsr import registry
from ifmsr.errors import InputError
from ifmsr.figures import style
from ifmsr.methods import (
    CLASSICAL,
    NETWORKS,
    CubeConfig,
    Network,
    method_names,
    network_of,
    register_method,
    register_network,
    title_of,
)
from ifmsr.paths import ROOT
from ifmsr.registry import Registry, resolve
from ifmsr.scenes import DATASETS, DataSet, Scene, Split, dataset_type, open_dataset, register_dataset
from ifmsr.study.names import dataset_label, method_label
from ifmsr.training import TrainConfig, build_network, preset, preset_names
from ifmsr.weights import load_weights, save_weights

PRINTED = {
    "bicubic": "Bicubic",
    "closed-form": "Closed-form",
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
    "ifmsr": "IFMSR",
    "ifmsr-test-family": "IFMSR, test family",
    "pzres-net": "PZRes-Net",
    "mhf-net": "MHF-net",
    "mog-dcn": "MoG-DCN",
    "ual": "UAL",
    "subspace-net": "SubspaceNet",
    "ual-fusion": "UAL (fusion only)",
    "auto": "Auto",
}


class Grey:
    """A method."""

    title, schedule = "Grey", ""

    def __call__(self, observation):
        height, width = observation.rgb.shape[1:]
        return np.full((len(observation.lr), height, width), 0.5, np.float32)


class Nothing(Network):
    """A network without layers."""

    title = "Nothing"

    def __init__(self, bands=31, scale=4):
        super().__init__()
        self.config = CubeConfig(bands, scale)


class Flat(DataSet):
    """A data set of constant scenes."""

    title, bands, published, default_split = "Flat", 4, 2, "only"
    obtain = "There is nothing to obtain"
    names = ("dark", "bright")

    def load(self, name, window=None):
        return Scene(name, np.full((4, 32, 32), self.names.index(name) / 2, np.float32), rgb_bands=(2, 1, 0))

    def split(self, name):
        return Split(("dark",), (), ("bright",))


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch):
    for known in (CLASSICAL, NETWORKS, DATASETS):
        monkeypatch.setattr(known, "registered", {})


def test_every_method_is_there_under_its_printed_name():
    assert method_names() == tuple(PRINTED)
    assert {name: method_label(name) for name in method_names()} == PRINTED
    assert method_label("MCPA+RDE") == "MCPA+RDE"  # a variant of the ablations
    assert set(style._ORDER) < set(PRINTED.values())
    labels = ["CAVE", "Harvard", "Chikusei", "WorldView-2", "Indian Pines"]
    assert [dataset_label(name) for name in DATASETS] == labels and dataset_label("pavia") == "pavia"


def test_every_network_is_known_by_name():
    assert [name for name in method_names() if network_of(name) is None] == list(CLASSICAL)
    assert network_of("ual-fusion") == network_of("ual") == "ual"
    assert all(issubclass(network, Network) for network in NETWORKS.values())


def test_names_cost_neither_torch_nor_the_methods():
    program = """
import sys, types
package = types.ModuleType("ifmsr")  # what the package's own first lines import does not count here
package.__path__ = ["ifmsr"]
sys.modules["ifmsr"] = package
from ifmsr.methods import NETWORKS, method_names, network_of
from ifmsr.scenes.datasets import DATASETS
print(len(method_names()), len(NETWORKS), len(DATASETS), "ual" in NETWORKS, network_of("ual-fusion"))
print(*{"torch", "scipy", "h5py", "PIL", "ifmsr.methods.bicubic", "ifmsr.scenes.cave"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "22 7 5 True ual\n\n"


def test_a_method_is_registered_by_a_decorator_or_a_call():
    assert register_method("grey")(Grey) is Grey
    assert register_method("light-grey", Grey) is Grey
    register_method("made-grey", lambda: Grey())
    for name in ("grey", "light-grey", "made-grey"):
        assert name in method_names() and network_of(name) is None
        assert title_of(name) == method_label(name) == "Grey"
    register_method("grey", Grey)  # a cell of a notebook that runs again


def test_a_network_is_a_method_with_a_preset_of_its_own():
    register_network("nothing")(Nothing)
    assert network_of("nothing") == "nothing" and "nothing" in method_names()
    assert title_of("nothing") == method_label("nothing") == "Nothing"
    assert preset_names()[-1] == "nothing"
    assert preset("nothing") == TrainConfig(network="nothing", steps="batched")
    assert preset("common-ual").network == "ual" and "ual" in preset_names()
    with pytest.raises(InputError, match="preset: 'all'"):
        preset("all")


def test_a_network_that_could_not_be_stored_raises_before_its_training():
    register_network(
        "forgetful", type("Forgetful", (Nothing,), {"__init__": lambda net, **_: Network.__init__(net)})
    )
    with pytest.raises(InputError, match="network Forgetful: its constructor sets no config"):
        build_network(preset("forgetful"))


def test_weights_of_a_network_that_is_not_here_say_so(tmp_path):
    path = save_weights(tmp_path / "w.safetensors", Nothing(4), "nothing", "")
    with pytest.raises(InputError, match="its network 'nothing' is not known here"):
        load_weights(path)
    register_network("nothing", Nothing)
    assert load_weights(path)[0].config == CubeConfig(4, 4)


def test_a_data_set_is_registered_with_its_name_and_title(tmp_path):
    assert register_dataset("flat")(Flat) is Flat
    data = open_dataset("flat", tmp_path)
    assert (data.name, data.root, dataset_label("flat")) == ("flat", tmp_path, "Flat")
    assert data.load("bright").cube.mean() == 0.5 and dataset_type("flat") is Flat


@pytest.mark.parametrize(
    ("register", "name", "thing"),
    [
        (register_method, "gsa", Grey),
        (register_method, "ual", Grey),
        (register_method, "ual-fusion", Grey),
        (register_network, "ifmsr", Nothing),
        (register_network, "bicubic", Nothing),
        (register_network, "ual-fusion", Nothing),
        (register_dataset, "cave", Flat),
    ],
)
def test_a_taken_name_raises(register, name, thing):
    with pytest.raises(InputError, match=f"{name}.*the name is taken"):
        register(name, thing)
    assert method_names() == tuple(PRINTED)


def test_the_first_to_register_a_name_keeps_it():
    register_method("grey", Grey)
    for register, thing in ((register_method, object), (register_network, Nothing)):
        with pytest.raises(InputError, match="the name is taken"):
            register("grey", thing)
    assert CLASSICAL["grey"] is Grey


@pytest.mark.parametrize("name", ["", "My Net", "../net", "-net", "net_", "nét"])
def test_a_name_is_a_word_for_folders_and_the_command_line(name):
    with pytest.raises(InputError, match="cannot be a name"):
        register_method(name, Grey)


def test_unusable_objects_raise_at_registration():
    with pytest.raises(InputError, match="cannot be called"):
        register_method("grey", 0.5)
    with pytest.raises(InputError, match="is no Network"):
        register_network("grey", Grey)
    with pytest.raises(InputError, match="no title"):
        register_network("nothing", type("Untitled", (Network,), {}))
    with pytest.raises(InputError, match="is no DataSet"):
        register_dataset("flat", Grey)
    with pytest.raises(InputError, match="has no published, obtain"):
        attributes = {"title": "Flat", "bands": 4, "default_split": "only"}
        register_dataset("flat", type("Few", (DataSet,), attributes))


@pytest.fixture
def announced(monkeypatch):
    """A registry with one object of its own and entry points, name -> ``"module:attribute"``."""

    def make(**places):
        calls = []

        def entry_points(group):
            calls.append(group)
            return [EntryPoint(name.replace("_", "-"), place, group) for name, place in places.items()]

        monkeypatch.setattr(registry, "entry_points", entry_points)
        check = _only_functions
        return Registry("tool", "ifmsr.tools", {"sum": "math:fsum"}, check), calls

    return make


def _only_functions(name, thing):
    if not callable(thing):
        raise InputError(f"tool {name!r}", "it is no function", "Give one")


def test_installed_packages_are_read_once_and_imported_on_use(announced):
    tools, calls = announced(squares="colorsys:rgb_to_hls", never="no.such.package:tool")
    sys.modules.pop("colorsys", None)
    assert calls == []
    assert list(tools) == ["sum", "squares", "never"] and "squares" in tools and len(tools) == 3
    assert "colorsys" not in sys.modules
    assert tools["squares"] is resolve("colorsys:rgb_to_hls") and "colorsys" in sys.modules
    assert calls == ["ifmsr.tools"]


def test_what_an_installed_package_announces_wrongly_is_said(announced):
    tools, _ = announced(broken="no.such.package:tool", lacking="math:no_such_name", number="math:pi")
    with pytest.raises(InputError, match=r"tool 'broken': no\.such\.package:tool cannot be imported"):
        tools["broken"]
    with pytest.raises(InputError, match=r"tool 'lacking': .* Repair or remove math"):
        tools["lacking"]
    with pytest.raises(InputError, match="tool 'number': it is no function"):
        tools["number"]
    with pytest.raises(KeyError):
        tools["missing"]
    with pytest.raises(
        InputError, match=r"tool 'sum': the name is taken by math:fsum. Give math:prod another"
    ):
        list(announced(sum="math:prod")[0])


def test_a_package_may_announce_and_register_the_same_definition(announced):
    tools, _ = announced(grey=f"{__name__}:Grey")
    tools.register("grey", Grey)
    assert tools["grey"] is Grey and list(tools) == ["sum", "grey"]

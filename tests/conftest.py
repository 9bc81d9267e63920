"""Fixtures with real data if they are available, and small real scenes otherwise."""

import os
from pathlib import Path

import pytest
import torch

from ifmsr.paths import ROOT
from ifmsr.precision import bfloat16_fault

REAL_DATA = Path(os.environ.get("IFMSR_DATA", ROOT.parent / "shared" / "data"))


def real(path: Path) -> Path:
    """`path`, or a skip that says what is missing."""
    if not path.exists():
        pytest.skip(f"real data not here: {path.name} (set IFMSR_DATA to the folder that holds it)")
    return path


def pytest_collection_modifyitems(items):
    """The chapter that computes in bfloat16 has to end well on processors without it."""
    for item in items:
        if item.path.name == "09_performance.ipynb":
            item.add_marker(pytest.mark.cpu)


@pytest.fixture(scope="session", autouse=True)
def deterministic_torch():
    """The same numbers whatever the machine's core count."""
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def computes_bfloat16() -> bool:
    """Whether the CPU does what it is asked for in bfloat16; it falls back to float32 if not."""
    return not bfloat16_fault(torch.device("cpu"))


@pytest.fixture
def two_threads():
    """Two threads instead of the suite's one."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cave_root() -> Path:
    """A folder that holds complete_ms_data with at least the ten shared CAVE scenes."""
    return real(REAL_DATA / "cave" / "complete_ms_data").parent


@pytest.fixture(scope="session")
def worldview2_file() -> Path:
    """A real WorldView-2 crop."""
    return real(REAL_DATA / "worldview2" / "imgWV2.mat")


@pytest.fixture(scope="session")
def oracles() -> Path:
    """One forward pass of the published program, as arrays, and the formula of its weights."""
    return Path(__file__).parent / "methods" / "ifmsr" / "released"

"""What pyproject.toml cannot say: a wheel also carries small files of results/, each stored once in the repository."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

RESULTS = Path(__file__).parent / "results"
LARGEST = 5_000_000  # bytes of one weights file; MoG-DCN's and UAL's have 14 MB each


class BuildWithResults(build_py):
    """The package, and in ``ifmsr/shipped`` the published table, every weights card, and the weights that are small.

    An editable installation gets none of it: there `ifmsr.paths` finds the files where they are.
    """

    def run(self) -> None:
        """Build the package, then copy."""
        super().run()
        if self.editable_mode:
            return
        shipped = Path(self.build_lib, "ifmsr", "shipped")
        shutil.rmtree(shipped, ignore_errors=True)  # of an earlier build
        weights = sorted((RESULTS / "weights").glob("*.safetensors"))
        small = [path for path in weights if path.stat().st_size <= LARGEST]
        for source in (RESULTS / "paper" / "table4.csv", *(RESULTS / "weights").glob("*.json"), *small):
            target = shipped / source.relative_to(RESULTS)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


setup(cmdclass={"build_py": BuildWithResults})

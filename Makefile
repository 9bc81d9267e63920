# Two commands: `make reproduce` and `make test`. Both make .venv themselves.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
HASHED := $(wildcard requirements/*.txt)
NOTEBOOKS := $(sort $(wildcard notebooks/[0-9]*.ipynb))

# Threads that wait must not spin: on shared cores that makes everything several times slower. The tests' work is
# too small to be shared at all.
export OMP_WAIT_POLICY ?= passive

# What oneDNN, PyTorch and MKL may use of the processor in the second part of `make test`.
AVX2 := ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2

.PHONY: reproduce test soak mutants wheel-test bench notebooks book book-check contact-sheet slides lint lock licences sbom audit clean

reproduce: .venv/installed  ## every notebook on real data that needs no download -> results/quick
	rm -rf results/quick
	$(BIN)/ifmsr run $(NOTEBOOKS) --profile notebooks/quick.yaml --out results/quick

test: .venv/installed  ## pytest, doctests and nbval; what depends on the processor once more as with AVX2 only
	rm -rf results/smoke
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval-lax --nbval-current-env
	OMP_NUM_THREADS=1 $(AVX2) $(BIN)/python -m pytest --nbval-lax --nbval-current-env -m cpu tests notebooks/09_performance.ipynb

soak: .venv/installed  ## hours of damaged files, failing disks, killed processes, and of the same work over and over
	OMP_NUM_THREADS=1 IFMSR_SOAK=1 IFMSR_FUZZ_SEED=1 IFMSR_FUZZ_CASES=100000 IFMSR_ARGUMENT_CASES=5000 \
		$(BIN)/python -m pytest -s tests/faults

mutants: .venv/installed  ## small changes of the code that no fast test notices
	cd tests && PYTHONPATH=..:. OMP_NUM_THREADS=1 ../$(BIN)/python -m faults.mutants

wheel-test: .venv/installed  ## the wheel in a fresh environment outside this folder
	$(BIN)/python -m pytest -m wheel tests/test_wheel.py

bench: .venv/installed  ## speed and memory on this machine -> results/performance
	env -u OMP_WAIT_POLICY $(BIN)/python -m benchmarks  # with threads that spin, as users have them

notebooks: .venv/installed  ## execute the notebooks where they are, as they are committed
	rm -rf results/smoke
	OMP_NUM_THREADS=1 $(BIN)/ifmsr run --in-place $(NOTEBOOKS)

book: .venv/installed  ## the documentation site, with its checks -> docs/_build/html
	OMP_NUM_THREADS=1 $(BIN)/python -m docs.build

book-check: .venv/installed  ## the built site in headless Chromium: every page, light and dark, on a telephone, the search
	$(BIN)/python -m docs.in_browser

contact-sheet: .venv/installed  ## all pictures of the built site on one -> docs/_build/contact-sheet.png
	$(BIN)/python -m docs.contact_sheet

slides: .venv/installed  ## a lecture of 45 minutes from the chapters' pictures -> docs/_build/lecture.html
	$(BIN)/python -m docs.slides

lint: .venv/installed  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: .venv-tools/installed  ## requirements.lock and its hashes from what pyproject.toml allows today
	.venv-tools/bin/python requirements/renew.py lock

licences: .venv-tools/installed  ## licences of all locked packages -> requirements/licences.md
	.venv-tools/bin/python requirements/renew.py licences

sbom: .venv/installed .venv-tools/installed  ## what .venv has, as CycloneDX -> dist/sbom.json
	mkdir -p dist
	.venv-tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o dist/sbom.json .venv

audit: .venv-tools/installed  ## known vulnerabilities of the locked packages, from the Python registry's database
	.venv-tools/bin/pip-audit --strict --disable-pip --require-hashes $(HASHED:%=-r %)

clean:  ## what the commands above made, results aside
	rm -rf .venv .venv-tools .pytest_cache .ruff_cache .mypy_cache docs/_build

# Only files whose SHA-256 is known are installed. Of PyTorch pip chooses the build (CUDA, or CPU where that one is
# offered), then its hash is compared; if it is none of the known builds, the registry's is taken.
.venv/installed: requirements.lock $(HASHED) pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 5) and "the locked packages need Python 3.11.5 or later: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip download --quiet --no-deps --only-binary :all: -d .venv/torch $$(grep -o '^torch==[^ ]*' requirements.lock)
	$(PIP) --no-deps --no-index --find-links .venv/torch -r requirements/torch.txt || $(PIP) --no-deps -r requirements/torch.txt
	rm -r .venv/torch
	case $$($(BIN)/python -c 'from importlib.metadata import version as of; print(of("torch"))') in \
		*+cpu) ;; *) $(PIP) --no-deps -r requirements/cuda.txt;; esac
	$(PIP) --no-deps -r requirements/packages.txt
	$(PIP) --no-build-isolation -c requirements.lock -e '.[all]'
	touch $@

.venv-tools/installed:
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet --upgrade pip uv pip-audit cyclonedx-bom
	touch $@

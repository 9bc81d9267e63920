# Two commands: `make reproduce` and `make test`. Both make .venv themselves.
PYTHON ?= python3
BIN := .venv/bin
NOTEBOOKS := $(sort $(wildcard notebooks/[0-9]*.ipynb))

# Threads that wait must not spin: on shared cores that makes everything several times slower. The tests' work is
# too small to be shared at all.
export OMP_WAIT_POLICY ?= passive

# What oneDNN, PyTorch and MKL may use of the processor in the second part of `make test`.
AVX2 := ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2

.PHONY: reproduce test soak mutants wheel-test bench notebooks book book-check contact-sheet slides lint lock clean

reproduce: .venv/installed  ## every notebook on real data that needs no download -> results/quick
	rm -rf results/quick
	$(BIN)/ifmsr run $(NOTEBOOKS) --profile notebooks/quick.yaml --out results/quick

test: .venv/installed  ## pytest, doctests and nbval; what depends on the processor once more as with AVX2 only
	rm -rf results/smoke
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval-lax --nbval-current-env
	OMP_NUM_THREADS=1 $(AVX2) $(BIN)/python -m pytest --nbval-lax --nbval-current-env -m cpu tests notebooks/09_performance.ipynb

soak: .venv/installed  ## hours of damaged files, failing disks and killed processes
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

lock:  ## requirements.lock from what pyproject.toml allows today
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet -e '.[all]'
	(head -1 requirements.lock; .venv-lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//') > requirements.new
	mv requirements.new requirements.lock
	rm -rf .venv-lock

clean:  ## what the commands above made, results aside
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache docs/_build

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ifmsr needs Python 3.11 or later: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

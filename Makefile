# Every verb sets itself up: a fresh clone needs python3 (3.11 or newer) and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo demo-videos format check test test-all test-gpu bench bench-compare

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	$(BIN)/newfound discover images digits --num-novel 5 --out runs/demo --compare-labelled-only

demo-videos: setup
	$(BIN)/newfound make-av-digits --bundled --repeat --clutter 0.2 --snr-db 10 --per-class 50 --out runs/demo-videos-data
	$(BIN)/newfound discover videos runs/demo-videos-data --labelled-classes 5 --num-novel 5 --preset quick-videos --flip 0 --out runs/demo-videos

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Without a GPU, where there is one: two runs on it agree but for rounding, and it cannot be forked.
test: setup
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 $(BIN)/pytest

test-all: setup
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 $(BIN)/pytest -m ''

test-gpu: setup
	$(BIN)/pytest -m '' tests/test_cuda.py tests/machine/test_device.py tests/machine/test_memory.py tests/data/test_image_loader.py

# What it measures: docs/benchmarks.md. For more or less of it: make bench BENCH='--only pairs --full'.
bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks $(BENCH)

$(VENV)/.installed-bench: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	touch $@

bench-compare: setup
	$(BIN)/python -m benchmarks.compare

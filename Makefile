# CARMA. `make` lists the targets. Everything happens in the virtual environment .venv, made on first use.

VENV := .venv
BIN := $(VENV)/bin
DOCS ?=
WORKERS ?= auto
PYTEST ?= $(BIN)/python -m pytest --numprocesses=$(WORKERS) --maxprocesses=4 --dist=loadfile \
	--no-loadscope-reorder

# The first Python that is new enough; name another with `make PYTHON=…`.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	echo "$$python"; break; fi; done)

# Tests start many processes, and without bytecode on the disk each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo serve test check format nightly pictures simulate proof coverage fuzz bench wheel install clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*##/\1 /p' $(MAKEFILE_LIST) | awk '{ name = $$1; $$1 = ""; printf "make %-9s%s\n", name, $$0 }'

demo: $(VENV)/.core  ## damage a memory of the project's own documentation and watch it heal; make demo DOCS=path
	$(BIN)/carma prove $(if $(DOCS),"$(DOCS)")
	@echo "To see such a memory in the browser, its dashboard included: make serve"

serve: $(VENV)/.serve  ## serve a memory of the documentation on this machine, with a dashboard; make serve PORT=n DOCS=path
	$(BIN)/carma serve --first-contact --fill "$(or $(DOCS),docs)" --destroy 5 $(if $(PORT),--port $(PORT))

test: $(VENV)/.dev  ## run the tests
	$(PYTEST)

check: $(VENV)/.dev  ## look at the code without running it: ruff, mypy, layers, documentation
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --no-cache --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/docs/test_text.py

format: $(VENV)/.dev  ## lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

nightly: $(VENV)/.dev  ## run the long tests too
	$(PYTEST) -m "nightly or not nightly" --timeout=3600

coverage: $(VENV)/.dev  ## what the tests of the core reach, line by line
	$(BIN)/coverage run -m pytest --ignore=tests/packaging --ignore=tests/docs
	$(BIN)/coverage report

pictures: $(VENV)/.dev  ## photograph every page of the dashboard into dashboard-pictures/, and docs/dashboard.png
	CARMA_README_PICTURE=docs/dashboard.png $(BIN)/python -m pytest -q tests/dashboard/test_readme_picture.py
	$(BIN)/python -m tests.dashboard.pictures dashboard-pictures

simulate: $(VENV)/.dev  ## run 100,000 seeded lives of small memories; SEED=n repeats one
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds 100000)

proof: $(VENV)/.dev  ## measure what docs/PROOF.md says, and write it
	$(BIN)/python -m bench.proof

fuzz: .venv-fuzz/.ready  ## throw bytes at the readers of keys, records, vault and audit log, a minute each
	.venv-fuzz/bin/python tools/fuzz.py --seconds $(if $(SECONDS),$(SECONDS),60)

bench: .venv-bench/.ready  ## measure CARMA beside its peers
	.venv-bench/bin/python -m bench.run

wheel: $(VENV)/.dev  ## build dist/*.whl and dist/*.tar.gz
	$(BIN)/python -m build --no-isolation

install: $(VENV)/.dev  ## only make the virtual environment

clean:  ## remove what was made here
	rm -rf $(VENV) .venv-bench .venv-fuzz build dist bench/out dashboard-pictures .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the environments ----------------------------------------------------------------------------------------------------
# hatchling comes first, so that building the package needs nothing that is not pinned.

$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing CARMA and the pinned packages that it needs into $(VENV) (about a minute)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt hatchling
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[report]'
	@touch $@

$(VENV)/.serve: $(VENV)/.core
	@echo "installing the pinned packages that the server needs (about a minute)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[report,serve]'
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "installing the pinned packages that its tests need (about a minute)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev,langchain,langgraph,mcp,office,report,serve,trace]'
	@touch $@

.venv-bench/.ready: pyproject.toml constraints.txt bench/requirements.txt | .venv-bench/bin/python
	.venv-bench/bin/python -m pip install --quiet hatchling --constraint constraints.txt
	.venv-bench/bin/python -m pip install --quiet --no-build-isolation --editable . --requirement bench/requirements.txt
	@touch $@

.venv-fuzz/.ready: pyproject.toml constraints.txt | .venv-fuzz/bin/python
	.venv-fuzz/bin/python -m pip install --quiet hatchling hypothesis --constraint constraints.txt
	.venv-fuzz/bin/python -m pip install --quiet --no-build-isolation --editable . --constraint constraints.txt
	.venv-fuzz/bin/python -m pip install --quiet 'atheris>=3.0' || echo "no atheris for this Python: Hypothesis takes its place"
	@touch $@

%/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "CARMA needs Python 3.11 or newer; none was found. Install one, or name it: make PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi
	@if ! "$(PYTHON)" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
		echo "$(PYTHON) cannot make virtual environments: its modules venv and ensurepip are missing." >&2; \
		echo "On Debian and Ubuntu they are a package of their own: apt-get install python3-venv" >&2; \
		exit 1; \
	fi
	"$(PYTHON)" -m venv $*

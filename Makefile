# The one truth for people, pre-commit and CI.  `make setup` gives a working tree, `make run` the
# main job, `make test` all tests, `make check` everything that a commit must pass.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
export PYTHON
export PATH := $(CURDIR)/$(BIN):$(PATH)
INSTALLED := $(VENV)/.installed
COMPILED := $(VENV)/.compiled
# Three files of tests at a time: they wait for timers more than they compute.  BESIDE= for one.
BESIDE := -n 3 --dist loadfile --no-loadscope-reorder
PXD := $(shell find ds_farm workers shm -name '*.pxd')
PYX := $(shell find ds_farm workers shm -name '*.pyx')
CYTHON := $(PYX) $(PXD) $(wildcard $(PXD:.pxd=.py))
SOURCES := ds_farm workers shm tests benchmarks grafana setup.py

.PHONY: setup run test check format lint types layers wheel-test bench fuzz docs clean debian help

help:            ## this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 14

# Two `make` at once wait for each other on the directory's lock; the second finds all done.
setup:           ## .venv with ds-farm installed (editable, compiled) and the development tools
	@flock . $(MAKE) --no-print-directory --silent $(COMPILED)

run: setup       ## the demo farm: three local destinations, a caller, a live table; Ctrl-C ends it
	@$(BIN)/ds-farm demo

test: setup      ## all tests; installs the Debian packages that they call (ARGS="-k name" for some)
	@sh deploy/debian-packages.sh test database
	@$(BIN)/python -m pytest $(BESIDE) $(ARGS)

check: lint types layers test  ## everything a commit must pass

format:          ## rewrite the sources as the formatter wants them
format: setup
	@$(BIN)/ruff check --fix --quiet $(wildcard $(SOURCES)); $(BIN)/ruff format $(wildcard $(SOURCES))

lint: setup      ## ruff and cython-lint
	@$(BIN)/ruff check $(wildcard $(SOURCES))
	@$(BIN)/ruff format --check $(wildcard $(SOURCES))
	@$(BIN)/cython-lint $(PYX) $(PXD)

types: setup     ## mypy --strict over packages, tests and benchmarks
	@$(BIN)/mypy

layers: setup    ## imports point down, cores do no I/O
	@$(BIN)/lint-imports

wheel-test: setup ## sdist, wheel, a fresh environment: what is installed is what was meant (part of `make test`)
	@$(BIN)/python -m pytest tests/test_packaging.py

bench: setup     ## the farm against a bare reflector and Debian's kamailio (BENCH="--help" for more)
	@sh deploy/debian-packages.sh bench || echo "make: going on without them"
	@$(BIN)/python -m benchmarks.farm_bench $(BENCH)

fuzz: setup      ## a long run of the fuzz tests
	@$(BIN)/python -m pytest tests/fuzz --hypothesis-profile=long --timeout=3600 $(ARGS)

docs: setup      ## the generated pages and dashboards: docs/configuration.md, docs/metrics.md, grafana/
	@for page in configuration metrics; do $(BIN)/python -m ds_farm.reference $$page >docs/$$page.md || exit 1; done
	@$(BIN)/python -m grafana.generate

debian:          ## the Debian packages of all targets
	@sh deploy/debian-packages.sh venv test database bench

clean:           ## remove what was built; databases and configurations stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find ds_farm workers shm \( -name '*.c' -o -name '*.so' \) -delete
	find $(wildcard $(SOURCES)) -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@sh deploy/debian-packages.sh venv
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	@echo "make: upgrading pip in $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' || { rm -rf $(VENV); exit 1; }

# A change of metadata installs anew; a change of sources compiles only what it touches.  Both with
# the Cython of the environment, so that the second does not compile again what the first has.
# A stamp is dated before the build: what changes while it compiles is compiled next time.
$(INSTALLED): $(BIN)/python pyproject.toml
	@echo "make: installing ds-farm and its tools into $(VENV) (from PyPI; compiles the core, about a minute)"
	@touch $@.new
	@$(BIN)/python -m pip install --quiet --group dev
	@$(BIN)/python -m pip install --quiet --no-build-isolation --editable .
	@mv $@.new $@

$(COMPILED): $(INSTALLED) setup.py $(CYTHON)
	@touch $@.new
	@$(BIN)/python setup.py --quiet build_ext --inplace >/dev/null
	@mv $@.new $@

# Two commands matter: `make demo` and `make test`. Both set up `.venv` first, once.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Stores sync every file: on a disk in memory the tests take half the time. Three workers keep two cores busy,
# because some tests wait for servers.
PYTEST := $(if $(wildcard /dev/shm/.),PYTEST_DEBUG_TEMPROOT=/dev/shm) $(BIN)/python -m pytest -n 3 --dist load

# The tests start many processes: what they import is compiled once, not by each.
test test-all: export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo ui test test-all lint bench lock clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

# As constraints too: the pip of Python 3.11 else takes the newest release for a name with an extra, as sqlalchemy[asyncio].
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock -c requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

setup: $(STAMP) ## install the locked dependencies into .venv

demo: $(STAMP) ## the blue-green flow on embedded stores through a Prefect server: phases, verdict, rollback
	@$(BIN)/python -m deployments.demo

ui: $(STAMP) ## a Prefect server and a worker with every deployment, kept open to click through
	@$(BIN)/python -m deployments.ui

test: $(STAMP) ## the tests, some minutes on two cores
	@$(PYTEST) -m "not slow"

test-all: $(STAMP) ## every test, the slow ones too, then 20,000 records between every two stores; names what is missing here
	@VECFERRY_TEST_SEARCH=1 $(PYTEST) --timeout 1800 --run-everything
	@$(BIN)/python -m bench.matrix

lint: $(STAMP) ## ruff, mypy strict on the core, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(STAMP) ## memory and rows/s beside the driver's own loop, in one run
	@$(BIN)/python -m bench.copy_speed

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile pyproject.toml --extra prefect --extra qdrant --extra chroma --extra faiss --extra milvus --extra dev --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --python-version 3.11 --python-platform linux -o requirements.lock

clean: ## remove what the targets above made
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache

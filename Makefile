# Everything a developer runs, and all that CI runs. Needs Java 17 or newer and Python 3.11 or newer.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Options for `lakehouse demo`, such as: make demo ARGS="--messages 2000 --keep"
ARGS ?=
# Options for pytest, such as: make spark TESTS="-k triage"
TESTS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fmt lint types imports unit spark e2e others notebooks soak bench bench-full docs lock clean

##@ Start here
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9_-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## Make .venv with pinned packages, and fetch the locked jars

demo: .venv/.ready ## Run the whole pipeline on a broker of its own and prove the sums
	$(BIN)/lakehouse demo $(ARGS)

# Two runs beside each other, since neither keeps two cores busy; each says what it did at its end.
test: check ## Run every check and every test
	+$(MAKE) --no-print-directory --jobs 2 --output-sync=target spark others

##@ Checks
check: lint types imports ## Lint, types and layers

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.ready
	$(BIN)/mypy

imports: .venv/.ready
	$(BIN)/lint-imports

fmt: .venv/.ready ## Format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

##@ Tests by cost
unit: .venv/.ready ## No JVM: seconds
	$(BIN)/python -m pytest tests/unit $(TESTS)

spark: .venv/.ready ## One local Spark session
	$(BIN)/python -m pytest tests/spark $(TESTS)

e2e: .venv/.ready ## Real Kafka, real processes
	$(BIN)/python -m pytest tests/e2e $(TESTS)

others: .venv/.ready ## All that is not in tests/spark
	$(BIN)/python -m pytest tests/unit tests/notebooks tests/e2e $(TESTS)

notebooks: .venv/.ready ## Execute the notebooks
	$(BIN)/python -m pytest tests/notebooks $(TESTS)

soak: .venv/.ready ## What takes longer than a minute each
	$(BIN)/python -m pytest -m soak $(TESTS)

bench: .venv/.ready ## Measure beside what a user would pick instead
	$(BIN)/python -m benchmarks $(ARGS)

bench-full: .venv/.ready ## The same with all rates, sizes and kinds of keys, and each technique taken away
	$(BIN)/python -m benchmarks --full $(ARGS)

##@ Upkeep
docs: .venv/.ready ## Write from the code what docs/ says of it
	$(BIN)/python docs/generate.py

lock: .venv/.ready ## Pin the newest packages that pyproject.toml allows
	cd requirements && ../$(BIN)/python -m piptools compile --quiet --upgrade --strip-extras \
	  --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --extra notebooks -o dev.txt ../pyproject.toml dev.in
	cd requirements && ../$(BIN)/python -m piptools compile --quiet --strip-extras \
	  --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  -c dev.txt -o run.txt ../pyproject.toml

clean: ## Remove .venv, caches and the broker's folder; never a lake
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .lakehouse dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready: requirements/dev.txt pyproject.toml lakehouse/jars.lock.toml
	@java -version >/dev/null 2>&1 || { echo "Java 17 or newer is needed, and java is not on the PATH"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/lakehouse jars fetch
	-$(BIN)/lakehouse jars archive # without it starts are slower, and that is all
	@touch $@

# Everything a person types more than once. `make setup` needs nothing but Python 3.11 or 3.12.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
UV_VERSION := 0.13.9
BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url

.PHONY: setup dev lock check format test chaos demo clean help

help:  ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.installed  ## make .venv and install everything from requirements.lock

dev: .venv/.dev  ## the same and what tests, checks and comparisons need, from requirements-dev.lock

.venv/.installed: requirements.lock pyproject.toml Makefile
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed and was not found; set PYTHON=/path/to/python3.11"; exit 2; }
	@# a first try without python3-venv leaves an environment without pip behind
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear .venv || { echo "python -m venv failed; on Debian: apt install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@# the lock is complete: resolving again would only bring back what pyproject.toml excludes;
	@# compiled once here, as Ray's processes import thousands of files and have 15 s to start (ray#65983)
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --editable .
	@touch $@

.venv/.dev: .venv/.installed requirements-dev.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --compile-bytecode -r requirements-dev.lock
	@touch $@

lock: setup  ## resolve the dependencies of pyproject.toml into requirements.lock, for tests into requirements-dev.lock
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --extra dev --constraint requirements.lock pyproject.toml -o requirements-dev.lock

check: dev  ## ruff and the type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: dev  ## let ruff rewrite the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: dev  ## all tests but the long campaign
	$(BIN)/python -m pytest

chaos: dev  ## the long campaign: 200 faults at random; what was lost, doubled or wrongly condemned
	$(BIN)/python tests/faults/campaign.py --faults 200

demo: setup  ## annotate 40 synthetic pictures and a film, offline, in 3 minutes
	$(BIN)/annotator demo

clean:  ## remove what was built, .venv included
	rm -rf .venv build dist .pytest_cache .ruff_cache

# make app | demo | test | lint: each works from a fresh clone and installs what it needs first.
# Overridable: PYTHON, VENV, PORT, WORKSPACE, JSON.  Example: make app PORT=8600 WORKSPACE=/tmp/dery
PYTHON ?= python3
VENV ?= .venv
PORT ?= 8501
WORKSPACE ?=
JSON ?=
TESTS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: app demo test lint format setup zoo clean
.DEFAULT_GOAL := app

setup: $(VENV)/.app $(VENV)/.dev

app: $(VENV)/.app
	$(BIN)/dery $(if $(WORKSPACE),--workspace "$(WORKSPACE)") app --port $(PORT)

demo: $(VENV)/.app
	$(BIN)/dery $(if $(WORKSPACE),--workspace "$(WORKSPACE)") demo $(if $(JSON),--json "$(JSON)")

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

zoo: $(VENV)/.app
	$(BIN)/dery zoo train

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "DeRy Studio needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.app: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing the requirements into $(VENV) (about two minutes and 7 GB, mostly torch) ..."
	$(PIP) -r requirements.txt
	$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.app | $(BIN)/python
	$(PIP) -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

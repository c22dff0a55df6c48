# `make demo` runs the main job, `make check` passes the tests; both set up .venv themselves, once.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo check notebook

demo: .venv/installed
	$(BIN)/genreline demo

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

# The notebook with the outputs of a real run, from its plain-text source.
notebook: .venv/installed
	$(BIN)/jupytext --quiet --to ipynb --output notebooks/assignment.new.ipynb notebooks/assignment.py
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/jupyter execute --timeout=-1 --inplace notebooks/assignment.new.ipynb
	mv notebooks/assignment.new.ipynb notebooks/assignment.ipynb

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "genreline needs Python 3.11 or newer")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

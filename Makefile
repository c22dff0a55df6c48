# `make demo` runs the main job, `make check` passes the tests; both set up .venv themselves, once.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo check lint fast docs notebook release-check

demo: .venv/installed
	$(BIN)/genreline demo

check: lint
	$(BIN)/pytest -n 2

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The tests without the slow ones: browser, Ray, notebook, attacks, demo, processes.
fast: .venv/installed
	$(BIN)/pytest -n 2 -m "not slow"

# The site, in build/site/index.html; it also opens from disk.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Wheel and sdist, checked; then the wheel in an environment of its own, where it predicts a second of noise.
release-check: .venv/installed
	rm -rf build/dist build/release
	$(BIN)/python -m build --outdir build/dist
	$(BIN)/twine check --strict build/dist/*
	$(PYTHON) -m venv build/release
	build/release/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	build/release/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt build/dist/*.whl
	build/release/bin/python -c 'import numpy, soundfile; \
	  soundfile.write("build/release/noise.wav", numpy.random.default_rng(0).normal(0, 0.1, 8000), 8000)'
	cd build/release && bin/genreline predict noise.wav --formats csv && cat noise.csv

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

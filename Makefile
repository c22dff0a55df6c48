# `make demo` runs the main job, `make check` passes the tests; both set up .venv themselves, once.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo check lint fast docs fuzz notebook colab results release-check

demo: .venv/installed
	$(BIN)/genreline demo

check: lint
	$(BIN)/pytest -n 2 --dist loadgroup

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The tests without the slow ones: browser, Ray, notebook, attacks, demo, processes.
fast: .venv/installed
	$(BIN)/pytest -n 2 --dist loadgroup -m "not slow"

# Read mutated copies of the files in fuzz/corpus, for so many seconds; failures are added to it, for `make check` to read.
SECONDS ?= 60
fuzz: .venv/installed
	$(BIN)/python -m fuzz.run $(SECONDS)

# The site, in build/site/index.html; it also opens from disk.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Wheel and sdist, checked; then the wheel in an environment of its own, without PyTorch, where it predicts a second of
# noise.
release-check: .venv/installed
	rm -rf build/dist build/release
	$(BIN)/python -m build --outdir build/dist
	$(BIN)/twine check --strict build/dist/*
	$(PYTHON) -m venv build/release
	build/release/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt build/dist/*.whl
	build/release/bin/python -c 'import numpy, soundfile; \
	  soundfile.write("build/release/noise.wav", numpy.random.default_rng(0).normal(0, 0.1, 8000), 8000)'
	cd build/release && bin/genreline predict noise.wav && cat noise.csv

# The notebook with the outputs of a real run, from its plain-text source.
notebook: .venv/installed
	$(BIN)/jupytext --quiet --to ipynb --output notebooks/assignment.new.ipynb notebooks/assignment.py
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/jupyter execute --timeout=-1 --inplace notebooks/assignment.new.ipynb
	mv notebooks/assignment.new.ipynb notebooks/assignment.ipynb

# The notebook, shortened, in Colab's versions of IPython, NumPy and others; what they do not replace is that of .venv.
colab: .venv/installed
	$(BIN)/python -m venv --clear build/colab
	build/colab/bin/python -m pip install --quiet --disable-pip-version-check --requirement notebooks/colab.txt
	echo "$(CURDIR)/$$(echo .venv/lib/python3*/site-packages)" > $$(echo build/colab/lib/python3*/site-packages)/base.pth
	cp .venv/lib/python3*/site-packages/*editable*genreline* build/colab/lib/python3*/site-packages/ 2>/dev/null || \
	  echo "$(CURDIR)/src" > $$(echo build/colab/lib/python3*/site-packages)/genreline.pth
	build/colab/bin/python -m pytest -q -n 0 tests/test_notebook.py -k "clean_kernel"

# The assignment's studies at full length: what is missing is printed, then done; results/studies keeps what is finished,
# so that Ctrl-C loses the runs at work alone. `make results DATA=DIR`, or COURSE=DIR for the studies of MFCCs,
# GENRES7=DIR for those of melgrams and GENRES8=DIR for those of what came after; with DEVICE=cuda OUT=results/gpu all of
# it on a GPU.
COURSE ?= $(DATA)
GENRES7 ?= $(DATA)
GENRES8 ?= $(DATA)
OUT ?= results/studies
DEVICE ?= cpu
JOBS ?= 2
of_mfccs = fnn device --data "$(COURSE)" --out "$(OUT)" --device $(DEVICE)
of_melgrams = reproducibility batchnorm pooling schedulers early-stopping batch-size regularisation activations \
  optimizers cnn-plain $(sort $(wildcard benchmarks/activations-*.toml)) --data "$(GENRES7)" --out "$(OUT)" \
  --device $(DEVICE)
of_today = beyond benchmarks/ablation.toml --data "$(GENRES8)" --out "$(OUT)" --device $(DEVICE)

results: .venv/installed
	@test -n "$(COURSE)" -a -n "$(GENRES7)" -a -n "$(GENRES8)" || \
	  { echo "make results: needs DATA=DIR, or COURSE=DIR, GENRES7=DIR and GENRES8=DIR"; exit 2; }
	@$(BIN)/genreline study $(of_mfccs) --missing
	@$(BIN)/genreline study $(of_melgrams) --missing
	@$(BIN)/genreline study $(of_today) --missing
	@$(BIN)/genreline study $(of_mfccs) --jobs $(JOBS)
	@$(BIN)/genreline study $(of_melgrams) --jobs $(JOBS)
	@$(BIN)/genreline study $(of_today) --jobs $(JOBS)
	@$(BIN)/genreline report "$(OUT)"

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "genreline needs Python 3.11 or newer")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

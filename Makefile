# Needs python3 and make; everything else is set up here, in .tools and .venv.
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-all bench check format docs lock clean

PYTHON ?= python3
VENV   := .venv
UV     := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN    := $(VENV)/bin/python
OUT    ?= $(shell i=1; d=runs/demo; while [ -e $$d ]; do i=$$((i+1)); d=runs/demo-$$i; done; echo $$d)

help:
	@echo "make demo      set up, then search on real data: about two minutes after set-up"
	@echo "make test      set up, then the tests"
	@echo "make test-all  the slow tests too"
	@echo "make bench     the short benchmarks in one table: ten minutes, on a quiet machine"
	@echo "make check     ruff, mypy, the layer test"
	@echo "make docs      write docs/api.md from the docstrings"
	@echo "make lock      update requirements.lock"
	@echo "make clean     remove .venv, .tools and caches; runs/ stays"

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@command -v uv >/dev/null 2>&1 || [ -x .tools/bin/uv ] || \
	  $(PYTHON) -m pip install -qq --disable-pip-version-check --target .tools uv || \
	  { echo "cannot set up: install uv, or pip for $(PYTHON), then run make again" >&2; exit 1; }
	@echo "setting up $(VENV) (the first time downloads torch: some gigabytes on Linux)"
	@[ -x $(RUN) ] || $(UV) venv --quiet --python '>=3.11' $(VENV)
	@VIRTUAL_ENV=$(VENV) $(UV) pip sync --quiet --require-hashes requirements.lock
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --editable .
	@touch $@

demo: setup
	$(VENV)/bin/slimtune search --preset demo --out $(OUT)

# Side by side, a thread each: two processes with two threads on two cores wait for each other.
test: setup
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n logical --maxprocesses 4 --dist worksteal

test-all: setup
	$(RUN) -m pytest -q -m "slow or not slow"

bench: setup
	$(RUN) benchmarks/run.py

check: setup
	$(RUN) -m ruff check slimtune tests docs examples
	$(RUN) -m ruff format --check slimtune tests docs examples
	$(RUN) -m mypy
	$(RUN) -m pytest -q tests/test_layers.py

format: setup
	$(RUN) -m ruff check --fix slimtune tests docs examples
	$(RUN) -m ruff format slimtune tests docs examples

docs: setup
	$(RUN) docs/make_api.py

lock:
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
	  --group dev pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .tools .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find slimtune tests -name __pycache__ -type d -prune -exec rm -rf {} +

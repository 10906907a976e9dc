# Every target works on a fresh machine with Python >= 3.11 and make: it installs what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-fast test-isa test-py313 fuzz chaos pods lint format clean

demo: $(VENV)/.runtime
	$(BIN)/skinflow demo --workdir=runs/demo

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-fast: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

# All tests on code for processors without AVX-512, then for ones without AVX: another round-off.
test-isa: $(VENV)/.test
	for isa in AVX2 SSE4_2; do \
	  echo "== $$isa"; \
	  XLA_FLAGS="--xla_cpu_max_isa=$$isa" $(BIN)/python -m pytest -n 2 --dist loadfile || exit 1; \
	done

# The fast tests on Python 3.13 with the newest versions allowed; needs root and debootstrap.
test-py313:
	.ci/py313

# 100,000 drawn inputs, 2,000 in `make test`: no unhandled exception, no hang.
fuzz: $(VENV)/.test
	SKINFLOW_FUZZ=100000 $(BIN)/python -m pytest tests/fuzz

# 50 kills at random moments of a run and 10 of a build, which must end as if undisturbed; a few in
# `make test`.
chaos: $(VENV)/.test
	SKINFLOW_CHAOS=50 $(BIN)/python -m pytest tests/end_to_end/test_chaos.py \
	  tests/end_to_end/test_killed_builds.py

# Runs on one device, 1x8, 2x4 and 4x2 processes x devices, lost hosts and links; needs root and
# iproute2.
pods: $(VENV)/.test
	SKINFLOW_PODS=1 $(BIN)/python -m pytest tests/pods tests/parallel/test_runs.py

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs

$(VENV)/.runtime: requirements.txt requirements-report.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[report]'
	touch $@

$(VENV)/.test: $(VENV)/.runtime requirements-test.txt
	$(BIN)/python -m pip install --quiet --requirement requirements-test.txt
	touch $@

# Every verb of the project; CI runs these same lines. Needs GNU make, a C compiler and Python 3.11 or newer, no more.
# PYTHON=/path/to/python3 chooses the interpreter of .venv.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV   ?= .venv
GROUPS ?= --group dev
FUZZ_S ?= 60
# How many processes share the tests: auto is one for each core; with 0 they run one after the other in one process.
WORKERS ?= auto
SPREAD := -n $(WORKERS) --dist worksteal
BIN    := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PY     := $(BIN)/python

SOURCES := $(shell find cpapi_fast -name '*.pyx' -o -name '*.pxd')
STUBBED := $(subst /,.,$(basename $(shell find cpapi_fast -name '*.pyi')))

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help run test build lint types suite unit year pythons wheel sanitize fuzz fuzz-one soak peers bench bench-smoke \
    bench-gate bench-gate-selftest docs docs-check clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' Makefile | awk -F@ '{ printf "%-20s %s\n", $$1, $$2 }'

run: build ## start the gateway simulator, collect from it over TLS for 20 seconds, print the summary
	$(BIN)/cpapi-fast collect --simulate --conids 265598,8314,272093,76792991 --duration 20 --out data

test: lint types suite ## everything: lint, types, and every test

build: $(VENV)/.built ## create .venv and compile the extensions into the source tree

lint: build ## ruff, cython-lint, and the schema of the workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$$PWD/$(BIN):$$PATH" cython-lint cpapi_fast benchmarks examples tests
	$(BIN)/check-jsonschema -q --builtin-schema vendor.github-workflows .github/workflows/*.yml

types: build ## mypy --strict, stubtest on the extensions, and tests/typing for mypy and pyright
	$(BIN)/mypy
	$(PY) -m mypy.stubtest $(STUBBED) --allowlist tests/typing/stubtest-allowlist.txt
	$(BIN)/basedpyright

suite: build ## all tests: unit, property, integration, meta
	$(PY) -m pytest $(SPREAD) $(PYTEST_ARGS)

unit: build ## the unit tests only
	$(PY) -m pytest tests/unit $(SPREAD) $(PYTEST_ARGS)

year: build ## a simulated year of the feed's state machine, with everything that goes wrong; SEED=N for another one
	$(PY) -m tests.simulation $(if $(SEED),--seed $(SEED))

pythons: ## all tests on every CPython 3.11 to 3.14 that this machine has
	MAKE="$(MAKE)" tools/pythons.sh

wheel: build ## build sdist and wheel; run all tests against the wheel, installed outside the checkout
	tools/test_wheel.sh "$(PY)" $(SPREAD) $(PYTEST_ARGS)

sanitize: build ## all tests on extensions with AddressSanitizer and UndefinedBehaviorSanitizer, outside the checkout
	tools/sanitized.sh "$(PY)" -m pytest $(SPREAD) $(PYTEST_ARGS)

fuzz: build ## fuzz the sanitized extensions against the oracle, for a minute or FUZZ_S=3600 seconds
	tools/sanitized.sh "$(PY)" -m tests.fuzz.campaign --seconds $(FUZZ_S) --folder "$(CURDIR)/.fuzz"

fuzz-one: build ## show again what the fuzzer has found: make fuzz-one FILE=.fuzz/found/...
	tools/sanitized.sh "$(PY)" -m tests.fuzz.campaign --one "$(abspath $(FILE))"

soak: build ## one feed under random faults on real sockets, for five minutes or HOURS=8, and a report
	$(PY) -m tests.faults.soak $(if $(HOURS),--hours $(HOURS))

peers: $(VENV)/.made ## compile the Rust and C clients that the benchmarks compare with (minutes, once; needs cargo)
	$(PY) benchmarks/peers/build.py

bench: $(VENV)/.bench ## all benchmarks against all peers: tables, JSON and plots (minutes; docs/explanation/benchmarks.md)
	$(PY) -m benchmarks.report

bench-smoke: $(VENV)/.bench ## the benchmarks' answers only
	$(PY) -m benchmarks.report --smoke

bench-gate: build ## instructions per frame against a baseline, CPU against picows and orjson; fails when slower (valgrind)
	$(PY) -m benchmarks.gate

bench-gate-selftest: build ## that a slowdown seeded into a copy of the tree fails bench-gate (valgrind)
	$(PY) -m benchmarks.gate selftest

docs: $(VENV)/.docs ## build the documentation site into build/docs; a warning is an error
	$(PY) -m sphinx -q -E -W --keep-going -d build/doctrees docs build/docs
	@echo "open build/docs/index.html"

docs-check: docs ## build the documentation, run each of its code blocks, check its links
	$(PY) -m pytest tests/docs $(SPREAD) $(PYTEST_ARGS)

clean: ## remove what the verbs above made, the environments included
	rm -rf .venv .venvs build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find cpapi_fast '(' -name '*.c' -o -name '*.so' -o -name '*.pyd' -o -name '*.html' ')' -exec rm -f {} +
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps, so that a second call costs nothing: the environment, what is installed in it, what is compiled.
$(VENV)/.made: tools/find_python.sh
ifneq ($(OS),Windows_NT) # there the compiler is found by setuptools, not by PATH
	@command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null || \
	    { echo "no C compiler found; on Debian and Ubuntu: apt-get install build-essential" >&2; exit 1; }
endif
	python=$$(tools/find_python.sh) && "$$python" -m venv --clear $(VENV)
	$(PY) -m pip install -q --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.deps: $(VENV)/.made pyproject.toml
	$(PY) -m pip install -q $(GROUPS)
	@touch $@

# Other clients, for the benchmarks only.
$(VENV)/.bench: $(VENV)/.built pyproject.toml
	$(PY) -m pip install -q --group bench
	@touch $@

# What builds the documentation.
$(VENV)/.docs: $(VENV)/.built pyproject.toml
	$(PY) -m pip install -q --group docs
	@touch $@

$(VENV)/.built: $(VENV)/.deps setup.py $(SOURCES)
	PYTHONWARNINGS='ignore:Editable installation' tools/build_lock.sh $(PY) -m pip install -q --no-build-isolation --editable '.[cli]'
	@touch $@

# All commands of the project; CI runs the same ones. Needs GNU make, a C compiler and Python 3.11 or newer.
# PYTHON=/path/to/python3 sets the interpreter of .venv.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV   ?= .venv
GROUPS ?= --group dev
FUZZ_S ?= 60
# The number of test processes: auto means one for each core; with 0, all tests run in one process.
WORKERS ?= auto
SPREAD := -n $(WORKERS) --dist worksteal
BIN    := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PY     := $(BIN)/python

SOURCES := $(shell find cpapi_fast -name '*.pyx' -o -name '*.pxd')
STUBBED := $(subst /,.,$(basename $(shell find cpapi_fast -name '*.pyi')))

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where the tests of metrics find Prometheus, also those that run in a copy of the tests.
export CPAPI_FAST_PROMETHEUS ?= $(CURDIR)/.venvs/prometheus

.PHONY: help run test build lint types suite unit year pythons wheel browser sanitize fuzz fuzz-one autobahn prometheus \
    soak kafka kafka-fetch peers bench bench-smoke bench-gate bench-gate-selftest docs docs-check clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' Makefile | awk -F@ '{ printf "%-26s %s\n", $$1, $$2 }'

run: build ## collect from the simulated gateway for 20 seconds, and print the summary
	$(BIN)/cpapi-fast collect --simulate --conids 265598,8314,272093,76792991 --duration 20 --out data

test: lint types suite ## run lint, types and all tests: the check before a commit

build: $(VENV)/.built ## create .venv, and compile the extensions in the source tree

lint: build ## run ruff and cython-lint, and check the schema of the workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$$PWD/$(BIN):$$PATH" cython-lint cpapi_fast benchmarks examples tests
	$(BIN)/check-jsonschema -q --builtin-schema vendor.github-workflows .github/workflows/*.yml

types: build ## run mypy --strict, stubtest and basedpyright
	$(BIN)/mypy
	$(PY) -m mypy.stubtest $(STUBBED) --allowlist tests/typing/stubtest-allowlist.txt
	$(BIN)/basedpyright

suite: build ## run all tests
	$(PY) -m pytest $(SPREAD) $(PYTEST_ARGS)

unit: build ## run the unit tests only
	$(PY) -m pytest tests/unit $(SPREAD) $(PYTEST_ARGS)

year: build ## simulate a year of the feed's state machine with random faults; SEED=N for another year
	$(PY) -m tests.simulation $(if $(SEED),--seed $(SEED))

pythons: ## run all tests on every CPython 3.11 to 3.14 of this machine
	MAKE="$(MAKE)" tools/pythons.sh

wheel: $(VENV)/.made ## build sdist and wheel, and run all tests on the installed wheel; WHEEL_PYTHON=... sets the interpreter
	tools/test_wheel.sh "$(or $(WHEEL_PYTHON),$(PY))" $(SPREAD) $(PYTEST_ARGS)

browser: ## install the headless browser of the tests of the report (Debian and Ubuntu, as root)
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	    { apt-get install -qy chromium || { apt-get update -q && apt-get install -qy chromium; }; } >/dev/null

sanitize: build ## run all tests with AddressSanitizer and UndefinedBehaviorSanitizer
	tools/sanitized.sh "$(PY)" -m pytest $(SPREAD) $(PYTEST_ARGS)

fuzz: build ## fuzz the sanitized extensions against the reference for a minute; FUZZ_S=3600 sets the seconds
	tools/sanitized.sh "$(PY)" -m tests.fuzz.campaign --seconds $(FUZZ_S) --folder "$(CURDIR)/.fuzz"

fuzz-one: build ## repeat one finding of the fuzzer: make fuzz-one FILE=.fuzz/found/...
	tools/sanitized.sh "$(PY)" -m tests.fuzz.campaign --one "$(abspath $(FILE))"

autobahn: build ## run the Autobahn test suite, an independent test of WebSocket clients (needs Python 2.7)
	tools/autobahn.sh "$(PY)"

prometheus: ## get Prometheus and promtool for the tests of metrics (Debian's package, unpacked; or those of PATH)
	tools/prometheus.sh

soak: build ## run a feed on real sockets with random faults for five minutes, and print a report; HOURS=8 runs longer
	$(PY) -m tests.faults.soak $(if $(HOURS),--hours $(HOURS))

kafka: build ## run an Apache Kafka broker at 127.0.0.1:9092 until Ctrl-C, to try the output for Kafka (needs Java 17, Maven)
	$(PY) -m tests.support.kafka_broker

kafka-fetch: $(VENV)/.made ## fetch the Apache Kafka broker of the tests into .kafka (needs Java 17, Maven)
	$(PY) -m tests.support.kafka_broker fetch

peers: $(VENV)/.made ## compile the Rust and C clients for the benchmarks (once, seven minutes; needs cargo)
	$(PY) benchmarks/peers/build.py

bench: $(VENV)/.bench ## run all benchmarks: tables, JSON and plots (a quarter of an hour; docs/explanation/benchmarks.md)
	$(PY) -m benchmarks.report

bench-smoke: $(VENV)/.bench ## check the answers of the benchmarks without timing them
	$(PY) -m benchmarks.report --smoke

bench-gate: build ## compare instructions per frame with an earlier commit; fails when a path is slower (needs valgrind)
	$(PY) -m benchmarks.gate

bench-gate-selftest: build ## check that seeded slowdowns fail bench-gate (needs valgrind)
	$(PY) -m benchmarks.gate selftest

docs: $(VENV)/.docs ## build the documentation site into build/docs; a warning is an error
	$(PY) -m sphinx -q -E -W --keep-going -d build/doctrees docs build/docs
	@echo "open build/docs/index.html"

docs-check: docs ## build the documentation, run each of its code blocks, check its links
	$(PY) -m pytest tests/docs $(SPREAD) $(PYTEST_ARGS)

clean: ## remove all build products, caches and environments
	rm -rf .venv .venvs build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find cpapi_fast examples '(' -name '*.c' -o -name '*.so' -o -name '*.pyd' -o -name '*.html' ')' -exec rm -f {} +
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamp files, so that a second call does nothing: the environment, its packages, the extensions.
$(VENV)/.made: tools/find_python.sh
ifneq ($(OS),Windows_NT) # on Windows setuptools finds the compiler without PATH
	@command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null || \
	    { echo "no C compiler found; on Debian and Ubuntu: apt-get install build-essential" >&2; exit 1; }
endif
	python=$$(tools/find_python.sh) && "$$python" -m venv --clear $(VENV)
	$(PY) -m pip install -q --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.deps: $(VENV)/.made pyproject.toml
	$(PY) -m pip install -q $(GROUPS)
	@touch $@

# The other clients, for the benchmarks only.
$(VENV)/.bench: $(VENV)/.built pyproject.toml
	$(PY) -m pip install -q --group bench
	@touch $@

# The packages that build the documentation.
$(VENV)/.docs: $(VENV)/.built pyproject.toml
	$(PY) -m pip install -q --group docs
	@touch $@

$(VENV)/.built: $(VENV)/.deps setup.py $(SOURCES)
	PYTHONWARNINGS='ignore:Editable installation' tools/build_lock.sh $(PY) -m pip install -q --no-build-isolation --editable '.[cli]'
	@touch $@

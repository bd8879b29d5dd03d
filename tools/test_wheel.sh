#!/bin/sh
# Builds the sdist and, from it, the wheel; installs the wheel in an empty environment and runs all tests on it.
#
# Usage: tools/test_wheel.sh PYTHON ARGUMENTS...   (PYTHON to build for and test with; arguments for pytest)
set -eu

python=$1
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" -m venv "$scratch/venv"
if [ -d "$scratch/venv/Scripts" ]; then bin=$scratch/venv/Scripts; else bin=$scratch/venv/bin; fi
"$bin/python" -m pip install -q --upgrade 'pip>=25.1'
"$bin/python" -m pip install -q --group pyproject.toml:build --group pyproject.toml:test

rm -rf dist
tools/build_lock.sh "$bin/python" -m build --outdir dist .
for wheel in dist/*.whl; do "$bin/python" -m pip install -q "$wheel[cli]"; done

tools/test_installed.sh "$bin/python" -m pytest "$@"

#!/bin/sh
# Builds the sdist and, from it, the wheel; installs the wheel in an empty environment and runs all tests against it in a
# folder that holds the tests but not the package's sources.
#
# Usage: tools/test_wheel.sh PYTHON   (an interpreter that has the `build` module)
set -eu

python=$1
rm -rf dist
"$python" -m build --outdir dist .

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" -m venv "$scratch/venv"
if [ -d "$scratch/venv/Scripts" ]; then bin=$scratch/venv/Scripts; else bin=$scratch/venv/bin; fi
"$bin/python" -m pip install -q --upgrade 'pip>=25.1'
"$bin/python" -m pip install -q --group pyproject.toml:test
for wheel in dist/*.whl; do "$bin/python" -m pip install -q "$wheel[cli]"; done

mkdir "$scratch/work"
cp -r tests docs examples README.md CHANGELOG.md pyproject.toml setup.py "$scratch/work"
cd "$scratch/work"
"$bin/python" -c "
import cpapi_fast, sysconfig, pathlib
where = pathlib.Path(cpapi_fast.__file__).resolve()
assert where.is_relative_to(pathlib.Path(sysconfig.get_path('platlib')).resolve()), where
print('testing', where)
"
"$bin/python" -m pytest ${PYTEST_ARGS:-}
